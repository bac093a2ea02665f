"""The database file: opening it safely, its tables, the statements on them.

``history`` has one row for each write, ``current`` says which of them is each key's newest. A row
of ``history`` knows the row it superseded (``previous``), so that reading at an older revision
needs no index by key: it is what is current and old enough, plus what later rows superseded.
"""

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

FORMAT = 1

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE history (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    at INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE current (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('compacted', 0);
"""

GET = (
    "SELECT h.revision, h.created, h.value FROM current c "
    "JOIN history h ON h.revision = c.revision WHERE c.key = ?"
)
REVISION = "SELECT revision FROM current WHERE key = ?"
LIST = (
    "SELECT c.key, h.revision, h.created, h.value FROM current c "
    "CROSS JOIN history h ON h.revision = c.revision "
    "WHERE c.key > ? AND c.key < ? ORDER BY c.key LIMIT ?"
)
LIST_AT = (
    "SELECT * FROM ("
    "SELECT c.key AS key, h.revision, h.created, h.value FROM current c "
    "CROSS JOIN history h ON h.revision = c.revision "
    "WHERE c.key > ?1 AND c.key < ?2 AND c.revision <= ?4 "
    "UNION ALL "
    "SELECT p.key, p.revision, p.created, p.value FROM history h "
    "CROSS JOIN history p ON p.revision = h.previous "
    "WHERE h.revision > ?4 AND h.key > ?1 AND h.key < ?2 AND h.previous BETWEEN 1 AND ?4"
    ") ORDER BY key LIMIT ?3"
)
COUNT = "SELECT count(*) FROM current WHERE key > ? AND key < ?"
REPLAY = (
    "SELECT h.revision, h.key, h.deleted, h.created, h.value, p.value FROM history h "
    "LEFT JOIN history p ON p.revision = h.previous "
    "WHERE h.revision > ? AND h.revision <= ? AND h.key >= ? AND h.key < ? "
    "ORDER BY h.revision LIMIT 500"
)
INSERT = "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?)"
POINT = (
    "INSERT INTO current VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET revision = excluded.revision"
)
UNPOINT = "DELETE FROM current WHERE key = ?"
NEWEST = "SELECT max(revision) FROM history"
COMPACTED = "SELECT value FROM meta WHERE name = 'compacted'"
AGED = "SELECT revision FROM history WHERE revision <= ? AND at < ? ORDER BY revision DESC LIMIT 1"
DROP_SUPERSEDED = (
    "DELETE FROM history WHERE revision IN "
    "(SELECT previous FROM history WHERE revision > ? AND revision <= ? AND previous > 0)"
)
DROP_TOMBSTONES = "DELETE FROM history WHERE revision > ? AND revision <= ? AND deleted = 1"
SET_COMPACTED = "UPDATE meta SET value = ? WHERE name = 'compacted'"
DANGLING = (
    "SELECT c.key FROM current c LEFT JOIN history h ON h.revision = c.revision "
    "WHERE h.key IS NOT c.key OR h.deleted LIMIT 1"
)


def end_of(prefix: str) -> str:
    """The least text greater than every key that starts with ``prefix``."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """A SQLite failure as the store's own error."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(
            f"the store cannot be written: no space left on the device of {path}",
            hint="free some space; writes work again by themselves",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorruptError(
            f"the store {path} is damaged: {error}",
            hint="stop the platform and put back a backup of this file",
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
    """A connection for the writer: creates the file (0600) and its tables when there are none.

    Raises:
        StoreError: it cannot be opened, is damaged, or is of a newer format.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the store {path} cannot be opened: {error}") from error
    try:
        _prepare(database, synchronous, cache_kib)
        _check(database, path)
    except sqlite3.Error as error:
        database.close()
        raise translate(error, path) from error
    except StoreError:
        database.close()
        raise
    return database


def connect_reader(path: Path, *, cache_kib: int) -> sqlite3.Connection:
    """A connection that only reads."""
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    database.execute(f"PRAGMA cache_size = {-cache_kib}")
    database.execute("PRAGMA query_only = ON")
    return database


def _prepare(database: sqlite3.Connection, synchronous: str, cache_kib: int) -> None:
    if database.execute("PRAGMA user_version").fetchone()[0] == 0:
        # Must come before the first table: later it would need a VACUUM.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute(f"PRAGMA cache_size = {-cache_kib}")
    database.execute("PRAGMA wal_autocheckpoint = 2000")
    database.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
    database.execute("PRAGMA temp_store = MEMORY")
    if database.execute("PRAGMA user_version").fetchone()[0] == 0:
        database.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")


def _check(database: sqlite3.Connection, path: Path) -> None:
    found = database.execute("PRAGMA user_version").fetchone()[0]
    if found != FORMAT:
        raise StoreError(
            f"the store {path} has format {found}, this version knows {FORMAT}",
            hint="run the version of Cloudwright that wrote it, or a newer one",
        )
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreCorruptError(
            f"the store {path} is damaged: {verdict}",
            hint="put back a backup of this file",
        )
    dangling = database.execute(DANGLING).fetchone()
    if dangling is not None:
        raise StoreCorruptError(
            f"the store {path} is damaged: the key {dangling[0]} has no value",
            hint="put back a backup of this file",
        )
