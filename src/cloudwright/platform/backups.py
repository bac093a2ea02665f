"""Saving the platform's state as one file while it runs, and putting it back.

What is saved: the objects (a consistent copy of the store), certificate authorities, keys and
tokens, the settings. Not: images, logs, volumes, what runs.

Restoring first makes everything ready beside the state (``.restore``), then a rename of that
directory (``.restore-ready``) decides; from then on it is only moved into place, by ``finish``,
which the daemon's start calls too. What was there before is kept in ``before-restore-TIME``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cloudwright import __version__
from cloudwright._base.clock import rfc3339
from cloudwright._base.errors import CloudwrightError, ConflictError, NotFoundError
from cloudwright._base.files import make_passage, write_atomic
from cloudwright._base.paths import Paths
from cloudwright.apiserver.store import backup, checking, schema
from cloudwright.platform import archive
from cloudwright.platform.archive import BadArchive, Manifest
from cloudwright.platform.errors import AlreadyRunning

KIND = "cloudwright-backup"
SAVED = ("apiserver", "pki", "config.toml")
"""What is saved of the state directory, and replaced as a whole."""
_STORE = "apiserver/store.db"
_ASIDE = "kept-in"
"""In a staged state: the name of the directory for what was there before."""
_LEFT_OUT = ("store.db", "store.db-wal", "store.db-shm", "store.db.lock", "store.db-journal")

Progress = Callable[[str, float], None]
"""Gets what is being done and how much of it, 0 … 1."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    manifest: Manifest
    revision: int
    """The store's revision now."""
    kept: Path | None
    """Where the state before is; ``None``: there was none."""


def create(
    paths: Paths,
    target: Path,
    *,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> Manifest:
    """Save the state to ``target`` (0600). The platform may run.

    Raises:
        NotFoundError: there is no state.
        ConflictError: ``target`` exists.
        CloudwrightError: the state cannot be read, or ``target`` not be written.
    """
    if not paths.database.exists():
        raise NotFoundError(
            f"there is no store in {paths.state}",
            hint="name the state directory (--state-dir); for a store on etcd use etcd's own tools",
        )
    if target.exists() and not overwrite:
        raise ConflictError(f"{target} exists already", hint="choose another name, or --overwrite")
    with tempfile.TemporaryDirectory(prefix=".cloudwright-backup-", dir=target.parent) as scratch:
        store = Path(scratch) / "store.db"
        copied = backup.copy(
            paths.database, store, lambda part: progress("copying the objects", part)
        )
        sources = {_STORE: store, **_files(paths.state)}
        manifest = Manifest(
            format=archive.FORMAT,
            kind=KIND,
            version=__version__,
            created=rfc3339(datetime.now(UTC)),
            host=socket.gethostname(),
            revision=copied.revision,
            keys=copied.keys,
            store_format=copied.format,
            files=[archive.digest(path, name) for name, path in sources.items()],
        )
        packed = Path(scratch) / "archive"
        counted = _counted("packing", manifest.bytes, progress)
        archive.write(packed, manifest, sources, counted)
        packed.replace(target)
    _sync(target.parent)
    return manifest


def verify(source: Path, progress: Progress = lambda *_: None) -> Manifest:
    """Read a backup whole: digests, then every page and checksum of the store in it.

    Raises:
        BadArchive: it is not good; says why.
    """
    with tempfile.TemporaryDirectory(prefix="cloudwright-verify-") as scratch:
        return _unpack(source, Path(scratch), progress)


def restore(paths: Paths, source: Path, progress: Progress = lambda *_: None) -> Restored:
    """Replace the state by what ``source`` has. Nothing is touched unless all of it is good.

    Raises:
        AlreadyRunning: the platform, or another API server on the store, runs.
        BadArchive: ``source`` is not good.
    """
    make_passage(paths.state)
    with _stopped(paths):
        staged = paths.state / ".restore"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(0o700)
        try:
            manifest = _unpack(source, staged, progress)
            progress("moving the revision ahead", 0.0)
            revision = backup.leap(staged / _STORE)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        write_atomic(staged / _ASIDE, f"before-restore-{moment}".encode(), durable=True)
        for directory in (staged, *(path for path in staged.rglob("*") if path.is_dir())):
            _sync(directory)
        # From here on it is decided: whoever comes next finishes it.
        staged.rename(_ready(paths))
        _sync(paths.state)
        kept = finish(paths)
    return Restored(manifest, revision, kept)


def finish(paths: Paths) -> Path | None:
    """Move a restored state into place, if one is ready; returns where the one before is kept.

    The platform must not run. May be called again after it was killed at any point.
    """
    ready = _ready(paths)
    if not ready.is_dir():
        return None
    aside = paths.state / (ready / _ASIDE).read_text()
    for name in SAVED:
        staged, place = ready / name, paths.state / name
        if not staged.exists():
            continue
        if place.exists():
            aside.mkdir(0o700, exist_ok=True)
            place.rename(aside / name)
        staged.rename(place)
        _sync(paths.state)
    done = ready.rename(paths.state / ".restore")  # half removed, it must not be taken for ready
    shutil.rmtree(done)
    _sync(paths.state)
    if not aside.is_dir():
        return None
    if all(path.name in _LEFT_OUT[1:] or path.is_dir() for path in aside.rglob("*")):
        shutil.rmtree(aside)  # there was no state, only the lock that we took
        return None
    return aside


def _ready(paths: Paths) -> Path:
    return paths.state / ".restore-ready"


def _unpack(source: Path, into: Path, progress: Progress) -> Manifest:
    size = max(source.stat().st_size, 1) if source.is_file() else 1
    manifest = archive.read(source, _counted("reading the backup", size * 4, progress), into)
    if manifest.kind != KIND or not any(entry.path == _STORE for entry in manifest.files):
        raise BadArchive(f"{source} is no backup of Cloudwright's state")
    strange = [e.path for e in manifest.files if e.path.split("/")[0] not in SAVED]
    if strange:
        raise BadArchive(f"{source}: {strange[0]!r} does not belong in a backup")
    progress("checking the store", 0.0)
    report = checking.check(into / _STORE)
    if report.problems:
        raise BadArchive(f"{source} is damaged: {report.problems[0]}")
    return manifest


def _files(state: Path) -> dict[str, Path]:
    """Every other file to be saved, by its name in the archive."""
    found = {}
    for name in SAVED:
        top = state / name
        for path in (top, *sorted(top.rglob("*"))):
            if path.is_file() and not path.is_symlink():
                inside = path.relative_to(state).as_posix()
                if inside.split("/")[-1] not in _LEFT_OUT and not path.name.endswith(".tmp"):
                    found[inside] = path
    return found


def _counted(text: str, whole: int, progress: Progress) -> archive.Progress:
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        progress(text, min(done / max(whole, 1), 1.0))

    return add


@contextmanager
def _stopped(paths: Paths) -> Iterator[None]:
    """Hold the daemon's and the store's locks, so that nobody starts meanwhile."""
    make_passage(paths.run)
    daemon = os.open(paths.daemon_pid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(daemon, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                "the platform runs", hint="end it first: `cloudwright down --daemon-only`"
            ) from None
        try:
            store = schema.lock(paths.database)
        except CloudwrightError as error:
            raise AlreadyRunning(error.message, hint="end the API server first") from error
        try:
            yield
        finally:
            os.close(store)
    finally:
        os.close(daemon)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
