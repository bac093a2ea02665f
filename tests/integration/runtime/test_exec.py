"""Commands inside a running container."""

from __future__ import annotations

import json

import anyio
import pytest

from cloudwright._base.errors import CloudwrightError, NotFoundError, UsageError
from cloudwright.model.sandbox import ExecRequest
from cloudwright.model.streams import STDERR, STDOUT, ExecSession
from tests.integration.runtime.kit import POD, Kit, processes_of

pytestmark = [pytest.mark.anyio, pytest.mark.root]


async def collect(session: ExecSession) -> tuple[bytes, bytes, int]:
    """Both outputs and the exit code."""
    found = {STDOUT: b"", STDERR: b""}
    async for channel, data in session.output():
        found[channel] += data
    code = await session.wait()
    await session.close()
    return found[STDOUT], found[STDERR], code


@pytest.fixture
async def container(kit: Kit) -> str:
    return await kit.run("app", "serve", env={"GREETING": "hello"})


async def run(kit: Kit, container: str, *words: str) -> tuple[bytes, bytes, int]:
    request = ExecRequest(container, ("/helper", *words), env={"EXTRA": "more"})
    return await collect(await kit.engine.exec(request))


async def test_output_of_both_kinds_and_the_exit_code(kit: Kit, container: str) -> None:
    assert await run(kit, container, "both") == (b"to stdout\nno newline", b"to stderr\n", 0)
    assert await run(kit, container, "exit", "9") == (b"", b"", 9)


async def test_it_is_in_the_container_as_its_user(kit: Kit, container: str) -> None:
    out, _, code = await run(kit, container, "show", "/proc/self/status")
    assert code == 0
    text = out.decode()
    assert "Uid:\t65532\t65532" in text
    assert "CapEff:\t0000000000000000" in text
    assert "CapBnd:\t0000000000000000" in text
    assert "NoNewPrivs:\t1" in text
    assert "Seccomp:\t2" in text
    out, _, _ = await run(kit, container, "env")
    assert {b"GREETING=hello", b"EXTRA=more", b"FROM_IMAGE=yes"} <= set(out.splitlines())
    out, _, _ = await run(kit, container, "list", "/proc/self/fd")
    assert {int(name) for name in out.split() if name.isdigit()} <= {0, 1, 2, 3}


async def test_the_filter_holds_for_the_second_container_of_a_kind_too(kit: Kit) -> None:
    # The first one's profile is compiled by crun, the second one gets the result.
    for name in ("first", "second"):
        container = await kit.run(name, "serve")
        _, err, code = await run(kit, container, "unshare")
        assert (err, code) == (b"unshare: Operation not permitted\n", 1)
        status = await kit.finish(f"{name}-own", "unshare")
        assert status.exit_code == 1
    config = kit.config.pods / POD / "t-second-own-0" / "config.json"
    document = json.loads(config.read_text())
    assert "seccomp" not in document["linux"]
    assert document["annotations"]["run.oci.seccomp_bpf_data"]


async def test_standard_input_goes_in_and_ends(kit: Kit, container: str) -> None:
    session = await kit.engine.exec(ExecRequest(container, ("/helper", "cat"), stdin=True))
    sent = bytes(range(256)) * 4096

    async def feed() -> None:
        await session.write(sent)
        await session.close_stdin()

    async with anyio.create_task_group() as group:
        group.start_soon(feed)
        out, err, code = await collect(session)
    assert (out, err, code) == (sent, b"", 0)


async def test_a_terminal_has_the_size_that_was_told(kit: Kit, container: str) -> None:
    session = await kit.engine.exec(
        ExecRequest(container, ("/helper", "size"), tty=True, stdin=True)
    )
    await session.resize(132, 43)
    await session.write(b"\n")
    seen = b""
    with anyio.fail_after(10):
        async for channel, data in session.output():
            assert channel == STDOUT
            seen += data
            if b"132x43\r\n" in seen:
                await session.close_stdin()
    assert b"132x43\r\n" in seen
    assert await session.wait() == 0
    await session.close()


async def test_all_of_a_large_output_arrives(kit: Kit, container: str) -> None:
    for tty in (False, True):
        request = ExecRequest(container, ("/helper", "spam", "20000", "100"), tty=tty)
        out, _, code = await collect(await kit.engine.exec(request))
        assert code == 0
        numbers = [line[:8] for line in out.decode().splitlines()]
        assert numbers == [f"{number:08d}" for number in range(20000)]


async def test_closing_ends_the_command(kit: Kit, container: str) -> None:
    for tty in (False, True):
        words = ("/helper", "stubborn", kit.root.name)
        session = await kit.engine.exec(ExecRequest(container, words, tty=tty, stdin=True))
        await kit.until(lambda: processes_of(f"stubborn {kit.root.name}"))
        await session.close()
        await kit.until(lambda: not processes_of(f"stubborn {kit.root.name}"))


async def test_a_client_that_goes_while_its_input_is_not_read(kit: Kit, container: str) -> None:
    words = ("/helper", "stubborn", kit.root.name)
    session = await kit.engine.exec(ExecRequest(container, words, stdin=True))
    with anyio.move_on_after(0.3):
        await session.write(b"x" * 1_000_000)
    await session.close()
    await kit.until(lambda: not processes_of(f"stubborn {kit.root.name}"))


async def test_the_end_of_the_container_ends_the_command(kit: Kit, container: str) -> None:
    session = await kit.engine.exec(ExecRequest(container, ("/helper", "stubborn")))
    await kit.engine.remove_container(container)
    out, _, code = await collect(session)
    assert (out, code) == (b"serving\n", 137)


async def test_wrong_commands_are_one_clear_line(kit: Kit, container: str) -> None:
    with pytest.raises(CloudwrightError, match=r"crun exec: .*/nope.* not found"):
        await kit.engine.exec(ExecRequest(container, ("/nope",)))
    with pytest.raises(UsageError, match="argv must not be empty"):
        await kit.engine.exec(ExecRequest(container, ()))
    with pytest.raises(NotFoundError, match="no container t-other-0"):
        await kit.engine.exec(ExecRequest("t-other-0", ("/helper",)))
    ended = await kit.finish("short", "exit", "0")
    with pytest.raises(UsageError, match="does not run"):
        await kit.engine.exec(ExecRequest(ended.id, ("/helper",)))
    assert list((kit.config.run / "exec").iterdir()) == []
