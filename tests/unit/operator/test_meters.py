"""Meters: when they look, what they remember, and what a Prometheus server may answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from cloudwright.client.client import Client
from cloudwright.client.kubeconfig import Access
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.operator.errors import MeterError
from cloudwright.operator.meters import PageMeter, PrometheusMeter
from cloudwright.operator.ports import Use

pytestmark = pytest.mark.anyio


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at


class Pages:
    """Pages with a count of requests; counts how often they are asked for."""

    def __init__(self) -> None:
        self.count = 0
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        labels = 'direction="gateway",service="default/pay:80",code="2xx"'
        return f"cloudwright_proxy_requests_total{{{labels}}} {self.count}\n"


async def test_the_first_look_only_remembers_and_the_window_is_what_was_seen() -> None:
    clock, pages = Hands(), Pages()
    meter = PageMeter(pages, clock=clock)

    async def look(seconds: float) -> Any:
        return await meter.traffic("default", "pay", seconds=seconds, percentile=99)

    pages.count = 500
    assert await look(60) is None
    clock.at += 10
    pages.count = 600
    found = await look(60)
    assert (found.requests, found.seconds) == (100, 10)
    clock.at += 10
    pages.count = 650
    # Only what happened within the time that was asked for.
    recent = await look(12)
    assert (recent.requests, recent.seconds) == (50, 10)
    asked = pages.asked
    assert await look(60) is not None
    assert pages.asked == asked  # a moment later it is the same look


async def test_use_between_two_looks_whoever_asks() -> None:
    clock = Hands()
    used = {("default", "a"): (5.0, 7.0), ("default", "b"): (1.0, 8.0), ("x", "a"): (0.0, 1.0)}

    async def usage() -> dict[tuple[str, str], tuple[float, float]]:
        return dict(used)

    meter = PageMeter(Pages(), usage, clock=clock)
    assert await meter.use("default", ["a", "b"]) == {}
    clock.at += 10
    used[("default", "a")] = (10.0, 9.0)
    used[("default", "b")] = (0.0, 8.0)  # began anew
    used[("default", "c")] = (100.0, 1.0)  # was not there before
    used[("x", "a")] = (2.5, 1.0)
    wanted = {"a": Use(0.5, 9.0), "b": Use(0.0, 8.0)}
    assert await meter.use("default", ["a", "b", "c"]) == wanted
    assert await meter.use("default", ["a"]) == {"a": Use(0.5, 9.0)}  # nobody takes it away
    assert await meter.use("x", ["a"]) == {"a": Use(0.25, 1.0)}
    clock.at += 40
    used[("default", "a")] = (50.0, 9.0)
    assert await meter.use("default", ["a"]) == {"a": Use(1.0, 9.0)}
    assert await PageMeter(Pages(), clock=clock).use("default", ["a"]) == {}


@pytest.fixture
async def server() -> AsyncIterator[tuple[str, list[Any]]]:
    """A server that answers what a test puts on the list, and the queries that it got."""
    answers: list[Any] = []

    async def query(request: web.Request) -> web.Response:
        answer = answers.pop(0)
        if callable(answer):
            answer = answer(str((await request.post())["query"]))
        return web.json_response(answer)

    async def metrics(request: web.Request) -> web.Response:
        used = [("a", "250m"), ("b", "1"), ("other", "9")]
        items = [
            {"metadata": {"name": name}, "containers": [{"usage": {"cpu": cpu}}]}
            for name, cpu in used
        ]
        if "missing" in request.path:
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        return web.json_response({"items": items})

    application = web.Application()
    application.router.add_post("/api/v1/query", query)
    application.router.add_get("/apis/metrics.k8s.io/{path:.*}", metrics)
    async with TestServer(application, host="127.0.0.1") as served:
        yield str(served.make_url("/")), answers


def vector(value: str | None) -> dict[str, Any]:
    result = [] if value is None else [{"metric": {}, "value": [1, value]}]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.fixture
async def meter(server: tuple[str, list[Any]]) -> AsyncIterator[PrometheusMeter]:
    transport = HttpsTransport(Access(server[0]))
    async with ClientSession() as session:
        yield PrometheusMeter(session, server[0], Client(transport))
    await transport.aclose()


async def test_prometheus_is_asked_by_namespace_service_and_window(
    server: tuple[str, list[Any]], meter: PrometheusMeter
) -> None:
    queries: list[str] = []

    def noted(value: str | None) -> Any:
        def answer(query: str) -> Any:
            queries.append(query)
            return vector(value)

        return answer

    server[1].extend([noted("200"), noted(None), noted("0.25")])
    found = await meter.traffic("shop", "pay-canary", seconds=30, percentile=95)
    assert found is not None
    assert (found.requests, found.errors, found.latency, found.seconds) == (200, 0, 0.25, 30)
    assert all('service=~"shop/pay-canary:.*"' in q and "[30s]" in q for q in queries)
    assert "histogram_quantile(0.95," in queries[2]
    server[1].append(vector(None))
    assert await meter.traffic("shop", "pay", seconds=1, percentile=95) is None


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "error", "error": "parse error"},
        {"status": "success", "data": {"result": [{"value": [1]}]}},
        ["nonsense"],
    ],
)
async def test_an_answer_that_is_none_is_an_error(
    server: tuple[str, list[Any]], meter: PrometheusMeter, answer: Any
) -> None:
    server[1].append(answer)
    with pytest.raises(MeterError):
        await meter.traffic("shop", "pay", seconds=30, percentile=95)


async def test_use_by_the_metrics_server(meter: PrometheusMeter) -> None:
    found = await meter.use("shop", ["a", "b"])
    assert {name: use.cores for name, use in found.items()} == {"a": 0.25, "b": 1.0}
    assert await meter.use("missing", ["a"]) == {}
