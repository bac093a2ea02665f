"""The streams of a container's own process: attached clients, terminals, input that ends."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from cloudwright._base.errors import NotFoundError, UsageError
from cloudwright.model.sandbox import ContainerState, ExecRequest, Limits
from cloudwright.model.streams import STDERR, STDOUT, ExecSession
from tests.integration.runtime.kit import Kit

pytestmark = [pytest.mark.anyio, pytest.mark.root]


class Seen:
    """What a session showed so far."""

    def __init__(self, session: ExecSession) -> None:
        self.session = session
        self.data = {STDOUT: b"", STDERR: b""}
        self._output = session.output().__aiter__()

    async def until(self, text: bytes) -> None:
        with anyio.fail_after(20):
            while text not in self.data[STDOUT]:
                channel, data = await anext(self._output)
                self.data[channel] += data

    async def end(self) -> int:
        with anyio.fail_after(20):
            async for channel, data in self._output:
                self.data[channel] += data
            return await self.session.wait()


async def test_input_goes_in_and_output_comes_to_every_client_and_the_log(kit: Kit) -> None:
    container = await kit.run("cat", "cat", stdin=True)
    one = Seen(await kit.engine.attach(container, stdin=True))
    two = Seen(await kit.engine.attach(container, stdin=False))
    await one.session.write(b"hello\n")
    for seen in (one, two):
        await seen.until(b"hello\n")
    await two.session.write(b"from one who may not\n")
    await two.session.close()
    await one.session.close_stdin()  # the container's goes on: others may come
    await one.session.close()
    three = Seen(await kit.engine.attach(container, stdin=True))
    await three.session.write(b"again\n")
    await three.until(b"again\n")
    assert three.data[STDOUT] == b"again\n"
    assert (await kit.status(container)).state is ContainerState.RUNNING
    await kit.engine.signal_container(container, 9)
    assert await three.end() == 137
    await three.session.close()
    assert kit.text("cat") == "stdout F hello\nstdout F again"


async def test_input_of_one_client_ends_with_it(kit: Kit) -> None:
    container = await kit.run("once", "cat", stdin=True, stdin_once=True)
    sent = bytes(range(256)) * 4096
    seen = Seen(await kit.engine.attach(container, stdin=True))

    async def feed() -> None:
        await seen.session.write(sent)
        await seen.session.close_stdin()

    async with anyio.create_task_group() as group:
        group.start_soon(feed)
        code = await seen.end()
    assert (seen.data[STDOUT], code) == (sent, 0)
    await seen.session.close()
    container = await kit.run("left", "cat", stdin=True, stdin_once=True)
    leaves = await kit.engine.attach(container, stdin=True)
    await leaves.close()
    assert (await kit.ended(container)).exit_code == 0


async def test_a_terminal_is_shared_and_has_the_size_of_the_last_who_told(kit: Kit) -> None:
    container = await kit.run("size", "size", stdin=True, tty=True)
    one = Seen(await kit.engine.attach(container, stdin=True))
    two = Seen(await kit.engine.attach(container, stdin=False))
    await one.session.resize(132, 43)
    await one.session.write(b"\n")
    for seen in (one, two):
        await seen.until(b"132x43\r\n")
    await two.session.resize(77, 21)
    # Frames of two clients are in no order: ask until the new size is seen.
    with anyio.fail_after(20):
        while b"77x21\r\n" not in one.data[STDOUT]:
            before = len(one.data[STDOUT])
            await one.session.write(b"\n")
            while one.data[STDOUT].count(b"x", before) < 1:
                channel, data = await anext(one._output)
                one.data[channel] += data
    await one.session.write(b"\x04")
    assert (await one.end(), await two.end()) == (0, 0)
    assert one.data[STDERR] == b""
    for seen in (one, two):
        await seen.session.close()
    assert "132x43" in kit.text("size")


async def test_all_of_a_large_output_reaches_who_is_attached(kit: Kit) -> None:
    for name, tty in (("pipe", False), ("terminal", True)):
        words = ("spam", "20000", "100")
        spec = kit.spec(name, *words, stdin=True, tty=tty)
        await kit.sandbox()
        await kit.engine.create_container(spec)
        with pytest.raises(UsageError, match="does not run"):
            await kit.engine.attach(spec.id, stdin=False)
        container = await kit.run(f"{name}-cat", "cat", stdin=True, stdin_once=True, tty=tty)
        seen = Seen(await kit.engine.attach(container, stdin=True))
        lines = b"".join(b"%08d\n" % number for number in range(5000))

        async def feed(seen: Seen = seen, lines: bytes = lines, tty: bool = tty) -> None:
            await seen.session.write(lines)
            await seen.session.write(b"\x04") if tty else await seen.session.close_stdin()

        async with anyio.create_task_group() as group:
            group.start_soon(feed)
            assert await seen.end() == 0
        shown = seen.data[STDOUT].replace(b"\r\n", b"\n")
        # A terminal also echoes what it is sent.
        assert shown == lines if not tty else shown.count(b"\n") == 10_000
        await seen.session.close()


async def test_who_reads_nothing_does_not_stop_the_container(kit: Kit) -> None:
    container = await kit.run("cat", "cat", stdin=True)
    slow = await kit.engine.attach(container, stdin=False)
    quick = Seen(await kit.engine.attach(container, stdin=True))
    block = b"x" * 65535 + b"\n"
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def feed() -> None:
                for _ in range(64):
                    await quick.session.write(block)

            group.start_soon(feed)
            while len(quick.data[STDOUT]) < 64 * len(block):
                channel, data = await anext(quick._output)
                quick.data[channel] += data
    await slow.close()
    await quick.session.close()


async def test_what_cannot_be_attached_to_is_told(kit: Kit) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        await kit.engine.attach("nobody", stdin=False)
    status = await kit.finish("short", "exit", "3")
    with pytest.raises(UsageError, match="does not run"):
        await kit.engine.attach(status.id, stdin=False)


async def test_a_container_sees_the_processes_of_its_target(kit: Kit) -> None:
    target = await kit.run("app", "serve")
    container = await kit.run("debug", "serve", target=target)
    for one in (target, container):
        session = await kit.engine.exec(ExecRequest(one, ("/helper", "show", "/proc/1/cmdline")))
        seen = Seen(session)
        assert await seen.end() == 0
        assert seen.data[STDOUT] == b"/helper\0serve\0"
        await session.close()
    await kit.sandbox("other")
    with pytest.raises(UsageError, match="another sandbox"):
        await kit.engine.create_container(kit.spec("far", "serve", pod="other", target=target))
    await kit.engine.remove_container(container)
    assert (await kit.status(target)).state is ContainerState.RUNNING


async def test_limits_of_a_running_container_are_changed(kit: Kit) -> None:
    container = await kit.run("app", "serve", limits=Limits(64 << 20, 500, 512))

    def limit(controller: str, name: str) -> int:
        group = kit.config.cgroup_root.strip("/")
        root = Path("/sys/fs/cgroup")
        found = list(root.glob(f"{controller}/{group}/**/{container}/{name}"))
        if not found:
            pytest.skip(f"needs the version 1 controller {controller}")
        return int(found[0].read_text())

    assert limit("memory", "memory.limit_in_bytes") == 64 << 20
    await kit.engine.update_container(container, Limits(96 << 20, 250, 256, pids=50))
    assert limit("memory", "memory.limit_in_bytes") == 96 << 20
    assert limit("cpu", "cpu.cfs_quota_us") == 25_000
    assert limit("cpu", "cpu.shares") == 256
    assert limit("pids", "pids.max") == 50
    await kit.engine.update_container(container, Limits(cpu_shares=128))
    assert limit("memory", "memory.limit_in_bytes") > 1 << 40
    assert limit("cpu", "cpu.cfs_quota_us") == -1
    with pytest.raises(UsageError, match="below current usage"):
        await kit.engine.update_container(container, Limits(memory_bytes=4096))
