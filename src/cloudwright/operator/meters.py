"""Meters: from the pages of Cloudwright's proxies, or from a Prometheus-compatible server."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

import anyio
import orjson

from cloudwright._base.clock import Clock, SystemClock
from cloudwright.client.client import Client
from cloudwright.client.errors import NotFound
from cloudwright.model import quantities
from cloudwright.operator.engines import traffic as engine
from cloudwright.operator.engines.traffic import Traffic
from cloudwright.operator.errors import MeterError
from cloudwright.operator.ports import Use

if TYPE_CHECKING:
    from aiohttp import ClientSession

Page = Callable[[], Awaitable[str]]
Account = Mapping[tuple[str, str], tuple[float, float]]
"""CPU seconds used so far and bytes of memory used now, by ``(namespace, pod)``."""
Usage = Callable[[], Awaitable[Account]]
_FRESH_SECONDS = 0.5
_KEPT_SECONDS = 3600.0
_MOST_SAMPLES = 720
_USE_SECONDS = 30.0
"""Use of CPU is the mean over about so long."""


@dataclass(slots=True)
class _Series:
    """Looks at the counters of one Service, oldest first, with their times."""

    looks: deque[tuple[float, engine.Counters]] = field(
        default_factory=lambda: deque(maxlen=_MOST_SAMPLES)
    )


class PageMeter:
    """``ports.Meter`` over pages of Prometheus text (``mesh.metrics()``) and the node's usage.

    It looks when it is asked. The first look at a Service only remembers where its counters are.
    """

    def __init__(self, page: Page, usage: Usage | None = None, *, clock: Clock | None = None):
        self._page = page
        self._usage = usage
        self._clock = clock or SystemClock()
        self._lock = anyio.Lock()
        self._series: dict[str, _Series] = {}
        self._looked = float("-inf")
        self._used: deque[tuple[float, Account]] = deque()

    async def traffic(
        self, namespace: str, service: str, *, seconds: float, percentile: float
    ) -> Traffic | None:
        """What was answered since the first look within the last ``seconds``."""
        name = f"{namespace}/{service}"
        async with self._lock:
            known = name in self._series
            series = self._series.setdefault(name, _Series())
            now = self._clock.monotonic()
            if not known or now - self._looked > _FRESH_SECONDS:
                await self._look()
        latest, counters = series.looks[-1]
        inside = [look for look in series.looks if look[0] >= latest - seconds]
        since, before = inside[0]
        if latest <= since:
            return None
        return engine.between(before, counters, latest - since, percentile)

    async def _look(self) -> None:
        page = await self._page()
        now = self._looked = self._clock.monotonic()
        for name, found in engine.counters(page, self._series).items():
            looks = self._series[name].looks
            looks.append((now, found))
            while looks[0][0] < now - _KEPT_SECONDS:
                looks.popleft()

    async def use(self, namespace: str, pods: Sequence[str]) -> Mapping[str, Use]:
        """What these pods use, whoever else asks; nothing at the first look of all."""
        if self._usage is None:
            return {}
        async with self._lock:
            now = self._clock.monotonic()
            if not self._used or now - self._used[-1][0] > _FRESH_SECONDS:
                self._used.append((now, await self._usage()))
            while len(self._used) > 2 and self._used[1][0] <= now - _USE_SECONDS:
                self._used.popleft()
            (since, before), (until, used) = self._used[0], self._used[-1]
        found = {}
        for pod in pods:
            key = namespace, pod
            if until > since and key in used and key in before:
                spent = max(used[key][0] - before[key][0], 0.0)
                found[pod] = Use(spent / (until - since), used[key][1])
        return found


@dataclass(frozen=True, slots=True)
class Queries:
    """PromQL, with ``{namespace} {service} {window} {quantile}`` to be filled in. The defaults are
    for Cloudwright's proxies; docs/how-to/run-the-operator-on-kubernetes.md has Istio's.
    """

    requests: str = (
        'sum(increase(cloudwright_proxy_requests_total{{service=~"{namespace}/{service}:.*",'
        'direction!="inbound"}}[{window}s]))'
    )
    errors: str = (
        'sum(increase(cloudwright_proxy_requests_total{{service=~"{namespace}/{service}:.*",'
        'direction!="inbound",code=~"5xx|none"}}[{window}s]))'
    )
    latency: str = (
        "histogram_quantile({quantile}, sum by (le) (increase("
        'cloudwright_proxy_request_duration_seconds_bucket{{service=~"{namespace}/{service}:.*",'
        'direction!="inbound"}}[{window}s])))'
    )


class PrometheusMeter:
    """``ports.Meter`` over a Prometheus-compatible query API; CPU from ``metrics.k8s.io``."""

    def __init__(
        self, session: ClientSession, url: str, client: Client, queries: Queries | None = None
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._client = client
        self._queries = queries or Queries()

    async def traffic(
        self, namespace: str, service: str, *, seconds: float, percentile: float
    ) -> Traffic | None:
        """What the server counted in the last ``seconds`` (15 at least: it must have looked)."""
        window = max(round(seconds), 15)

        async def ask(query: str) -> float | None:
            return await self._ask(
                query.format(
                    namespace=namespace,
                    service=service,
                    window=window,
                    quantile=percentile / 100,
                )
            )

        requests = await ask(self._queries.requests)
        if requests is None:
            return None
        errors = await ask(self._queries.errors) or 0.0
        return Traffic(requests, errors, await ask(self._queries.latency), float(window))

    async def _ask(self, query: str) -> float | None:
        from aiohttp import ClientError, ClientTimeout

        try:
            async with self._session.post(
                f"{self._url}/api/v1/query",
                data={"query": query},
                timeout=ClientTimeout(total=10.0),
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except (ClientError, TimeoutError) as error:
            raise MeterError(f"{self._url} does not answer", cause=str(error)) from error
        return _scalar(self._url, body)

    async def use(self, namespace: str, pods: Sequence[str]) -> Mapping[str, Use]:
        """What the metrics server says; nothing where there is none."""
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        try:
            found = orjson.loads(await self._client.raw(path))
        except NotFound:
            return {}
        wanted = set(pods)
        return {
            str(item["metadata"]["name"]): Use(_sum(item, "cpu"), _sum(item, "memory"))
            for item in found.get("items") or ()
            if item["metadata"]["name"] in wanted
        }


def _sum(item: Mapping[str, Any], resource: str) -> float:
    amounts = [one["usage"].get(resource, "0") for one in item.get("containers") or ()]
    return float(sum(map(quantities.parse, amounts)))


def _scalar(url: str, body: bytes) -> float | None:
    """The one number of an instant query's answer; ``None`` for no series, or none that is one."""
    try:
        answer = orjson.loads(body)
        if answer["status"] != "success":
            raise MeterError(f"{url} refuses the query", cause=str(answer.get("error")))
        result = answer["data"]["result"]
        value = float(result[0]["value"][1]) if result else None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise MeterError(f"{url} answers no Prometheus response", cause=repr(error)) from error
    return value if value is None or isfinite(value) or value == float("inf") else None
