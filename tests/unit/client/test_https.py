"""The asynchronous transport against a real server that may break off."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cloudwright._base.errors import UnreachableError
from cloudwright.client.client import Client
from cloudwright.client.errors import NotFound
from cloudwright.client.kubeconfig import Access
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.model.resources import CONFIG_MAP
from tests.unit.client.scripted import config_map, event, status

pytestmark = pytest.mark.anyio


async def _answer(request: web.Request) -> web.StreamResponse:
    if request.query.get("watch"):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(event("ADDED", config_map("a", 1)))
        assert request.transport is not None
        request.transport.abort()
        return response
    if request.path.endswith("/missing"):
        return web.json_response(status(404, "NotFound"), status=404)
    return web.json_response(
        {"seen": request.headers["authorization"], "query": request.query_string}
    )


@pytest.fixture
async def url() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", _answer)
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url("/"))


async def test_requests_and_refusals(url: str) -> None:
    client = Client(HttpsTransport(Access(url, token="t")))
    try:
        assert (await client.get(CONFIG_MAP, "a"))["seen"] == "Bearer t"
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAP, "missing")
    finally:
        await client.aclose()


async def test_a_stream_that_breaks_off_tells_so_after_what_came(url: str) -> None:
    client = Client(HttpsTransport(Access(url, token="t")))
    events = client.watch(CONFIG_MAP)
    try:
        assert (await anext(events)).object["metadata"]["name"] == "a"
        with pytest.raises(UnreachableError):
            await anext(events)
    finally:
        await client.aclose()


async def test_nobody_there() -> None:
    client = Client(HttpsTransport(Access("http://127.0.0.1:1")))
    try:
        with pytest.raises(UnreachableError, match="does not answer"):
            await client.get(CONFIG_MAP, "a")
    finally:
        await client.aclose()
