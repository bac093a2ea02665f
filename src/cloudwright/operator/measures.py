"""What autoscalers measure by: the metrics APIs, where they are served.

``metrics.k8s.io`` (CPU and memory of pods), ``custom.metrics.k8s.io`` (pods and other objects),
``external.metrics.k8s.io``. Where nobody serves the first the ``Meter`` port is asked, which knows
no containers. Source: ``k8s.io/metrics/pkg/apis`` and kubernetes
``pkg/controller/podautoscaler/metrics/client.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from cloudwright._base.clock import Clock, parse_rfc3339
from cloudwright._base.errors import CloudwrightError
from cloudwright.client.client import Client
from cloudwright.client.errors import ApiError, NotFound
from cloudwright.model import durations, selectors
from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import Resource
from cloudwright.operator.engines.horizontal import Measured
from cloudwright.operator.engines.replicas import Sample, milli
from cloudwright.operator.ports import Meter

_RESOURCE = "/apis/metrics.k8s.io/v1beta1"
_CUSTOM = ("/apis/custom.metrics.k8s.io/v1beta2", "/apis/custom.metrics.k8s.io/v1beta1")
_EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"


class Measures:
    """Measures the metrics of autoscalers. Every failure is a text, as conditions show it."""

    def __init__(self, client: Client, meter: Meter | None, clock: Clock) -> None:
        self._client = client
        self._meter = meter
        self._clock = clock

    async def of(
        self,
        namespace: str,
        selector: str,
        metrics: Sequence[Mapping[str, Any]],
        pods: Sequence[Object],
        kinds: Sequence[Resource],
    ) -> list[Measured | str]:
        """For each metric of a spec what is measured now, or why nothing is. The use of pods is
        asked for once.
        """
        use: tuple[list[Object], str] | None = None
        found: list[Measured | str] = []
        for metric in metrics:
            if metric["type"] in ("Resource", "ContainerResource"):
                if use is None:
                    use = await self._use(namespace, selector, pods)
                source = metric.get("resource") or metric["containerResource"]
                found.append(_samples(use, source["name"], source.get("container", "")))
            else:
                found.append(await self._other(namespace, selector, metric, kinds))
        return found

    async def _use(
        self, namespace: str, selector: str, pods: Sequence[Object]
    ) -> tuple[list[Object], str]:
        """``PodMetrics`` of the pods, or why there are none."""
        try:
            items = await self._items(
                f"{_RESOURCE}/namespaces/{namespace}/pods", (("labelSelector", selector),)
            )
        except NotFound as error:
            if self._meter is not None:
                return await self._by_meter(self._meter, namespace, pods)
            return [], f"unable to fetch metrics from resource metrics API: {error.message}"
        except CloudwrightError as error:
            return [], f"unable to fetch metrics from resource metrics API: {error.message}"
        return items, "" if items else "no metrics returned from resource metrics API"

    async def _by_meter(
        self, meter: Meter, namespace: str, pods: Sequence[Object]
    ) -> tuple[list[Object], str]:
        """The same from the meter, which knows no containers."""
        try:
            used = await meter.use(namespace, [name_of(pod) for pod in pods])
        except CloudwrightError as error:
            return [], f"the pods cannot be measured: {error.message}"
        now, found = self._clock.now().isoformat(), []
        for pod, use in used.items():
            amounts = {"cpu": f"{round(use.cores * 1e9)}n"}
            if use.memory is not None:
                amounts["memory"] = str(round(use.memory))
            entry: Object = {"metadata": {"name": pod}, "timestamp": now, "window": "0s"}
            found.append({**entry, "containers": [{"name": "", "usage": amounts}]})
        return found, "" if found else "no pod is measured yet"

    async def _other(
        self,
        namespace: str,
        selector: str,
        metric: Mapping[str, Any],
        kinds: Sequence[Resource],
    ) -> Measured | str:
        kind = metric["type"]
        source = metric[kind.lower()]
        name = source["metric"]["name"]
        try:
            chosen = str(selectors.from_label_selector(source["metric"].get("selector") or {}))
            if kind == "External":
                return await self._external(namespace, name, chosen)
            if kind == "Pods":
                return await self._of_pods(namespace, selector, name, chosen)
            return await self._of_object(namespace, source["describedObject"], name, chosen, kinds)
        except CloudwrightError as error:
            api = "external" if kind == "External" else "custom"
            told = f"unable to fetch metrics from {api} metrics API: {error.message}"
            return f"{_unable(metric, namespace)}: {told}{_where(metric, namespace)}"
        except _Nothing as error:
            return f"{_unable(metric, namespace)}: {error}{_where(metric, namespace)}"

    async def _external(self, namespace: str, name: str, chosen: str) -> list[int]:
        path = f"{_EXTERNAL}/namespaces/{namespace}/{quote(name, safe='')}"
        items = await self._items(path, (("labelSelector", chosen),))
        if not items:
            raise _Nothing("no metrics returned from external metrics API")
        return [milli(item["value"]) for item in items]

    async def _of_pods(
        self, namespace: str, selector: str, name: str, chosen: str
    ) -> dict[str, Sample]:
        query = (("labelSelector", selector), ("metricLabelSelector", chosen))
        items = await self._custom(f"namespaces/{namespace}/pods/*/{quote(name, safe='')}", query)
        return {
            str(item["describedObject"]["name"]): Sample(
                milli(item["value"]),
                parse_rfc3339(str(item["timestamp"])),
                float(item.get("windowSeconds") or 60),
            )
            for item in items
        }

    async def _of_object(
        self,
        namespace: str,
        described: Mapping[str, Any],
        name: str,
        chosen: str,
        kinds: Sequence[Resource],
    ) -> list[int]:
        group = str(described.get("apiVersion") or "").rpartition("/")[0]
        found = [r for r in kinds if r.kind == described["kind"] and r.group == group]
        if not found:
            raise _Nothing(f"no kind {described['kind']} is served")
        plural = found[0].plural + (f".{group}" if group else "")
        # A Namespace is the autoscaler's own, whatever it is called in the reference.
        where = f"namespaces/{namespace}/{plural}/{described['name']}"
        if plural == "namespaces":
            where = f"namespaces/{namespace}/metrics"
        items = await self._custom(
            f"{where}/{quote(name, safe='')}", (("metricLabelSelector", chosen),)
        )
        return [milli(items[0]["value"])]

    async def _custom(self, path: str, query: tuple[tuple[str, str], ...]) -> list[Object]:
        """The items in the newest version that is served."""
        refused: ApiError | None = None
        for root in _CUSTOM:
            try:
                items = await self._items(f"{root}/{path}", query)
            except NotFound as error:
                refused = error
                continue
            if not items:
                raise _Nothing("no metrics returned from custom metrics API")
            return items
        assert refused is not None
        raise refused

    async def _items(self, path: str, query: tuple[tuple[str, str], ...]) -> list[Object]:
        told = tuple((key, value) for key, value in query if value)
        body = orjson.loads(await self._client.raw(path, told))
        return list(body.get("items") or ())


class _Nothing(Exception):
    """There is no value; says why."""


def _unable(metric: Mapping[str, Any], namespace: str) -> str:
    kind = metric["type"]
    name = metric[kind.lower()]["metric"]["name"]
    if kind != "External":
        return f"unable to get metric {name}"
    return f"unable to get external metric {namespace}/{name}"


def _where(metric: Mapping[str, Any], namespace: str) -> str:
    if metric["type"] != "Object":
        return ""
    described = metric["object"]["describedObject"]
    return f" on {described['kind']} {namespace}/{described['name']}"


def _samples(
    use: tuple[list[Object], str], resource: str, container: str
) -> dict[str, Sample] | str:
    """One resource's use by pod: of all its containers, or of one."""
    items, problem = use
    if problem:
        return f"unable to get metrics for resource {resource}: {problem}"
    found: dict[str, Sample] = {}
    for item in items:
        entries = [
            one
            for one in item.get("containers") or ()
            if not container or one.get("name") == container
        ]
        amounts = [(one.get("usage") or {}).get(resource) for one in entries]
        if amounts and None not in amounts:
            found[str(item["metadata"]["name"])] = Sample(
                sum(milli(amount) for amount in amounts),
                parse_rfc3339(str(item["timestamp"])),
                durations.parse(str(item.get("window") or "0s")),
            )
    return found
