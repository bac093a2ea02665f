"""Hooks by plain HTTP, and the command line of the operator run alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from cloudwright.operator.__main__ import main, parser
from cloudwright.operator.errors import HookError
from cloudwright.operator.hooks import DirectHooks, resolve


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("webhook://sync", "http://sync.team.svc/"),
        ("webhook://sync/a/b?c=d", "http://sync.team.svc/a/b?c=d"),
        ("webhook://sync:8080/x", "http://sync.team.svc:8080/x"),
        ("https://hooks.example/x", "https://hooks.example/x"),
    ],
)
def test_webhooks_resolve_in_the_cluster(url: str, expected: str) -> None:
    assert resolve(url, "team") == expected


@pytest.mark.parametrize("url", ["ftp://x", "webhook://", "scripts/x.sh"])
def test_what_is_no_hook_is_refused(url: str) -> None:
    with pytest.raises(HookError, match="cannot be called"):
        resolve(url, "team")


@asynccontextmanager
async def answering(status: int) -> AsyncIterator[tuple[str, list[Any]]]:
    """A server on a free port; yields its URL and what was posted."""
    seen: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.Response(status=status, text="because" if status != 204 else None)

    app = web.Application()
    app.router.add_post("/hook", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", seen
    finally:
        await runner.cleanup()


@pytest.mark.anyio
async def test_only_2xx_is_success() -> None:
    async with ClientSession() as session:
        hooks = DirectHooks(session)
        async with answering(204) as (url, seen):
            await hooks.call(url, "team", {"event": "PostRollout"})
            assert seen == [{"event": "PostRollout"}]
        async with answering(500) as (url, _):
            with pytest.raises(HookError, match="answered HTTP 500") as caught:
                await hooks.call(url, "team", {})
            assert caught.value.cause == "because"
        with pytest.raises(HookError, match="cannot be reached"):
            await hooks.call(url, "team", {})


def test_wrong_words_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args([]).controllers == "microservice"
    assert main(["--kubeconfig", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
