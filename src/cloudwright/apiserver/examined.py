"""Which files were looked at closely before, by the digest of all that was looked at.

Reading a certificate and checking whom it is for, who signed it and whether its key fits takes a
library that is slow to load. The outcome follows from the bytes alone (only the time passes), so
it holds for as long as they are the same: one SHA-256 says that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from cloudwright._base import logs
from cloudwright._base.files import write_atomic

_log = logs.get("apiserver")
_VERSION = b"1"
"""Another one when what is checked, or what follows from it, changes."""


class Examined:
    """What was found good, in a file (JSON) of a directory that only we may read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._good = self._read()

    def until(self, name: str, parts: Iterable[bytes]) -> float | None:
        """Until when (seconds since 1970) what ``parts`` say is good; ``None``: look closely."""
        found = self._good.get(name)
        return found[1] if found is not None and found[0] == _digest(parts) else None

    def note(self, name: str, parts: Iterable[bytes], until: float) -> None:
        """``parts`` were looked at and are good. Where it cannot be kept they are looked at again
        next time.
        """
        self._good[name] = (_digest(parts), until)
        try:
            write_atomic(self._file, json.dumps(self._good).encode(), mode=0o600)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._file, error.strerror)

    def _read(self) -> dict[str, tuple[str, float]]:
        try:
            found = json.loads(self._file.read_bytes())
            return {str(name): (str(of), float(until)) for name, (of, until) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # there is none, or it is damaged: everything is looked at


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256(_VERSION)
    for part in parts:
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.hexdigest()
