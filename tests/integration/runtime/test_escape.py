"""Ways out of a container that once worked somewhere, and must not here."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cloudwright._base.errors import CloudwrightError
from cloudwright.model.sandbox import Mount, SecurityContext
from cloudwright.runtime.engine import RuntimeEngine
from tests.integration.runtime.kit import Kit, OneImage

pytestmark = [pytest.mark.anyio, pytest.mark.root]

ROOT = SecurityContext(uid=0)
MANY = SecurityContext(uid=0, capabilities=("MKNOD", "DAC_OVERRIDE", "SYS_CHROOT", "CHOWN"))


def with_layer(kit: Kit) -> Path:
    """A further layer on top of the image."""
    layer = kit.root / "layers" / "hostile"
    layer.mkdir()
    kit.image = replace(kit.image, layers=(*kit.image.layers, str(layer)))
    kit.engine = RuntimeEngine(kit.config, OneImage(kit.image))
    return layer


async def test_no_descriptor_of_the_host_is_open_inside(kit: Kit) -> None:
    """CVE-2024-21626: a leaked directory descriptor as working directory or in a command."""
    await kit.finish("fds", "list", "/proc/self/fd", security=ROOT)
    names = {line.split()[-1] for line in kit.text("fds").splitlines()}
    assert {int(name) for name in names if name.isdecimal()} <= {0, 1, 2, 3}
    for number in range(3, 16):
        spec = kit.spec(f"cwd{number}", "list", ".", working_dir=f"/proc/self/fd/{number}")
        spec = replace(spec, security=ROOT)
        await kit.sandbox()
        try:
            await kit.engine.create_container(spec)
            await kit.engine.start_container(spec.id)
        except CloudwrightError:
            continue
        await kit.ended(spec.id)
        assert "supervisor" not in kit.text(f"cwd{number}")
        assert "config.json" not in kit.text(f"cwd{number}")


async def test_links_of_the_image_do_not_lead_mounts_out(kit: Kit) -> None:
    """CVE-2021-30465 and its like: a mount point that is a link to the host."""
    layer = with_layer(kit)
    outside = kit.root / "outside"
    (layer / "absolute").symlink_to(outside)
    (layer / "relative").symlink_to("../" * 20 + str(outside).lstrip("/"))
    (layer / "proc").symlink_to(kit.root)
    volume = kit.root / "volume"
    volume.mkdir()
    for number, destination in enumerate(("/absolute/x", "/relative/x")):
        mount = Mount(str(volume), destination)
        try:
            await kit.run(f"m{number}", "serve", mounts=(mount,))
        except CloudwrightError:
            pass  # refused is as good as kept inside
        assert not outside.exists()


async def test_links_of_the_image_do_not_choose_the_user(kit: Kit) -> None:
    layer = with_layer(kit)
    hidden = kit.root / "passwd"
    hidden.write_text("chosen:x:4242:4242::/:\n")
    (layer / "etc").mkdir()
    (layer / "etc" / "passwd").symlink_to(hidden)
    kit.image = replace(kit.image, user="chosen")
    kit.engine = RuntimeEngine(kit.config, OneImage(kit.image))
    await kit.sandbox()
    with pytest.raises(CloudwrightError, match="'chosen' is not in its /etc/passwd"):
        await kit.engine.create_container(kit.spec("app", "serve"))


async def test_device_nodes_of_an_image_are_dead(kit: Kit) -> None:
    """Whatever its mode says: only null, zero, full, random, tty and the like can be opened."""
    layer = with_layer(kit)
    disk = os.stat(kit.root).st_dev
    nodes = {"mem": (0o020000, os.makedev(1, 1)), "disk": (0o060000, disk)}
    for name, (kind, number) in nodes.items():
        os.mknod(layer / name, 0o666 | kind, number)
        (layer / name).chmod(0o666)
        ended = await kit.finish(name, "show", f"/{name}", security=MANY)
        assert ended.exit_code == 1, name
        assert "Operation not permitted" in kit.text(name)


async def test_the_kernels_secrets_are_masked(kit: Kit) -> None:
    for number, path in enumerate(("/proc/kcore", "/proc/keys", "/proc/timer_list")):
        ended = await kit.finish(f"r{number}", "show", path, security=MANY)
        text = kit.text(f"r{number}")
        assert ended.exit_code in (0, 1)
        assert "stdout" not in text, path
    await kit.finish("fw", "list", "/sys/firmware", security=MANY)
    names = {line.split()[-1] for line in kit.text("fw").splitlines()}
    assert names <= {".", ".."}


async def test_the_kernels_settings_cannot_be_written(kit: Kit) -> None:
    """Also CVE-2022-0492's release_agent: there is no cgroup file system inside."""
    paths = ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper")
    for number, path in enumerate(paths):
        ended = await kit.finish(f"w{number}", "put", path, "x", security=MANY)
        assert ended.exit_code == 1, path
    await kit.finish("mounts", "show", "/proc/self/mountinfo", security=MANY)
    text = kit.text("mounts")
    assert " cgroup" not in text
    assert str(kit.config.run) not in text


async def test_the_program_of_the_runtime_cannot_be_replaced(kit: Kit) -> None:
    """CVE-2019-5736: writing to the runtime through /proc/self/exe of an exec'd process."""
    before = Path("/usr/bin/crun").stat() if Path("/usr/bin/crun").exists() else None
    layer = with_layer(kit)
    (layer / "entry").symlink_to("/proc/self/exe")
    await kit.sandbox()
    try:
        spec = kit.spec("exe", command=("/entry", "put", "/proc/self/exe", "x"))
        await kit.engine.create_container(replace(spec, security=MANY))
        await kit.engine.start_container(spec.id)
        await kit.ended(spec.id)
    except CloudwrightError:
        pass
    after = Path("/usr/bin/crun").stat() if before else None
    if before and after:
        assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    # crun runs still
    assert (await kit.finish("after", "exit", "0", security=ROOT)).exit_code == 0
