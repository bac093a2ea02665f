"""Listening on a TCP port, and naming who holds it when it is taken."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from cloudwright._base.errors import CloudwrightError, ConflictError

BACKLOG = 512
_LISTEN = "0A"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one.

    Raises:
        ConflictError: the port is taken; the message names the process if it can be seen.
        CloudwrightError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            holder = holder_of(port)
            raise ConflictError(
                f"port {port} on {host} is already in use" + (f" by {holder}" if holder else ""),
                code="CW3220",
                hint="stop that process, or choose another port",
            ) from error
        raise CloudwrightError(
            f"cannot listen on {host}:{port}: {error.strerror}", code="CW3221"
        ) from error
    return sock


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
