"""Waiting for a file to appear in a directory, by inotify(7): no polling."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

_CREATE, _MOVED_TO, _DELETE = 0x100, 0x80, 0x200


class Directory:
    """Changes of one directory since the watch began."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def changed(self) -> None:
        """Return when something appeared there, or went, since the last call."""
        while True:
            try:
                os.read(self._descriptor, 65536)
            except BlockingIOError:
                await anyio.wait_readable(self._descriptor)
            else:
                return


@contextmanager
def watching(directory: Path) -> Iterator[Directory]:
    """Watch a directory. Look at what is there after the watch has begun, then wait.

    Raises:
        OSError: it cannot be watched.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    try:
        mask = _CREATE | _MOVED_TO | _DELETE
        if libc.inotify_add_watch(descriptor, os.fsencode(directory), mask) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
        yield Directory(descriptor)
    finally:
        os.close(descriptor)
