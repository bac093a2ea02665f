"""Waiting for files of a folder to change, in a thread of its own, by inotify(7)."""

from __future__ import annotations

import os
import select
from pathlib import Path


class Watch:
    """Changes of one directory since the watch began; ended from another thread by ``close``."""

    def __init__(self, path: Path) -> None:
        """Begin to watch.

        Raises:
            OSError: the directory cannot be watched.
        """
        import inotify_simple as inotify  # type: ignore[import-untyped]

        flags = inotify.flags
        self._gone = flags.DELETE_SELF | flags.MOVE_SELF | flags.IGNORED
        self._inotify = inotify.INotify(nonblocking=True)
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        mask = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.ATTRIB
        try:
            self._inotify.add_watch(str(path), mask | flags.DELETE_SELF | flags.MOVE_SELF)
        except OSError as error:
            raise OSError(error.errno, "cannot be watched", str(path)) from error
        self._poll = select.poll()
        self._poll.register(self._inotify.fileno(), select.POLLIN)
        self._poll.register(self._end, select.POLLIN)

    def wait(self) -> bool:
        """Return when something changed: True, or False after ``close``.

        Raises:
            FileNotFoundError: the directory itself went away.
        """
        ready = {descriptor for descriptor, _ in self._poll.poll()}
        if self._end in ready:
            return False
        if any(event.mask & self._gone for event in self._inotify.read(timeout=0)):
            raise FileNotFoundError("the folder of filters went away")
        return True

    def close(self) -> None:
        """Let ``wait`` return False."""
        os.eventfd_write(self._end, 1)
