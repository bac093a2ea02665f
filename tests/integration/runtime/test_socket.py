"""The socket itself: several requests at once, nonsense, too much."""

from __future__ import annotations

import json

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.integration.runtime.kit import Kit, fake_crun, runtime

pytestmark = [pytest.mark.anyio, pytest.mark.root]


async def lines(kit: Kit, *sent: bytes, count: int) -> list[dict[str, object]]:
    """Send on one connection; the next ``count`` lines that come."""
    async with await anyio.connect_unix(kit.config.socket) as stream:
        reader = BufferedByteReceiveStream(stream)
        with anyio.fail_after(20):
            await stream.send(b"".join(sent))
            return [json.loads(await reader.receive_until(b"\n", 1 << 20)) for _ in range(count)]


async def test_nonsense_is_answered_and_the_connection_goes_on(kit: Kit) -> None:
    await kit.sandbox()
    found = await lines(
        kit,
        b"nonsense\n\n[]\n",
        b'{"id":7,"op":"dance"}\n',
        b'{"id":8,"op":"container.start","container":"../../etc"}\n',
        b'{"id":9,"op":"container.remove","container":"../../etc"}\n',
        b'{"id":10,"op":"hello"}\n',
        count=7,
    )
    by_id = {line["id"]: line for line in found if line["id"]}
    assert sum(line["id"] == 0 for line in found) == 3
    assert "unknown variant `dance`" in str(by_id[7])
    assert by_id[8]["error"]["code"] == "not_found"  # type: ignore[index]
    assert by_id[9]["error"]["code"] == "invalid"  # type: ignore[index]
    assert "ok" in by_id[10]


async def test_a_request_that_is_too_long_ends_the_connection(kit: Kit) -> None:
    await kit.sandbox()
    async with await anyio.connect_unix(kit.config.socket) as stream:
        reader = BufferedByteReceiveStream(stream)
        with anyio.fail_after(20):
            await stream.send(b"x" * ((1 << 20) + 1))
            answer = json.loads(await reader.receive_until(b"\n", 1 << 20))
            assert "longer than 1048576 bytes" in answer["error"]["message"]
            with pytest.raises((anyio.IncompleteRead, anyio.BrokenResourceError)):
                await reader.receive_exactly(1)
    assert (await lines(kit, b'{"id":1,"op":"hello"}\n', count=1))[0]["id"] == 1


async def test_a_slow_request_does_not_hold_up_the_next(helper, tmp_path) -> None:  # type: ignore[no-untyped-def]
    gate = tmp_path / "gate"
    crun = fake_crun(tmp_path, "create", f"while [ ! -e {gate} ]; do sleep 0.02; done")
    async with runtime(helper, crun=crun) as kit:
        await kit.sandbox()
        async with anyio.create_task_group() as group:
            group.start_soon(kit.engine.create_container, kit.spec("slow", "serve"))
            await kit.until(lambda: list(kit.config.run.glob("crun-logs")))
            assert await kit.engine.sandboxes() != []
            gate.touch()
        assert [one.id for one in await kit.engine.containers()] == ["t-slow-0"]


async def test_exec_wants_a_connection_of_its_own(kit: Kit) -> None:
    container = await kit.run("app", "serve")
    request = {"id": 2, "op": "exec", "container": container, "argv": ["/helper", "both"]}
    found = await lines(
        kit, b'{"id":1,"op":"subscribe"}\n', json.dumps(request).encode() + b"\n", count=2
    )
    assert any("connection of its own" in str(line) for line in found)


async def test_many_connections_that_say_nothing_do_not_block_others(kit: Kit) -> None:
    await kit.sandbox()
    idle = [await anyio.connect_unix(kit.config.socket) for _ in range(200)]
    assert await kit.engine.sandboxes() != []
    for stream in idle:
        await stream.aclose()
