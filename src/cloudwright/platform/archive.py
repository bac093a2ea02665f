"""The form of a backup: one gzip'd tar with ``manifest.json`` first, then the files it names.

The manifest has the archive's own format version and size and SHA-256 of every file; reading an
archive holds each against it, and refuses whatever else is in there.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from cloudwright._base.errors import CloudwrightError

FORMAT = 1
MANIFEST = "manifest.json"
_MANIFEST_BYTES_MAX = 16 << 20
_BLOCK = 1 << 20

Progress = Callable[[int], None]
"""Gets bytes as they are done."""


class BadArchive(CloudwrightError):
    """A backup that cannot be read, or is not what was written."""

    default_code = "CW4010"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the archive."""

    path: str
    bytes: int
    sha256: str
    mode: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the archive says of itself."""

    format: int
    kind: str
    version: str
    """Of the Cloudwright that wrote it."""
    created: str
    host: str
    revision: int
    keys: int
    store_format: int
    files: list[Entry] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.files)


def digest(path: Path, name: str) -> Entry:
    """The entry for the file at ``path``, to be stored as ``name``."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
        stat = os.fstat(file.fileno())
    return Entry(name, stat.st_size, found.hexdigest(), stat.st_mode & 0o777)


def write(target: Path, manifest: Manifest, sources: dict[str, Path], progress: Progress) -> None:
    """Write the archive to ``target`` (new, 0600, synced).

    Raises:
        BadArchive: a file changed while it was being written.
    """
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with (
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3, filename="") as packed,
            tarfile.open(fileobj=packed, mode="w|") as tar,
        ):
            text = json.dumps(asdict(manifest), indent=1).encode()
            tar.addfile(_info(MANIFEST, len(text), 0o600), io.BytesIO(text))
            for entry in manifest.files:
                with sources[entry.path].open("rb") as file:
                    if os.fstat(file.fileno()).st_size != entry.bytes:
                        raise BadArchive(f"{sources[entry.path]} changed meanwhile; try again")
                    counted = _Counted(file, progress)
                    tar.addfile(_info(entry.path, entry.bytes, entry.mode), counted)
        raw.flush()
        os.fsync(raw.fileno())


def read(source: Path, progress: Progress, into: Path | None = None) -> Manifest:
    """Hold every file of the archive against the manifest; with ``into`` (an empty directory) also
    put them there, synced.

    Raises:
        BadArchive: it is damaged, not an archive of ours, or of a newer format.
    """
    try:
        with tarfile.open(source, mode="r|gz") as tar:
            members = iter(tar)
            manifest = _manifest(tar, next(members, None), source)
            awaited = {entry.path: entry for entry in manifest.files}
            for member in members:
                entry = awaited.pop(member.name, None)
                if entry is None or not member.isreg() or member.size != entry.bytes:
                    raise BadArchive(f"{source}: {member.name!r} is not what the manifest says")
                _take(tar, member, entry, source, progress, into)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise BadArchive(f"{source} cannot be read: {error.strerror}") from error
        raise BadArchive(
            f"{source} is damaged or no backup: {error or 'it ends too early'}",
            hint="use another; `cloudwright restore --verify FILE` tells whether one is good",
        ) from error
    if awaited:
        raise BadArchive(f"{source} is damaged: {next(iter(awaited))} is missing")
    return manifest


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo | None, source: Path) -> Manifest:
    if member is None or member.name != MANIFEST or member.size > _MANIFEST_BYTES_MAX:
        raise BadArchive(f"{source} is no backup of Cloudwright")
    file = tar.extractfile(member)
    try:
        fields: dict[str, Any] = json.loads(file.read() if file else b"")
        found = int(fields["format"])
        if found <= FORMAT:
            entries = [Entry(**entry) for entry in fields.pop("files")]
            manifest = Manifest(**fields, files=entries)
    except (ValueError, KeyError, TypeError) as error:
        raise BadArchive(f"{source} is no backup of Cloudwright: its manifest is bad") from error
    if found > FORMAT:
        raise BadArchive(
            f"{source} has format {found}, this version knows up to {FORMAT}",
            hint="restore it with the version of Cloudwright that wrote it, or a newer one",
        )
    for entry in manifest.files:
        name = PurePosixPath(entry.path)
        if name.is_absolute() or ".." in name.parts or not name.parts:
            raise BadArchive(f"{source}: {entry.path!r} is not a path inside the state directory")
    return manifest


def _take(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    entry: Entry,
    source: Path,
    progress: Progress,
    into: Path | None,
) -> None:
    file = tar.extractfile(member)
    assert file is not None, "a regular file has content"
    found = hashlib.sha256()
    for block in _blocks(file, into / entry.path if into else None, entry.mode):
        found.update(block)
        progress(len(block))
    if found.hexdigest() != entry.sha256:
        raise BadArchive(f"{source} is damaged: {entry.path} is not what was written")


def _blocks(file: Any, target: Path | None, mode: int) -> Iterator[bytes]:
    """The content block by block, written to ``target`` on the way."""
    if target is None:
        while block := file.read(_BLOCK):
            yield block
        return
    for directory in reversed(target.relative_to(target.anchor).parents):
        path = Path(target.anchor) / directory
        if not path.exists():
            path.mkdir(0o700)
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode & 0o700)
    with os.fdopen(descriptor, "wb") as out:
        os.fchmod(out.fileno(), mode)
        while block := file.read(_BLOCK):
            out.write(block)
            yield block
        out.flush()
        os.fsync(out.fileno())


def _info(name: str, size: int, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    return info


class _Counted:
    """A file that tells of what is read from it."""

    def __init__(self, file: Any, progress: Progress) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        block: bytes = self._file.read(size)
        self._progress(len(block))
        return block
