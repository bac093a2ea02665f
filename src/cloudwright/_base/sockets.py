"""Who holds a TCP port of this machine (proc(5))."""

from __future__ import annotations

from pathlib import Path

_LISTEN = "0A"


def holder_of(port: int, proc: Path = Path("/proc")) -> str:
    """``NAME (pid N)`` of a process that listens on ``port``; empty when it cannot be seen."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port, proc)}
    if not inodes:
        return ""
    for directory in proc.iterdir():
        if directory.name.isdigit() and _holds(directory, inodes):
            try:
                name = (directory / "comm").read_text().strip()
            except OSError:
                continue
            return f"{name} (pid {directory.name})"
    return ""


def _listening(port: int, proc: Path) -> set[str]:
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            local, state, inode = columns[1], columns[3], columns[9]
            if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
                found.add(inode)
    return found


def _holds(directory: Path, inodes: set[str]) -> bool:
    try:
        descriptors = list((directory / "fd").iterdir())
    except OSError:
        return False  # another user's process, or one that just ended
    for descriptor in descriptors:
        try:
            if str(descriptor.readlink()) in inodes:
                return True
        except OSError:
            continue
    return False
