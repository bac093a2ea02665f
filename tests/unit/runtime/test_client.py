"""The client against a supervisor that misbehaves, and the pure translations."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from cloudwright._base.errors import (
    CloudwrightError,
    ConflictError,
    NotFoundError,
    TimedOutError,
    UnreachableError,
    UsageError,
)
from cloudwright.model.sandbox import ContainerState, Limits, LogTarget, ProcessSpec
from cloudwright.runtime import bundles, probe, wire
from cloudwright.runtime.exec import FramedExec, frame
from cloudwright.runtime.supervisor import SupervisorClient

pytestmark = pytest.mark.anyio

Handler = Callable[[SocketStream, dict[str, Any]], Awaitable[None]]


@asynccontextmanager
async def answering(path: Path, handler: Handler) -> AsyncIterator[SupervisorClient]:
    """A listener that reads one request a connection and lets ``handler`` do the rest."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            reader = BufferedByteReceiveStream(stream)
            try:
                request = json.loads(await reader.receive_until(b"\n", 10_000))
            except (anyio.IncompleteRead, anyio.EndOfStream):
                return
            await handler(stream, request)

    listener = await anyio.create_unix_listener(path)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield SupervisorClient(path)
        group.cancel_scope.cancel()


async def test_an_answer_is_what_was_said(tmp_path: Path) -> None:
    async def handler(stream: SocketStream, request: dict[str, Any]) -> None:
        await stream.send(json.dumps({"id": 1, "ok": request}).encode() + b"\n")

    async with answering(tmp_path / "s", handler) as client:
        assert await client.call("x", a=[1]) == {"id": 1, "op": "x", "a": [1]}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("not_found", NotFoundError),
        ("exists", ConflictError),
        ("invalid", UsageError),
        ("timeout", TimedOutError),
        ("failed", CloudwrightError),
        ("from the future", CloudwrightError),
    ],
)
async def test_errors_keep_their_meaning(
    tmp_path: Path, code: str, kind: type[CloudwrightError]
) -> None:
    async def handler(stream: SocketStream, request: dict[str, Any]) -> None:
        error = {"code": code, "message": "because"}
        await stream.send(json.dumps({"id": 1, "error": error}).encode() + b"\n")

    async with answering(tmp_path / "s", handler) as client:
        with pytest.raises(kind, match="because"):
            await client.call("x")


async def test_nobody_there_a_broken_connection_and_silence(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="no supervisor listens"):
        await SupervisorClient(tmp_path / "none").call("hello")

    async def hang_up(stream: SocketStream, request: dict[str, Any]) -> None:
        await stream.send(b'{"id":1,')

    async with answering(tmp_path / "s", hang_up) as client:
        with pytest.raises(UnreachableError, match="ended while it answered hello"):
            await client.call("hello")

    async def silence(stream: SocketStream, request: dict[str, Any]) -> None:
        await anyio.sleep_forever()

    async with answering(tmp_path / "t", silence) as client:
        with pytest.raises(UnreachableError, match="did not answer hello within"):
            await client.call("hello", timeout=0.05)


async def test_what_a_dying_supervisor_took_is_asked_again(tmp_path: Path) -> None:
    asked = []

    async def handler(stream: SocketStream, request: dict[str, Any]) -> None:
        asked.append(request["op"])
        if len(asked) > 1:
            await stream.send(b'{"id":1,"ok":{"second":true}}\n')

    async def revive() -> None:
        raise AssertionError("it listens")

    async with answering(tmp_path / "s", handler):
        client = SupervisorClient(tmp_path / "s", revive=revive)
        assert await client.call("x") == {"second": True}
    assert asked == ["x", "x"]


async def test_a_missing_supervisor_is_revived(tmp_path: Path) -> None:
    revived = []

    async def revive() -> None:
        revived.append(1)

    client = SupervisorClient(tmp_path / "none", revive=revive)
    with pytest.raises(UnreachableError):
        await client.call("hello")
    assert revived


async def test_events_begin_with_lost_and_come_back_after_a_break(tmp_path: Path) -> None:
    async def handler(stream: SocketStream, request: dict[str, Any]) -> None:
        assert request["op"] == "subscribe"
        await stream.send(b'{"id":1,"ok":{}}\n{"event":"container.exit","id":"c"}\n')

    seen = []
    async with answering(tmp_path / "s", handler) as client:
        with anyio.fail_after(10):
            async for event in client.events():
                seen.append(event["event"])
                if len(seen) == 4:
                    break
    assert seen == ["lost", "container.exit"] * 2


