"""What this machine offers to containers. Feeds the engine and ``cloudwright doctor``."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import anyio

from cloudwright.runtime.seccomp import ARCHITECTURES
from cloudwright.runtime.spec import Host


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: does it serve, what was seen, what to do if not."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


def host() -> Host:
    """What the spec builder needs to know; reads a few files of ``/proc``."""
    return Host(
        machine=platform.machine(),
        controllers=controllers(Path("/proc/self/mountinfo").read_text()),
        oom_score_floor=int(Path("/proc/self/oom_score_adj").read_text()),
        seccomp=Path("/proc/sys/kernel/seccomp").is_dir(),
    )


def controllers(mountinfo: str) -> frozenset[str]:
    """The cgroup controllers of the mounts that ``/proc/self/mountinfo`` tells (proc(5))."""
    found: set[str] = set()
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        point, kind = left.split(" ")[4:5], right.split(" ")[:1]
        if kind == ["cgroup2"] and point == ["/sys/fs/cgroup"]:
            found.update(Path(point[0], "cgroup.controllers").read_text().split())
        elif kind == ["cgroup"]:
            found.update(name for name in right.split(" ")[-1].split(",") if _is_controller(name))
    return frozenset(found)


def _is_controller(name: str) -> bool:
    flags = {"rw", "ro", "noprefix", "clone_children", "cpuset_v2_mode", "xattr"}
    return name not in flags and "=" not in name


async def findings(crun: str = "crun") -> list[Finding]:
    """Everything that running containers depends on."""
    return [await _crun(crun), _controllers(), _overlay(), _seccomp(), _namespaces()]


async def _crun(crun: str) -> Finding:
    hint = "install the package crun"
    if shutil.which(crun) is None:
        return Finding("OCI runtime", False, f"{crun} is not on PATH", hint)
    done = await anyio.run_process([crun, "--version"], check=False)
    text = done.stdout.decode(errors="replace").partition("\n")[0]
    return Finding("OCI runtime", done.returncode == 0, text or f"{crun} does not run", hint)


def _controllers() -> Finding:
    there = host().controllers
    missing = {"cpu", "memory", "pids"} - there
    version = "2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1"
    detail = f"cgroup v{version}: {' '.join(sorted(there)) or 'no controllers'}"
    if missing:
        return Finding(
            "cgroups",
            False,
            f"{detail}; missing: {' '.join(sorted(missing))}",
            "limits of missing controllers are not enforced; enable them on the kernel's command "
            "line",
        )
    return Finding("cgroups", True, detail)


def _overlay() -> Finding:
    there = "overlay" in Path("/proc/filesystems").read_text().split()
    hint = "modprobe overlay"
    return Finding("overlayfs", there, "known to the kernel" if there else "not known", hint)


def _seccomp() -> Finding:
    machine = platform.machine()
    if not Path("/proc/sys/kernel/seccomp").is_dir():
        return Finding("seccomp", False, "not in this kernel", "containers run without a filter")
    known = machine in ARCHITECTURES
    return Finding("seccomp", known, f"filters; profile for {machine}: {known}")


def _namespaces() -> Finding:
    wanted = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    missing = [kind for kind in wanted if not Path("/proc/self/ns", kind).exists()]
    detail = f"missing: {' '.join(missing)}" if missing else "all kinds"
    return Finding("namespaces", not missing, detail, "use a kernel with CONFIG_NAMESPACES")
