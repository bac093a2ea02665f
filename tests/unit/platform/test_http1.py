"""The small HTTP between our own programs: whole messages, and what comes of broken ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from cloudwright._base import http1
from cloudwright._base.errors import CloudwrightError
from cloudwright._base.paths import Paths
from cloudwright.platform import control

pytestmark = pytest.mark.anyio
SEEN = "text/plain"


async def echo(asked: http1.Asked) -> http1.Answer:
    if asked.path == "/broken":
        raise RuntimeError("a bug")
    words = f"{asked.method} {asked.path} {sorted(asked.query.items())} {len(asked.body)}"
    return http1.Answer(201, words.encode() * (1000 if asked.path == "/long" else 1), SEEN)


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Path]:
    async with (
        await anyio.create_unix_listener(path) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(http1.serve, listener, echo)
        yield path
        tasks.cancel_scope.cancel()


async def said(path: Path, data: bytes) -> bytes:
    """Everything that is answered to these bytes."""
    found = b""
    async with await anyio.connect_unix(path) as stream:
        await stream.send(data)
        with anyio.fail_after(30):
            while True:
                try:
                    found += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return found  # closed; what we sent too much makes it a reset


@pytest.mark.parametrize(
    ("method", "target", "body", "wanted"),
    [
        ("GET", "/a?x=1&y=&x=2", b"", b"GET /a [('x', '2'), ('y', '')] 0"),
        ("POST", "/b", b"{}" * 300_000, b"POST /b [] 600000"),
        ("GET", "/long", b"", b"GET /long [] 0" * 1000),
    ],
)
async def test_what_is_asked_arrives_and_is_answered(tmp_path, method, target, body, wanted):
    async with serving(tmp_path / "s") as path, await anyio.connect_unix(path) as stream:
        found = await http1.ask(stream, method, target, host="us", body=body)
    assert (found.status, found.body, found.content_type) == (201, wanted, SEEN)


async def test_a_bug_in_an_answer_is_a_500_and_the_next_one_is_served(tmp_path):
    async with serving(tmp_path / "s") as path:
        for target, status in (("/broken", 500), ("/a", 201)):
            async with await anyio.connect_unix(path) as stream:
                assert (await http1.ask(stream, "GET", target, host="us")).status == status


async def test_strange_requests_are_refused(tmp_path):
    async with serving(tmp_path / "s") as path:
        assert (await said(path, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        length = http1.ASKED_MAX + 1
        head = b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % length
        assert (await said(path, head + b"x" * length)).startswith(b"HTTP/1.1 413 ")
        many = b"GET /a HTTP/1.1\r\nhost: a\r\nx: %b\r\n\r\n" % (b"x" * 200_000)
        assert (await said(path, many)).startswith(b"HTTP/1.1 431 ")
        head_only = await said(path, b"HEAD /a HTTP/1.1\r\nhost: a\r\n\r\n")
        assert head_only.startswith(b"HTTP/1.1 201 ")
        assert head_only.endswith(b"\r\n\r\n")
        assert b"content-length: 12\r\n" in head_only


@pytest.mark.parametrize(
    "half", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", b"HTTP/1.1 2", b"junk\r\n\r\n"]
)
async def test_half_an_answer_is_none(tmp_path, half):
    async def hang_up(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            if half:
                await stream.send(half)

    async with (
        await anyio.create_unix_listener(tmp_path / "s") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, hang_up)
        async with await anyio.connect_unix(tmp_path / "s") as stream:
            with pytest.raises(http1.BrokenOffError):
                await http1.ask(stream, "GET", "/", host="us")
        tasks.cancel_scope.cancel()


async def test_the_daemon_answers_on_its_socket_to_root_only(tmp_path):
    paths = Paths(tmp_path / "state", tmp_path / "run", tmp_path / "user")
    paths.run.mkdir()

    async def status(query):
        return {"asked": dict(query)}

    async def rotate(_):
        raise CloudwrightError("no", code="CW9", cause="because", hint="try")

    async with control.serving(paths, {"GET /status": status, "POST /rotate": rotate}):
        file = control.socket_path(paths)
        assert file.stat().st_mode & 0o777 == 0o600
        ask = anyio.to_thread.run_sync
        assert await ask(control.ask, paths, "GET", "/status?a=b") == {"asked": {"a": "b"}}
        with pytest.raises(CloudwrightError, match="no") as found:
            await ask(control.ask, paths, "POST", "/rotate")
        assert (found.value.cause, found.value.hint) == ("because", "try")
        async with await anyio.connect_unix(file) as stream:
            assert (await http1.ask(stream, "GET", "/other", host="daemon")).status == 404
    assert not file.exists()
