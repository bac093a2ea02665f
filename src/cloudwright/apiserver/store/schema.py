"""The database file: locking and opening it safely, bringing an older format up to date."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from cloudwright._base.files import make_private
from cloudwright.apiserver.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
)
from cloudwright.apiserver.store.statements import FORMAT, MIGRATE, TABLES, checksum

PAGE_BYTES = 16384
"""Objects have one to six kilobytes: so many fill such a page well, and a commit still writes few.
"""
WAL_PAGES = 256
"""The log is written back to the file when it has so many pages (4 MiB)."""
_STRANGE = ("Could not decode", "JSON cannot hold", "no such column", "no such table")
RESTORE = "stop the platform and put a backup back with `cloudwright restore FILE`"


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """A SQLite failure as the store's own error."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(
            f"the store cannot be written: no space left on the device of {path}",
            hint="free some space; writes work again by themselves",
        )
    # Without a code of its own: a column has what it never was given, or lost its name.
    strange = any(words in str(error) for words in _STRANGE)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or strange:
        return StoreCorruptError(
            f"the store {path} is damaged: {error}",
            hint=RESTORE,
        )
    return StoreError(f"the store {path} failed: {error}")


def lock(path: Path) -> int:
    """Hold ``path`` for this process; returns the descriptor that keeps the lock.

    Raises:
        StoreBusyError: another process has it.
        StoreError: the directory cannot be written.
    """
    try:
        make_private(path.parent)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"the store's directory {path.parent} cannot be used: {error}") from error
    # A power cut must not take the directory's own entry with it; SQLite syncs those inside.
    for directory in (path.parent, path.parent.parent):
        _sync(directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StoreBusyError(
            f"the store {path} is in use by another process",
            hint="stop the other daemon, or choose another --state-dir",
        ) from error
    return descriptor


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect(path: Path, *, synchronous: str, cache_kib: int) -> sqlite3.Connection:
    """A connection for the writer: creates the file (0600) and its tables when there are none, and
    brings an older format up to date.

    Raises:
        StoreError: it cannot be opened, is damaged, or is of a newer format.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the store {path} cannot be opened: {error}") from error
    try:
        _prepare(database, path, synchronous, cache_kib)
    except sqlite3.Error as error:
        database.close()
        raise translate(error, path) from error
    except UnicodeDecodeError as error:  # what SQLite complains of is unreadable itself
        database.close()
        raise StoreCorruptError(f"the store {path} is damaged: {error}", hint=RESTORE) from error
    except StoreError:
        database.close()
        raise
    return database


def connect_reader(path: Path, *, cache_kib: int = 2048) -> sqlite3.Connection:
    """A connection that only reads.

    Raises:
        StoreError: it cannot be opened.
    """
    try:
        database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        database.execute(f"PRAGMA cache_size = {-cache_kib}")
        database.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise translate(error, path) from error
    return database


def connect_beside(path: Path) -> sqlite3.Connection:
    """A connection of another process, or after the store was closed. It only reads, but may have
    to recover the write-ahead log.

    Raises:
        StoreError: there is no such file, or it cannot be opened.
    """
    try:
        database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=30
        )
        database.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise translate(error, path) from error
    return database


def format_of(database: sqlite3.Connection) -> int:
    """The file's format; 0: it is empty."""
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _prepare(database: sqlite3.Connection, path: Path, synchronous: str, cache_kib: int) -> None:
    found = format_of(database)
    if found > FORMAT:
        raise StoreError(
            f"the store {path} has format {found}, this version knows up to {FORMAT}",
            hint="run the version of Cloudwright that wrote it, or a newer one",
        )
    if found == 0:
        # Must come before the first table: later they would need a VACUUM.
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute(f"PRAGMA cache_size = {-cache_kib}")
    database.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    database.execute(f"PRAGMA journal_size_limit = {WAL_PAGES * PAGE_BYTES}")
    database.execute("PRAGMA temp_store = MEMORY")
    if found == 0:
        database.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
    else:
        verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreCorruptError(f"the store {path} is damaged: {verdict}", hint=RESTORE)
        _migrate(database, found)


def _migrate(database: sqlite3.Connection, found: int) -> None:
    if found == FORMAT:
        return
    database.create_function("checksum", 4, checksum, deterministic=True)
    database.execute("BEGIN IMMEDIATE")
    for step in range(found, FORMAT):
        for statement in MIGRATE[step]:
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {FORMAT}")
    database.execute("COMMIT")
