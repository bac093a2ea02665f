"""What a container sees mounted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudwright.model.sandbox import Mount
from cloudwright.runtime.errors import ContainerSpecError

_SYSTEM: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("/proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", ("nosuid", "noexec", "strictatime", "mode=755", "size=64k")),
    ("/dev/pts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")),
    ("/dev/shm", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777", "size=64m")),  # noqa: S108
    ("/dev/mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ("/sys", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
)
_FORBIDDEN = ("/proc", "/sys", "/dev")


def mounts(wanted: Sequence[Mount]) -> list[dict[str, Any]]:
    """The system's mounts, then ``wanted`` as bind mounts, parents before children.

    Raises:
        ContainerSpecError: a destination is not allowed or given twice.
    """
    found = [
        {"destination": destination, "type": kind, "source": kind, "options": list(options)}
        for destination, kind, options in _SYSTEM
    ]
    seen: set[str] = set()
    for mount in sorted(wanted, key=lambda one: one.destination.rstrip("/").count("/")):
        destination = _checked(mount.destination)
        if destination in seen:
            raise ContainerSpecError(f"mountPath {destination} is given twice")
        if not mount.source.startswith("/"):
            raise ContainerSpecError(f"mount of {destination}: its source is not absolute")
        seen.add(destination)
        options = ["rbind", "rprivate", "nosuid", "nodev", "ro" if mount.read_only else "rw"]
        found.append(
            {
                "destination": destination,
                "type": "bind",
                "source": mount.source,
                "options": options,
            }
        )
    return found


def _checked(destination: str) -> str:
    parts = destination.split("/")
    if not destination.startswith("/") or ".." in parts or "\0" in destination:
        raise ContainerSpecError(f"mountPath {destination!r} is not an absolute path without ..")
    clean = "/" + "/".join(part for part in parts if part not in ("", "."))
    if clean == "/":
        raise ContainerSpecError("mountPath / would hide the whole image")
    for system in _FORBIDDEN:
        if clean == system or clean.startswith(system + "/"):
            raise ContainerSpecError(f"mountPath {clean} lies in {system}, which is the kernel's")
    return clean
