"""Hooks that are URLs, against a real HTTP server on the gateway's socket."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cloudwright._base.errors import CloudwrightError, UsageError
from cloudwright._base.paths import Paths
from cloudwright.mesh.config import MeshConfig
from cloudwright.mesh.errors import HookError
from cloudwright.mesh.hooks import MeshHooks, resolve

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def gateway(answer: Any, **more: Any) -> AsyncIterator[tuple[MeshHooks, list[Any]]]:
    """Hooks whose gateway answers with ``answer(request)``; and what was received."""
    seen: list[Any] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.host, request.path_qs, await request.json()))
        return await answer(request)  # type: ignore[no-any-return]

    with tempfile.TemporaryDirectory(prefix="cwh") as folder:
        root = Path(folder)
        config = MeshConfig(paths=Paths(root, root, root), **more)
        config.mesh_socket.parent.mkdir(parents=True)
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(config.mesh_socket)).start()
        try:
            yield MeshHooks(config), seen
        finally:
            await runner.cleanup()


async def fine(request: web.Request) -> web.Response:
    return web.Response(status=204)


async def test_a_webhook_is_a_post_to_the_service_of_the_namespace() -> None:
    async with gateway(fine) as (hooks, seen):
        await hooks.call("webhook://config-sync", "shop", {"event": "PostRollout"})
        await hooks.call("webhook://config-sync:8081/reload?x=1", "shop", {})
    assert seen == [
        ("POST", "config-sync.shop", "/", {"event": "PostRollout"}),
        ("POST", "config-sync.shop:8081", "/reload?x=1", {}),
    ]


async def test_a_refusal_says_who_answered_what() -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=503, text="no healthy\n  upstream " + "x" * 1000)

    async with gateway(refuse) as (hooks, _):
        with pytest.raises(HookError) as caught:
            await hooks.call("webhook://config-sync/a", "shop", {})
    message = caught.value.message
    assert message.startswith(
        "the hook webhook://config-sync/a (Service shop/config-sync) answered 503: no healthy up"
    )
    assert len(message) < 300
    assert "ready pods" in (caught.value.hint or "")


async def test_a_redirect_is_no_success() -> None:
    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://192.0.2.1/")

    async with gateway(away) as (hooks, seen):
        with pytest.raises(HookError, match="answered 302"):
            await hooks.call("webhook://a", "shop", {})
    assert len(seen) == 1


async def test_a_hook_that_hangs_is_given_up() -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with gateway(hang) as (hooks, _):
        with pytest.raises(HookError, match=r"did not answer within 0\.1 s"):
            await hooks.call("webhook://a", "shop", {}, timeout=0.1)


async def test_no_gateway_is_a_clear_error(tmp_path: Path) -> None:
    hooks = MeshHooks(MeshConfig(paths=Paths(tmp_path, tmp_path, tmp_path)))
    with pytest.raises(CloudwrightError, match=r"webhook://a \(Service shop/a\) cannot be called"):
        await hooks.call("webhook://a", "shop", {})


@pytest.mark.parametrize(
    "url",
    [
        "webhook://",
        "webhook:///path",
        "webhook://UPPER_case",
        "webhook://a.other-namespace",
        "webhook://user@a",
        "webhook://a:99999",
        "ftp://a",
        "config-sync",
        "http://192.0.2.1/",
        "https://example.com",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"the hook ") as caught:
        resolve(url, "shop", allow_http=False)
    assert url in caught.value.message


def test_http_is_allowed_when_the_configuration_says_so() -> None:
    target = resolve("https://example.com/x", "shop", allow_http=True)
    assert (target.url, target.through_mesh) == ("https://example.com/x", False)
