"""Looking at processes of this machine: is one alive, wait for its end, who holds a port."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process with that id exists (a zombie does not count)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


def command_of(pid: int) -> str:
    """The process's command line, or its name."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(words).decode(errors="replace").strip()
    except OSError:
        return ""


def end(pid: int, *, grace_seconds: float = 10.0) -> None:
    """SIGTERM, wait for the process's own end, SIGKILL when it takes too long."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 10.0)):
            try:
                signal.pidfd_send_signal(descriptor, number)
            except ProcessLookupError:
                return
            if select.select([descriptor], [], [], seconds)[0]:
                return
    finally:
        os.close(descriptor)


def holder_of(host: str, port: int) -> str:
    """Which process listens on a TCP port here: ``nginx (pid 12)``, or the empty string."""
    inodes = _listening_inodes(port)
    if not inodes:
        return ""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            for link in (entry / "fd").iterdir():
                target = os.readlink(link)
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    return f"{(entry / 'comm').read_text().strip()} (pid {entry.name})"
        except OSError:
            continue
    return f"another process on {host}"


def _listening_inodes(port: int) -> set[str]:
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                inodes.add(words[9])
    return inodes
