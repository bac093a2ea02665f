"""Containers from create to remove, on real crun."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from cloudwright._base.errors import CloudwrightError, NotFoundError, UsageError
from cloudwright.model.sandbox import (
    ContainerState,
    Limits,
    Mount,
    SandboxSpec,
    SecurityContext,
)
from cloudwright.runtime.engine import RuntimeEngine
from tests.integration.runtime.kit import POD, Kit, OneImage

pytestmark = [pytest.mark.anyio, pytest.mark.root]


async def test_created_running_exited_removed(kit: Kit) -> None:
    spec = kit.spec("app", "serve")
    await kit.sandbox()
    await kit.engine.create_container(spec)
    created = await kit.status(spec.id)
    assert created.state is ContainerState.CREATED
    assert created.started_at is None
    await kit.engine.start_container(spec.id)
    running = await kit.status(spec.id)
    assert running.state is ContainerState.RUNNING
    assert running.pid is not None
    assert Path(f"/proc/{running.pid}").exists()
    await kit.until(lambda: "serving" in kit.text("app"))
    await kit.engine.signal_container(spec.id, signal.SIGTERM)
    ended = await kit.ended(spec.id)
    assert (ended.exit_code, ended.signal, ended.oom_killed) == (7, None, False)
    assert ended.finished_at is not None
    assert ended.started_at is not None
    assert ended.finished_at >= ended.started_at
    await kit.engine.remove_container(spec.id)
    assert await kit.engine.containers() == []
    assert list((kit.config.pods / POD).iterdir()) == []


async def test_every_verb_can_be_repeated(kit: Kit) -> None:
    container = await kit.run("app", "serve")
    pid = (await kit.status(container)).pid
    assert await kit.run("app", "serve") == container
    assert (await kit.status(container)).pid == pid
    assert await kit.engine.sandboxes() == [POD]
    for _ in range(2):
        await kit.engine.remove_container(container)
    for _ in range(2):
        await kit.engine.remove_sandbox(POD)
    assert await kit.engine.sandboxes() == []


async def test_exit_codes_and_signals(kit: Kit) -> None:
    assert (await kit.finish("a", "exit", "42")).exit_code == 42
    assert (await kit.finish("b", "exit", "0")).exit_code == 0
    container = await kit.run("c", "stubborn")
    await kit.engine.signal_container(container, signal.SIGKILL)
    ended = await kit.ended(container)
    assert (ended.exit_code, ended.signal) == (137, signal.SIGKILL)
    with pytest.raises(NotFoundError, match="does not run"):
        await kit.engine.signal_container(container, signal.SIGTERM)


async def test_a_container_out_of_memory_says_so(kit: Kit) -> None:
    limits = Limits(memory_bytes=32 * 1024 * 1024)
    ended = await kit.finish("hungry", "alloc", "200", limits=limits)
    assert ended.oom_killed
    assert ended.exit_code == 137
    fine = await kit.finish("modest", "alloc", "4", limits=limits)
    assert (fine.exit_code, fine.oom_killed) == (0, False)


async def test_limits_reach_the_cgroup(kit: Kit) -> None:
    limits = Limits(memory_bytes=64 * 1024 * 1024, cpu_millis=500, cpu_shares=256, pids=17)
    container = await kit.run("app", "serve", limits=limits)
    group = f"cloudwright-{kit.config.instance}/pod{POD}/{container}"
    v1 = {
        "memory/{}/memory.limit_in_bytes": str(limits.memory_bytes),
        "cpu/{}/cpu.cfs_quota_us": "50000",
        "cpu/{}/cpu.shares": "256",
        "pids/{}/pids.max": "17",
    }
    v2 = {"{}/memory.max": str(limits.memory_bytes), "{}/pids.max": "17"}
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    for name, value in (v2 if unified else v1).items():
        assert Path("/sys/fs/cgroup", name.format(group)).read_text().strip() == value
    usage = (await kit.engine.usage())[container]
    assert usage.memory_bytes > 0


async def test_a_wrong_program_is_one_clear_line_and_leaves_nothing(kit: Kit) -> None:
    await kit.sandbox()
    with pytest.raises(CloudwrightError, match=r"crun create: .*/nope.* not found"):
        await kit.engine.create_container(kit.spec("bad", command=("/nope",)))
    assert await kit.engine.containers() == []
    assert kit.traces()["bundles"] == []
    assert kit.traces()["crun"] == []
    groups = Path("/sys/fs/cgroup").glob(f"*/cloudwright-{kit.config.instance}/pod*/t-bad-0")
    assert list(groups) == []


async def test_a_missing_image_sandbox_or_mount_is_named(kit: Kit) -> None:
    with pytest.raises(NotFoundError, match="no image other:1"):
        await kit.engine.create_container(kit.spec("a", image="other:1"))
    with pytest.raises(NotFoundError, match=f"no sandbox {POD}"):
        await kit.engine.create_container(kit.spec("a"))
    await kit.sandbox()
    mount = Mount("/nonexistent-volume", "/data")
    with pytest.raises(CloudwrightError, match="/nonexistent-volume"):
        await kit.engine.create_container(kit.spec("a", mounts=(mount,)))
    with pytest.raises(UsageError, match="no network namespace /run/netns/none"):
        await kit.engine.ensure_sandbox(SandboxSpec("other", "h", "/run/netns/none"))
    assert kit.traces()["bundles"] == []


async def test_who_the_process_is_and_what_it_may(kit: Kit) -> None:
    await kit.finish("status", "show", "/proc/self/status")
    status = dict(
        line.split(" ", 2)[2].split(":\t", 1)
        for line in kit.text("status").splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["65532"] * 4
    assert status["Gid"].split() == ["65532"] * 4
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert status["THP_enabled"] == "1"
    assert status["NSpid"].split() == ["1"] or status["Pid"] == "1"


async def test_granted_capabilities_and_groups_arrive(kit: Kit) -> None:
    security = SecurityContext(uid=1000, fs_group=3000, capabilities=("NET_BIND_SERVICE",))
    await kit.finish("status", "show", "/proc/self/status", security=security)
    text = kit.text("status")
    assert "CapEff:\t0000000000000400" in text
    assert "CapBnd:\t0000000000000400" in text
    assert "Groups:\t2000 3000" in text
    await kit.finish("env", "env", security=security, env={"MINE": "1"})
    lines = kit.text("env")
    assert "HOME=/home/app" in lines
    assert "FROM_IMAGE=yes" in lines
    assert "MINE=1" in lines


async def test_the_seccomp_filter_refuses_new_user_namespaces(kit: Kit) -> None:
    ended = await kit.finish("unshare", "unshare")
    assert ended.exit_code == 1
    assert "unshare: Operation not permitted" in kit.text("unshare")


async def test_containers_of_a_pod_share_names_but_not_files_or_processes(kit: Kit) -> None:
    first = await kit.run("first", "serve")
    assert (await kit.finish("name", "hostname")).exit_code == 0
    assert "stdout F the-pod" in kit.text("name")
    await kit.finish("write", "put", "/tmp/mine", "secret", security=SecurityContext(uid=0))
    ended = await kit.finish("read", "show", "/tmp/mine")
    assert ended.exit_code == 1
    await kit.finish("pids", "list", "/proc")
    names = [line.split()[-1] for line in kit.text("pids").splitlines()]
    assert [name for name in names if name.isdecimal()] == ["1"]
    pid = (await kit.status(first)).pid
    inner = await kit.run("second", "serve")
    other = (await kit.status(inner)).pid
    for kind, same in {"net": True, "ipc": True, "uts": True, "pid": False, "mnt": False}.items():
        one, two = (os.readlink(f"/proc/{process}/ns/{kind}") for process in (pid, other))
        assert (one == two) is same, kind
        assert one != os.readlink(f"/proc/self/ns/{kind}"), kind


async def test_layers_are_merged_and_stay_as_they_were(kit: Kit) -> None:
    await kit.finish("read", "show", "/etc/base-only")
    assert "stdout F from the base" in kit.text("read")
    root = SecurityContext(uid=0)
    assert (await kit.finish("write", "put", "/etc/base-only", "x", security=root)).exit_code == 0
    assert Path(kit.image.layers[0], "etc/base-only").read_text() == "from the base\n"
    locked = replace(root, read_only_root=True)
    assert (await kit.finish("locked", "put", "/new", "x", security=locked)).exit_code == 1
    assert "Read-only file system" in kit.text("locked")


async def test_mounts_are_read_only_unless_asked(kit: Kit) -> None:
    volume = kit.root / "volume"
    volume.mkdir(mode=0o777)
    volume.chmod(0o777)
    (volume / "file").write_text("from the host\n")
    read, write = Mount(str(volume), "/data"), Mount(str(volume), "/data", read_only=False)
    await kit.finish("read", "show", "/data/file", mounts=(read,))
    assert "stdout F from the host" in kit.text("read")
    assert (await kit.finish("no", "put", "/data/new", "x", mounts=(read,))).exit_code == 1
    assert (await kit.finish("yes", "put", "/data/new", "x", mounts=(write,))).exit_code == 0
    assert (volume / "new").stat().st_uid == 65532


async def test_a_container_cannot_reach_the_host_or_its_neighbours(kit: Kit) -> None:
    root = SecurityContext(uid=0)
    secret = kit.root / "secret"
    secret.write_text("of the host")
    for path in (str(secret), str(kit.config.pods), str(kit.config.socket)):
        ended = await kit.finish("peek", "list", path, security=root)
        assert ended.exit_code == 1, path
        await kit.engine.remove_container(ended.id)
    await kit.finish("root", "list", "/proc/1/root/tmp", security=root)
    names = [line.split()[-1] for line in kit.text("root").splitlines()]
    assert sorted(names) == [".", ".."]
    for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/sys/kernel/mm/x"):
        ended = await kit.finish("poke", "put", path, "1", security=root)
        assert ended.exit_code == 1, path
        await kit.engine.remove_container(ended.id)


async def test_usage_of_ids_that_are_gone_is_not_told(kit: Kit) -> None:
    container = await kit.run("app", "serve")
    assert container in await kit.engine.usage()
    await kit.engine.remove_container(container)
    assert container not in await kit.engine.usage()


async def test_shared_memory_is_the_pods(kit: Kit) -> None:
    other = "0b5ad9b2-9999-4222-8333-444455556666"
    assert (await kit.finish("write", "put", "/dev/shm/x", "shared")).exit_code == 0
    await kit.finish("read", "show", "/dev/shm/x")
    assert "stdout P shared" in kit.text("read")
    assert (await kit.finish("far", "show", "/dev/shm/x", pod=other)).exit_code == 1


async def test_mount_points_can_be_passed_and_files_have_the_usual_mode(kit: Kit) -> None:
    volume = kit.root / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    mount = Mount(str(volume), "/made/on/the/way", read_only=False)
    ended = await kit.finish("app", "put", "/made/on/the/way/file", "x", mounts=(mount,))
    assert ended.exit_code == 0, kit.text("app")
    assert (volume / "file").stat().st_mode & 0o777 == 0o644


async def test_an_image_may_have_more_layers_than_one_page_of_options(kit: Kit) -> None:
    many = []
    for number in range(100):
        layer = kit.root / "layers" / f"{number:03d}-{'x' * 60}:,y"
        layer.mkdir()
        (layer / f"file-{number}").write_text(str(number))
        many.append(str(layer))
    kit.image = replace(kit.image, layers=(*many, *kit.image.layers))
    kit.engine = RuntimeEngine(kit.config, OneImage(kit.image))
    await kit.finish("list", "list", "/")
    names = {line.split()[-1] for line in kit.text("list").splitlines()}
    assert {f"file-{number}" for number in range(100)} <= names


async def test_a_full_disk_is_one_clear_line_and_leaves_nothing(kit: Kit) -> None:
    small = kit.root / "small"
    small.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", str(small)]
    subprocess.run(words, check=True)
    try:
        engine = RuntimeEngine(replace(kit.config, pods=small / "pods"), OneImage(kit.image))
        await kit.sandbox()
        with pytest.raises(CloudwrightError, match="No space left on device"):
            await engine.create_container(kit.spec("app", "serve"))
        assert list((small / "pods").glob("*/*")) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
