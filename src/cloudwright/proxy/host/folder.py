"""All files of a folder: what is loaded, and what changes when files do.

A file that does not load keeps its old filters; its error is part of what the proxy is told. Files
are looked at again only when inotify(7) says that one was closed after writing, moved or removed,
so a half-written file is not read.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudwright.proxy.host.entry import Entry
from cloudwright.proxy.host.source import SourceError, forget_shared, is_source, load, stop

FILTERS_AT_MOST = 64
Stamp = tuple[int, int, int]


@dataclass(slots=True)
class _File:
    """One file as it was last looked at."""

    stamp: tuple[Stamp | None, Stamp | None]
    entries: list[Entry] = field(default_factory=list)
    error: SourceError | None = None


class Folder:
    """The filters of one directory, by id. Ids are never used twice."""

    def __init__(self, path: Path) -> None:
        """Looks at nothing yet; ``refresh`` does."""
        self.path = path.resolve()
        self.generation = 0
        self.errors: list[SourceError] = []
        self._files: dict[str, _File] = {}
        self._shared: dict[str, Stamp | None] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._versions = 0

    def refresh(self) -> tuple[bool, list[Entry]]:
        """Look at the files; whether anything changed, and the filters that are to be stopped.

        Raises:
            OSError: the folder cannot be read.
        """
        names = sorted(os.listdir(self.path))
        shared = {name: self._stamp(name) for name in names if name[0] == "_" and ".py" in name}
        again = shared != self._shared
        if again:
            forget_shared(self.path)
            self._shared = shared
        if str(self.path) not in sys.path:
            sys.path.append(str(self.path))
        gone: list[Entry] = []
        changed = False
        for name in [known for known in self._files if known not in names]:
            gone += self._files.pop(name).entries
            changed = True
        for name in filter(is_source, names):
            stamp = (self._stamp(name), self._stamp(str(Path(name).with_suffix(".yaml"))))
            known = self._files.get(name)
            if stamp[0] is None or (known is not None and known.stamp == stamp and not again):
                continue
            gone += self._reload(name, known or _File(stamp), stamp)
            changed = True
        if changed or not self.generation:
            self.generation += 1
            self.errors = [file.error for file in self._files.values() if file.error is not None]
            self.errors += self._doubles()
        return changed, gone

    def filters(self) -> dict[int, Entry]:
        """What is loaded, by id."""
        return {entry.id: entry for entry in self._chosen()}

    def describe(self) -> dict[str, Any]:
        """What the proxy is told; filters in the order in which they run."""
        chosen = sorted(self._chosen(), key=lambda entry: (entry.order, entry.name))
        return {
            "generation": self.generation,
            "filters": [entry.describe() for entry in chosen],
            "errors": [
                {"file": error.file, "line": error.line, "message": error.message}
                for error in self.errors
            ],
        }

    def close(self) -> list[SourceError]:
        """Stop every filter."""
        entries = [entry for file in self._files.values() for entry in file.entries]
        self._files = {}
        return stop(entries)

    def _reload(
        self, name: str, known: _File, stamp: tuple[Stamp | None, Stamp | None]
    ) -> list[Entry]:
        """Load one file; returns the filters that it replaces."""
        self._versions += 1
        known.stamp = stamp
        self._files[name] = known
        try:
            entries = load(self.path / name, self._versions)
        except SourceError as error:
            known.error = error
            return []
        for entry in entries:
            entry.version = self._versions
            entry.id = self._ids.setdefault((name, entry.name), len(self._ids) + 1)
        known.error = None
        known.entries, old = entries, known.entries
        return old

    def _chosen(self) -> list[Entry]:
        """Every filter whose name no file before it has taken, at most ``FILTERS_AT_MOST``."""
        chosen: dict[str, Entry] = {}
        for name in sorted(self._files):
            for entry in self._files[name].entries:
                chosen.setdefault(entry.name, entry)
        return list(chosen.values())[:FILTERS_AT_MOST]

    def _doubles(self) -> list[SourceError]:
        chosen = self._chosen()
        first = {entry.name: entry for entry in chosen}
        problems = []
        for name in sorted(self._files):
            for entry in self._files[name].entries:
                winner = first.get(entry.name)
                if winner is None:
                    text = f"at most {FILTERS_AT_MOST} filters; {entry.name} is left out"
                    problems.append(SourceError(entry.file, 0, text))
                elif winner is not entry:
                    text = f"the name {entry.name!r} is taken by {winner.file}"
                    problems.append(SourceError(entry.file, 0, text))
        return problems

    def _stamp(self, name: str) -> Stamp | None:
        try:
            status = os.stat(self.path / name)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EACCES):
                return None
            raise
        return (status.st_mtime_ns, status.st_size, status.st_ino)
