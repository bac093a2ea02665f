"""A consistent copy of the database file while it is in use, and one made fit to be put back."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloudwright.apiserver.errors import StoreCorruptError, StoreError
from cloudwright.apiserver.store import checking, schema, statements

LEAP = 1_000_000_000
"""By how much a restored store's revision jumps: far beyond whatever clients saw of the one that
was lost, so that their watches and pages end with 410 instead of silently missing writes."""

_STEPS = 20_000
"""SQLite instructions between two calls of the progress function."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy holds."""

    revision: int
    keys: int
    format: int
    bytes: int


def copy(source: Path, target: Path, progress: Callable[[float], None] = lambda _: None) -> Copy:
    """Write the state of ``source`` at one moment, without history's free pages, to ``target``
    (new, 0600, synced). The store may be written meanwhile. ``progress`` gets 0 … 1.

    Raises:
        StoreCorruptError: the copy does not pass its check.
        StoreError: ``source`` cannot be read, or the disk is full.
    """
    database = schema.connect_beside(source)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        whole = _held_bytes(database)

        def tell() -> None:
            progress(min(target.stat().st_size / whole, 0.99))

        database.set_progress_handler(tell, _STEPS)
        # The page cache would hold the whole copy until the end, and progress would jump.
        database.execute("PRAGMA query_only = OFF")
        database.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise schema.translate(error, source) from error
    finally:
        database.set_progress_handler(None, 0)
        database.close()
    _sync(target)
    report = _sound(target)
    progress(1.0)
    return Copy(report.revision, report.keys, statements.FORMAT, target.stat().st_size)


def leap(path: Path) -> int:
    """Move the revision of the closed store at ``path`` far ahead and end its history there;
    returns it. Older formats are brought up to date.

    Raises:
        StoreError: it cannot be used (damaged, of a newer format, …).
    """
    database = schema.connect(path, synchronous="FULL", cache_kib=2048)
    try:
        newest = max(
            database.execute(statements.NEWEST).fetchone()[0] or 0,
            database.execute(statements.META, ("floor",)).fetchone()[0],
        )
        ahead = int(newest) + LEAP
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM log")
        for name in ("floor", "compacted"):
            database.execute(statements.SET_META, (ahead, name))
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise schema.translate(error, path) from error
    finally:
        database.close()
    _sound(path)
    _sync(path)
    return ahead


def _held_bytes(database: sqlite3.Connection) -> int:
    numbers = ("page_count", "freelist_count", "page_size")
    pages, free, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in numbers)
    return int(max((pages - free) * size, 1))


def _sound(path: Path) -> checking.Report:
    report = checking.check(path)
    if report.problems:
        raise StoreCorruptError(
            f"the copy {path.name} is damaged: {report.problems[0]}", hint="look at the disk"
        )
    return report


def _sync(path: Path) -> None:
    for one, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        try:
            descriptor = os.open(one, flags)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(f"{one} cannot be synced: {error}") from error
