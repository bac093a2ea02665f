"""Files that proxies read: written by root, owned by the proxies' user, replaced by rename."""

from __future__ import annotations

import os
from pathlib import Path

from cloudwright._base.files import make_private
from cloudwright.mesh.errors import MeshConfigError


def write_owned(path: Path, data: bytes, *, uid: int, gid: int, mode: int = 0o600) -> None:
    """Replace ``path`` by rename with a file that belongs to ``uid`` from its first moment.

    Raises:
        OSError: the disk is full, …; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(descriptor, mode)
            give(descriptor, uid, gid)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def give(path: Path | int, uid: int, gid: int) -> None:
    """Change the owner; without root there is only one user, and nothing to change."""
    if os.geteuid() == 0:
        os.chown(path, uid, gid)


def make_owned(path: Path, uid: int, gid: int) -> None:
    """Make the directory ``path`` (0700) for ``uid``."""
    make_private(path)
    give(path, uid, gid)


def make_passable(path: Path) -> None:
    """Make the directory ``path``, which others may enter but not list."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(path.stat().st_mode & 0o7777 | 0o711)


def first_closed(path: Path, uid: int, gid: int) -> Path | None:
    """The first directory above ``path`` that user ``uid`` cannot enter, if there is one."""
    for directory in reversed(path.parents):
        status = directory.stat()
        if status.st_uid == uid:
            allowed = status.st_mode & 0o100
        elif status.st_gid == gid:
            allowed = status.st_mode & 0o010
        else:
            allowed = status.st_mode & 0o001
        if not allowed:
            return directory
    return None


def require_passable(path: Path, uid: int, gid: int, what: str) -> None:
    """Check that the proxies can get to ``path``.

    Raises:
        MeshConfigError: they cannot; it names the directory that is closed.
    """
    closed = first_closed(path, uid, gid)
    if closed is not None:
        raise MeshConfigError(
            f"the proxies run as uid {uid} and cannot enter {closed}, on the way to {what} {path}",
            hint=f"choose another state directory (--state-dir), or run: chmod o+x {closed}",
        )
