"""Reproducible tar archives: the same files give the same bytes on every machine and day.

Entries are sorted by path; owner, times and permission bits come from here, never from the disk
(reproducible-builds.org, ``SOURCE_DATE_EPOCH``).
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
PROGRAM_MODE = 0o755


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, symbolic link or (with neither) directory of a layer."""

    source: Path | None = None
    data: bytes | None = None
    link: str | None = None
    mode: int = FILE_MODE


@dataclass(slots=True)
class Tree:
    """The entries of one layer by absolute path inside the image. Parents are made as needed."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def add(self, path: str, entry: Entry) -> None:
        """Put ``entry`` at ``path``; a later one replaces an earlier one."""
        self.entries[str(PurePosixPath("/") / path)] = entry

    def file(self, path: str, source: Path, *, program: bool = False) -> None:
        """A copy of a file of this machine."""
        self.add(path, Entry(source=source, mode=PROGRAM_MODE if program else FILE_MODE))

    def text(self, path: str, data: str | bytes, *, mode: int = FILE_MODE) -> None:
        """A file with the given content."""
        raw = data.encode() if isinstance(data, str) else data
        self.add(path, Entry(data=raw, mode=mode))

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self.add(path, Entry(link=target))

    def directory(self, path: str, mode: int = DIRECTORY_MODE) -> None:
        """An (empty) directory."""
        self.add(path, Entry(mode=mode))

    def with_parents(self) -> dict[str, Entry]:
        """The entries and every parent directory, in order."""
        whole = dict(self.entries)
        for path in self.entries:
            for parent in PurePosixPath(path).parents:
                if str(parent) != "/":
                    whole.setdefault(str(parent), Entry(mode=DIRECTORY_MODE))
        return dict(sorted(whole.items()))


def write(tree: Tree, target: IO[bytes], *, epoch: int = 0) -> None:
    """Write ``tree`` as an uncompressed POSIX archive with every time set to ``epoch`` seconds."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, entry in tree.with_parents().items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.mode, info.mtime = entry.mode, epoch
            if entry.link is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
                archive.addfile(info)
            elif entry.data is not None:
                info.size = len(entry.data)
                archive.addfile(info, io.BytesIO(entry.data))
            elif entry.source is not None:
                with entry.source.open("rb") as content:
                    info.size = entry.source.stat().st_size
                    archive.addfile(info, content)
            else:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
