"""Read a small file of an image through its layers, without ever following a link out of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

FILE_MAX = 1024 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def read_text(layers: Sequence[str], path: str) -> str:
    """The text of ``path`` in an overlay of ``layers`` (lowest first); empty when there is none.

    A symbolic link anywhere on the way counts as none: a hostile image must not choose which
    file of the host is read. At most 1 MiB is read.
    """
    parts = [part for part in path.split("/") if part]
    for layer in reversed(layers):
        found, text = _look(layer, parts)
        if found:
            return text
    return ""


def _look(layer: str, parts: Sequence[str]) -> tuple[bool, str]:
    """``(decided, text)``: a layer that has, deletes or hides the file decides."""
    directory = os.open(layer, _DIRECTORY)
    hidden = False
    try:
        for number, part in enumerate(parts):
            try:
                entry = os.stat(part, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                return hidden, ""
            if number == len(parts) - 1:
                return True, _read(directory, part) if stat.S_ISREG(entry.st_mode) else ""
            if not stat.S_ISDIR(entry.st_mode):
                return True, ""  # a whiteout, a link, a file: the path does not exist here
            below = os.open(part, _DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = below
            hidden = hidden or _is_opaque(directory)
    finally:
        os.close(directory)
    return hidden, ""


def _read(directory: int, name: str) -> str:
    descriptor = os.open(name, _FILE, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return file.read(FILE_MAX).decode(errors="replace")


def _is_opaque(directory: int) -> bool:
    for name in ("trusted.overlay.opaque", "user.overlay.opaque"):
        try:
            if os.getxattr(directory, name) == b"y":
                return True
        except OSError:
            continue  # not set, not supported, or not ours to read
    return False
