"""What holds when something is killed, hangs, or comes twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from cloudwright._base.errors import CloudwrightError, TimedOutError
from cloudwright.model.sandbox import ContainerState, ExecRequest, ProcessSpec
from cloudwright.runtime.engine import RuntimeEngine
from cloudwright.runtime.launch import command
from tests.integration.runtime.kit import POD, Kit, OneImage, fake_crun, runtime

pytestmark = [pytest.mark.anyio, pytest.mark.root]


async def test_the_daemon_may_die_and_find_everything_again(kit: Kit) -> None:
    container = await kit.run("app", "serve")
    pid = (await kit.status(container)).pid
    quick = await kit.finish("quick", "exit", "3")
    program = (
        "import anyio,sys\n"
        "from pathlib import Path\n"
        "from cloudwright.runtime.supervisor import SupervisorClient\n"
        "async def main():\n"
        "    async for event in SupervisorClient(Path(sys.argv[1])).events():\n"
        "        print('ready', flush=True)\n"
        "anyio.run(main)\n"
    )
    words = [os.sys.executable, "-c", program, str(kit.config.socket)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        client.kill()
    another = RuntimeEngine(kit.config, OneImage(kit.image))
    found = {one.id: one for one in await another.containers()}
    assert found[container].pid == pid
    assert found[container].state is ContainerState.RUNNING
    assert found[quick.id].exit_code == 3
    assert await another.sandboxes() == [POD]


async def test_a_killed_supervisor_leaves_nothing_once_the_next_one_runs(kit: Kit) -> None:
    container = await kit.run("app", "stubborn")
    pid = (await kit.status(container)).pid
    session = await kit.engine.exec(ExecRequest(container, ("/helper", "stubborn")))
    supervisor = await kit.supervisor_pid()
    handle = os.pidfd_open(pid)
    os.kill(supervisor, signal.SIGKILL)
    with pytest.raises(CloudwrightError, match="broke before its end"):
        await session.wait()
    assert await kit.engine.containers() == []  # by a new supervisor
    assert await kit.supervisor_pid() != supervisor
    with anyio.fail_after(10):
        await anyio.wait_readable(handle)  # the old container is dead
    os.close(handle)
    assert kit.traces()["crun"] == []
    groups = list(Path("/sys/fs/cgroup").glob(f"*/cloudwright-{kit.config.instance}"))
    assert groups == []
    again = await kit.run("app", "serve")  # the bundle of the old life is in nobody's way
    assert (await kit.status(again)).state is ContainerState.RUNNING


async def test_events_say_lost_after_a_crash(kit: Kit) -> None:
    await kit.sandbox()
    kinds = []
    with anyio.fail_after(20):
        async for event in kit.engine.events():
            kinds.append(event.kind)
            if len(kinds) == 1:
                os.kill(await kit.supervisor_pid(), signal.SIGKILL)
            else:
                break
    assert kinds == ["lost", "lost"]


async def test_there_is_one_supervisor(kit: Kit) -> None:
    await kit.sandbox()
    done = subprocess.run(command(kit.config), capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "another supervisor runs for" in done.stderr
    assert await kit.engine.sandboxes() == [POD]


async def test_two_daemons_starting_at_once_share_one_supervisor(kit: Kit) -> None:
    engines = [RuntimeEngine(kit.config, OneImage(kit.image)) for _ in range(4)]
    async with anyio.create_task_group() as group:
        for engine in engines:
            group.start_soon(engine.containers)
    pid = await kit.supervisor_pid()
    os.kill(pid, 0)


async def test_the_socket_is_for_its_owner(kit: Kit) -> None:
    await kit.sandbox()
    assert kit.config.socket.stat().st_mode & 0o777 == 0o600
    await kit.run("app", "serve")
    closed = ("crun", "crun-logs", "ns", "ns/" + POD)
    assert all((kit.config.run / name).stat().st_mode & 0o777 == 0o700 for name in closed)
    # Even with the way open, another user's connection is closed without an answer.
    for path, mode in ((kit.root, 0o711), (kit.config.run, 0o711), (kit.config.socket, 0o666)):
        path.chmod(mode)
    program = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_UNIX);s.settimeout(10);s.connect(sys.argv[1])\n"
        's.sendall(b\'{"id":1,"op":"hello"}\\n\')\n'
        "sys.exit(len(s.recv(10)))\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program, str(kit.config.socket)],
        user=65534,
        group=65534,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 or "BrokenPipe" in done.stderr or "ConnectionReset" in done.stderr


async def test_a_hung_create_is_ended_and_leaves_nothing(helper: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    crun = fake_crun(tmp_path, "create", f'sleep 1000 & echo $$ $! > {pids}; crun "$@"; wait')
    async with runtime(helper, crun=crun, create_timeout_ms=400) as kit:
        await kit.sandbox()
        with pytest.raises(TimedOutError, match=r"crun create did not end within 400 ms"):
            await kit.engine.create_container(kit.spec("hung", "serve"))
        assert await kit.engine.containers() == []
        traces = kit.traces()
        assert traces["bundles"] == traces["crun"] == []
        groups = Path("/sys/fs/cgroup").glob(f"*/cloudwright-{kit.config.instance}/pod*/t-*")
        assert list(groups) == []
        for pid in pids.read_text().split():
            await kit.until(lambda pid=pid: not Path("/proc", pid).exists())


async def test_a_failing_start_is_told_and_can_be_removed(helper: Path, tmp_path: Path) -> None:
    crun = fake_crun(tmp_path, "start", "exit 5")
    async with runtime(helper, crun=crun) as kit:
        await kit.sandbox()
        spec = kit.spec("app", "serve")
        await kit.engine.create_container(spec)
        with pytest.raises(CloudwrightError, match=r"crun start ended with code 5"):
            await kit.engine.start_container(spec.id)
        assert (await kit.status(spec.id)).state is ContainerState.CREATED
        await kit.engine.remove_container(spec.id)
        assert await kit.engine.containers() == []


async def test_a_missing_crun_is_one_clear_line(kit: Kit) -> None:
    config = replace(kit.config, crun="/nonexistent/crun")
    with pytest.raises(CloudwrightError, match="cannot run /nonexistent/crun") as caught:
        await RuntimeEngine(config, OneImage(kit.image)).containers()
    assert "install the package crun" in (caught.value.hint or "")


async def test_nothing_leaks_over_many_containers(kit: Kit) -> None:
    await kit.sandbox()
    descriptors = Path(f"/proc/{await kit.supervisor_pid()}/fd")
    await (
        await kit.engine.exec(ExecRequest(await kit.run("warm", "serve"), ("/helper", "both")))
    ).wait()
    await kit.engine.remove_container("t-warm-0")
    before = len(list(descriptors.iterdir()))
    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(one_life, kit, f"n{number}")
    with anyio.fail_after(5):
        while len(list(descriptors.iterdir())) > before:
            await anyio.sleep(0.01)
    pid = await kit.supervisor_pid()
    mounts = Path(f"/proc/{pid}/mountinfo").read_text()
    assert "/rootfs " not in mounts
    assert list(Path("/sys/fs/cgroup").glob(f"*/cloudwright-{kit.config.instance}/pod*/t-*")) == []


async def one_life(kit: Kit, name: str) -> None:
    container = await kit.run(name, "serve")
    session = await kit.engine.exec(ExecRequest(container, ("/helper", "both")))
    assert await session.wait() == 0
    await session.close()
    await kit.engine.remove_container(container)


async def test_native_processes_end_with_the_supervisors_earlier_life(kit: Kit) -> None:
    await kit.sandbox()
    spec = ProcessSpec("gateway", ("/bin/sleep", "1000"))
    await kit.engine.start_process(spec)
    (process,) = await kit.engine.processes()
    assert process.pid is not None
    handle = os.pidfd_open(process.pid)
    os.kill(await kit.supervisor_pid(), signal.SIGKILL)
    assert await kit.engine.processes() == []
    with anyio.fail_after(10):
        await anyio.wait_readable(handle)  # dead, if not reaped by init yet
    os.close(handle)


async def test_sigterm_cleans_up_like_shutdown(kit: Kit) -> None:
    container = await kit.run("app", "serve")
    pid = await kit.supervisor_pid()
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    with anyio.fail_after(20):
        await anyio.wait_readable(handle)
    os.close(handle)
    traces = kit.traces()
    assert traces["cgroups"] == traces["processes"] == traces["crun"] == []
    assert not kit.config.socket.exists()
    assert container == "t-app-0"


async def test_killed_at_any_moment_the_next_life_is_clean(kit: Kit) -> None:
    """The supervisor dies while pods come and go; what the next one finds is nothing."""
    moments = random.Random(7)
    lives: list[int] = []

    async def bustle(number: int) -> None:
        while True:
            pod = f"pod-{number}"
            try:
                await kit.run(f"c{number}", "serve", pod=pod)
                await kit.engine.start_process(ProcessSpec(f"p{number}", ("/bin/sleep", "1000")))
                await kit.engine.stop_process(f"p{number}", grace_seconds=0)
                await kit.engine.remove_sandbox(pod)
                lives.append(number)
            except CloudwrightError:
                await anyio.sleep(0)  # its sandbox went with a supervisor: begin again

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(bustle, number)
        for _ in range(8):
            await anyio.sleep(moments.uniform(0.02, 0.3))
            os.kill(await kit.supervisor_pid(), signal.SIGKILL)
        await kit.until(lambda: len(lives) >= 3)  # it was no stand-still
        os.kill(await kit.supervisor_pid(), signal.SIGKILL)
        group.cancel_scope.cancel()
    os.kill(await kit.supervisor_pid(), signal.SIGKILL)
    assert await kit.engine.containers() == []
    assert await kit.engine.processes() == []
    traces = kit.traces()
    assert traces["crun"] == traces["cgroups"] == traces["namespaces"] == []