async def test_frames_in_both_directions(tmp_path: Path) -> None:
    got = []

    async def handler(stream: SocketStream, request: dict[str, Any]) -> None:
        await stream.send(b'{"id":1,"ok":{"pid":5}}\n' + frame(1, b"out") + frame(2, b"err"))
        reader = BufferedByteReceiveStream(stream)
        for _ in range(3):
            channel, length = struct.unpack(">BI", await reader.receive_exactly(5))
            got.append((channel, await reader.receive_exactly(length) if length else b""))
        await stream.send(frame(3, b'{"exit_code":4}'))

    async with answering(tmp_path / "s", handler) as client:
        stream = await client.connect()
        reader = BufferedByteReceiveStream(stream)
        await client.request(stream, reader, "exec")
        session = FramedExec(stream, reader)
        await session.write(b"in")
        await session.resize(80, 24)
        await session.close_stdin()
        assert [one async for one in session.output()] == [(1, b"out"), (2, b"err")]
        assert await session.wait() == 4
        await session.close()
    assert got == [(0, b"in"), (4, b'{"columns": 80, "rows": 24}'), (0, b"")]


async def test_a_session_that_breaks_does_not_look_like_an_end(tmp_path: Path) -> None:
    async def handler(stream: SocketStream, request: dict[str, Any]) -> None:
        await stream.send(b'{"id":1,"ok":{"pid":5}}\n' + frame(1, b"out")[:-1])

    async with answering(tmp_path / "s", handler) as client:
        stream = await client.connect()
        reader = BufferedByteReceiveStream(stream)
        await client.request(stream, reader, "exec")
        session = FramedExec(stream, reader)
        with pytest.raises(UnreachableError, match="broke before its end"):
            await session.wait()
        await session.close()


def test_container_status_from_the_wire() -> None:
    line = {
        "container": "c",
        "sandbox": "s",
        "state": "exited",
        "pid": None,
        "created_at": "2026-11-24T08:00:00.123456789Z",
        "started_at": "2026-11-24T08:00:01.000000000Z",
        "finished_at": None,
        "exit_code": 137,
        "signal": 9,
        "oom_killed": True,
        "log_dropped": 3,
    }
    status = wire.container_status(line)
    assert status.state is ContainerState.EXITED
    assert status.created_at == datetime(2026, 11, 24, 8, 0, 0, 123456, tzinfo=UTC)
    assert status.finished_at is None
    assert (status.exit_code, status.signal, status.oom_killed) == (137, 9, True)
    assert status.message.startswith("3 log lines were dropped")


def test_process_start_on_the_wire() -> None:
    spec = ProcessSpec("p", ("/x",), netns="/n", log=LogTarget("/l"), limits=Limits(pids=3))
    fields = wire.process_start(spec)
    assert fields["argv"] == ["/x"]
    assert fields["log"] == {"path": "/l", "max_bytes": 10 * 1024 * 1024, "max_files": 5}
    assert fields["limits"]["pids"] == 3
    assert (fields["uid"], fields["gid"], fields["restart"]) == (1337, 1337, True)


def test_bundles_are_private_fresh_and_found_again(tmp_path: Path) -> None:
    pods = tmp_path / "pods"
    bundle = bundles.write(pods, "pod", "c-1", {"a": 1})
    (bundle.upper / "old").write_text("")
    again = bundles.write(pods, "pod", "c-1", {"a": 2})
    assert list(again.upper.iterdir()) == []
    assert json.loads((again.path / "config.json").read_text()) == {"a": 2}
    for path in (pods, pods / "pod", again.path):
        assert path.stat().st_mode & 0o777 == 0o700
    (pods / "pod" / "volumes" / "v").mkdir(parents=True)
    bundles.remove(pods, "c-1")
    assert [path.name for path in (pods / "pod").iterdir()] == ["volumes"]
    bundles.write(pods, "pod", "c-2", {})
    bundles.remove_all(pods, "pod")
    assert [path.name for path in (pods / "pod").iterdir()] == ["volumes"]
    bundles.remove_all(pods, "none")


@pytest.mark.parametrize("name", ["", "..", "a/b", "*", "-x", "x" * 129])
def test_ids_that_are_no_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="container id"):
        bundles.write(tmp_path, "pod", name, {})
    with pytest.raises(UsageError, match="container id"):
        bundles.remove(tmp_path, name)


def test_removal_follows_no_link_out_of_the_bundle(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("stays")
    bundle = bundles.write(tmp_path / "pods", "pod", "c", {})
    (bundle.upper / "link").symlink_to(victim)
    bundles.remove(tmp_path / "pods", "c")
    assert (victim / "file").read_text() == "stays"


def test_controllers_of_version_1_beside_a_hybrid_mount() -> None:
    text = (
        "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
        "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
        "22 27 0:21 / /proc rw - proc proc rw\n"
    )
    assert probe.controllers(text) == {"cpu", "cpuacct"}


async def test_findings_name_what_is_missing() -> None:
    found = {one.name: one for one in await probe.findings("/nonexistent/crun")}
    assert not found["OCI runtime"].ok
    assert "install the package crun" in found["OCI runtime"].hint
    assert set(found) == {"OCI runtime", "cgroups", "overlayfs", "seccomp", "namespaces"}
