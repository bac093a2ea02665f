"""Writing files so that a reader, or a machine that loses power, sees the old or the new one
whole.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = False) -> None:
    """Replace ``path`` with ``data`` by rename; ``durable`` also syncs the file and its directory.

    Raises:
        OSError: the disk is full, the directory is missing, …; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(descriptor, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def make_passage(path: Path) -> Path:
    """Create directory ``path`` that anybody may pass through, but only the owner may list.

    For directories above those that unprivileged processes (the proxies) own.
    """
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o711)
    return path


def make_private(path: Path) -> Path:
    """Create directory ``path`` (and parents) readable by the owner only; returns it."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path
