"""What one instance has made on this machine: the kernel objects that carry its names.

Read from /proc, /sys and the tools of the field, so that it also tells the truth after a crash.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cloudwright._base.paths import Paths

NETNS = Path("/run/netns")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Inventory:
    """Names of everything found, sorted; all empty when nothing is left."""

    processes: list[str] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    cgroups: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not any(asdict(self).values())


def take(paths: Paths) -> Inventory:
    """Look for everything that carries the instance's names, in this network namespace."""
    return Inventory(
        processes=sorted(_processes(paths)),
        namespaces=sorted(p.name for p in _entries(NETNS) if p.name.startswith(_prefix(paths))),
        links=sorted(_links(paths.instance)),
        mounts=sorted(_mounts(paths)),
        cgroups=sorted(str(group) for group in cgroup_roots(paths)),
        tables=sorted(_tables()),
    )


def cgroup_roots(paths: Paths) -> list[Path]:
    """The instance's cgroup in every hierarchy where it exists."""
    name = f"cloudwright-{paths.instance}"
    candidates = [CGROUPS / name, *(mount / name for mount in _entries(CGROUPS))]
    return [group for group in candidates if group.is_dir()]


def _prefix(paths: Paths) -> str:
    return f"cw-{paths.instance}-"


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _processes(paths: Paths) -> Iterator[str]:
    """Native processes and daemons whose words name this instance's directories."""
    roots = (f"{paths.run}/", f"{paths.run}\0", f"{paths.state}/", f"{paths.state}\0")
    for entry in _entries(Path("/proc")):
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        first = words.split("\0", 1)[0].rpartition("/")[2]
        daemon = "\0-m\0cloudwright.platform\0" in words
        ours = daemon or first in ("cloudwright-native", "crun")
        if ours and any(root in words + "\0" for root in roots):
            yield f"{entry.name} {words.replace(chr(0), ' ').strip()}"


def _links(instance: str) -> Iterator[str]:
    # Not from /sys: its mount shows the network namespace of whoever mounted it.
    for link in json.loads(_output("ip", "-j", "link") or "[]"):
        alias = str(link.get("ifalias", ""))
        if alias == f"cloudwright:{instance}" or alias.startswith(f"cloudwright:{instance}:"):
            yield str(link["ifname"])


def _mounts(paths: Paths) -> Iterator[str]:
    roots = (f"{paths.state}/", f"{paths.run}/", f"{NETNS}/{_prefix(paths)}")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        target = line.split()[1]
        if target.startswith(roots):
            yield target


def _tables() -> Iterator[str]:
    for line in _output("nft", "list", "tables").splitlines():
        if line.split()[-1:] == ["cloudwright"]:
            yield line.removeprefix("table ").strip()


def _output(*command: str) -> str:
    """What a tool prints; nothing when it is not installed or fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return answer.stdout if answer.returncode == 0 else ""
