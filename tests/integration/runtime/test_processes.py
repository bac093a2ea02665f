"""Native processes: privileges, namespaces, restarts."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from cloudwright._base.errors import CloudwrightError, UsageError
from cloudwright.model.sandbox import Limits, LogTarget, ProcessSpec, ProcessStatus
from tests.integration.runtime.kit import POD, Kit

pytestmark = [pytest.mark.anyio, pytest.mark.root]


def sidecar(kit: Kit, helper: Path, *words: str) -> ProcessSpec:
    return ProcessSpec(
        id=f"sidecar-{POD}",
        argv=(str(helper), *words),
        netns=kit.netns,
        env={"ONLY": "this"},
        log=LogTarget(str(kit.log("sidecar"))),
        cgroup=f"pod{POD}/sidecar",
        limits=Limits(memory_bytes=64 * 1024 * 1024, pids=32),
    )


async def status(kit: Kit) -> ProcessStatus:
    (found,) = await kit.engine.processes()
    return found


@pytest.fixture
def program(kit: Kit, helper: Path) -> Path:
    """The helper where any user may run it."""
    path = kit.root / "helper"
    path.write_bytes(helper.read_bytes())
    path.chmod(0o755)
    kit.root.chmod(0o711)
    return path


async def test_it_has_no_privileges_and_the_pods_network(kit: Kit, program: Path) -> None:
    await kit.engine.start_process(sidecar(kit, program, "serve"))
    found = await status(kit)
    assert found.running
    assert found.pid is not None
    of = Path(f"/proc/{found.pid}")
    text = (of / "status").read_text()
    assert "Uid:\t1337\t1337\t1337\t1337" in text
    assert "Gid:\t1337\t1337\t1337\t1337" in text
    assert "Groups:\t \n" in text
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{kind}:\t0000000000000000" in text
    assert "NoNewPrivs:\t1" in text
    assert os.stat(of / "ns/net").st_ino == os.stat(kit.netns).st_ino
    assert os.readlink(of / "ns/mnt") == os.readlink("/proc/self/ns/mnt")
    assert {entry.name for entry in (of / "fd").iterdir()} == {"0", "1", "2"}
    environment = (of / "environ").read_bytes().split(b"\0")
    assert b"ONLY=this" in environment
    assert len([one for one in environment if one]) == 2  # and PATH
    group = f"/cloudwright-{kit.config.instance}/pod{POD}/sidecar"
    assert group in (of / "cgroup").read_text()
    assert os.getsid(found.pid) == found.pid
    assert (await kit.engine.usage())[found.id].memory_bytes > 0
    await kit.until(lambda: "stdout F serving" in kit.text("sidecar"))


async def test_the_same_again_is_left_alone_and_another_replaces_it(
    kit: Kit, program: Path
) -> None:
    spec = sidecar(kit, program, "serve")
    await kit.engine.start_process(spec)
    first = (await status(kit)).pid
    for again in (spec, replace(spec, env={"OTHER": "x"}, limits=Limits())):
        await kit.engine.start_process(again)
        assert (await status(kit)).pid == first
    await kit.engine.start_process(replace(spec, argv=(*spec.argv, "more")))
    second = await status(kit)
    assert second.pid != first
    assert second.running
    assert not Path(f"/proc/{first}").exists()


async def test_it_is_restarted_after_an_unasked_end(kit: Kit, program: Path) -> None:
    await kit.engine.start_process(sidecar(kit, program, "serve"))
    await kit.until(lambda: "serving" in kit.text("sidecar"))
    first = (await status(kit)).pid
    assert first is not None
    seen = []
    async for event in kit.engine.events():
        if event.kind == "lost":
            os.kill(first, signal.SIGTERM)
        else:
            seen.append((event.kind, event.id))
            break
    assert seen == [("process.exit", f"sidecar-{POD}")]
    await kit.until(lambda: kit.text("sidecar").count("serving") == 2)
    found = await status(kit)
    assert found.running
    assert (found.restarts, found.exit_code) == (1, 7)
    assert found.pid != first


async def test_stop_is_gentle_then_firm(kit: Kit, program: Path) -> None:
    await kit.engine.start_process(sidecar(kit, program, "stubborn"))
    await kit.until(lambda: "serving" in kit.text("sidecar"))
    pid = (await status(kit)).pid
    await kit.engine.stop_process(f"sidecar-{POD}", grace_seconds=0.05)
    assert await kit.engine.processes() == []
    assert not Path(f"/proc/{pid}").exists()
    await kit.engine.stop_process(f"sidecar-{POD}")
    group = f"cloudwright-{kit.config.instance}/pod{POD}"
    assert list(Path("/sys/fs/cgroup").glob(f"*/{group}")) == []


async def test_one_that_cannot_start_is_told_and_leaves_nothing(kit: Kit, program: Path) -> None:
    spec = sidecar(kit, program, "serve")
    with pytest.raises(CloudwrightError, match="cannot start /nonexistent"):
        await kit.engine.start_process(replace(spec, argv=("/nonexistent",)))
    with pytest.raises(CloudwrightError, match="/run/netns/none"):
        await kit.engine.start_process(replace(spec, netns="/run/netns/none"))
    with pytest.raises(UsageError, match="absolute path"):
        await kit.engine.start_process(replace(spec, argv=("helper",)))
    with pytest.raises(UsageError, match="uid must not be 0"):
        await kit.engine.start_process(replace(spec, uid=0))
    assert await kit.engine.processes() == []
    assert list(Path("/sys/fs/cgroup").glob(f"*/cloudwright-{kit.config.instance}/pod*")) == []


async def test_a_sandbox_goes_while_its_sidecar_stays(kit: Kit, program: Path) -> None:
    container = await kit.run("app", "serve")
    await kit.engine.start_process(sidecar(kit, program, "serve"))
    await kit.engine.remove_sandbox(POD)
    assert container not in [one.id for one in await kit.engine.containers()]
    assert (await status(kit)).running
    await kit.engine.stop_process(f"sidecar-{POD}")
    assert list(Path("/sys/fs/cgroup").glob(f"*/cloudwright-{kit.config.instance}/pod*")) == []


async def test_the_host_network_when_no_namespace_is_given(kit: Kit, program: Path) -> None:
    spec = replace(sidecar(kit, program, "serve"), id="gateway", netns=None, cgroup="")
    await kit.engine.start_process(spec)
    found = await status(kit)
    assert os.readlink(f"/proc/{found.pid}/ns/net") == os.readlink("/proc/self/ns/net")
