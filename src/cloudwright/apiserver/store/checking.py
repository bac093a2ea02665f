"""Is the file what was written? SQLite's own check of its pages, then ours of the rows.

``refuse_damage`` is what opening does; ``check`` looks at everything, also beside a running
store, and says of each problem what it concerns.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import orjson

from cloudwright.apiserver.errors import StoreCorruptError, StoreError
from cloudwright.apiserver.store import schema, statements

_PROBLEMS_MAX = 20

_INVARIANTS = (
    (
        "SELECT key FROM current WHERE revision < created OR created < 1 LIMIT 1",
        "the key {0} has impossible revisions",
    ),
    (
        "SELECT revision, key FROM log WHERE previous >= revision OR created > revision LIMIT 1",
        "revision {0} of {1} has an impossible history",
    ),
    (
        "SELECT l.revision, l.key FROM log l LEFT JOIN log n ON n.previous = l.revision "
        "AND n.previous > 0 LEFT JOIN current c ON c.key = l.key AND c.revision = l.revision "
        "WHERE NOT l.deleted AND n.revision IS NULL AND c.key IS NULL LIMIT 1",
        "revision {0} of {1} has no value",
    ),
    (
        "SELECT c.key, c.revision FROM current c LEFT JOIN log l ON l.revision = c.revision "
        "WHERE c.revision > (SELECT value FROM meta WHERE name = 'compacted') "
        "AND c.revision > (SELECT value FROM meta WHERE name = 'floor') "
        "AND (l.key IS NOT c.key OR l.deleted) LIMIT 1",
        "the key {0} has revision {1}, which the log does not know",
    ),
    (
        "SELECT key FROM log WHERE deleted AND last IS NULL LIMIT 1",
        "a deletion of {0} lost the last state",
    ),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. ``problems`` is empty when the file is sound."""

    keys: int
    revisions: int
    revision: int
    problems: list[str] = field(default_factory=list)


def refuse_damage(database: sqlite3.Connection, path: Path) -> None:
    """What every opening looks at beside the pages (``schema.connect``): how the tables fit
    together.

    Raises:
        StoreCorruptError: something is wrong; the message says what.
    """
    found = _invariants(database)
    if found:
        raise StoreCorruptError(f"the store {path} is damaged: {found[0]}", hint=schema.RESTORE)


def check(path: Path) -> Report:
    """Look at every page, row and checksum of the file at ``path``.

    Raises:
        StoreError: it cannot be opened, or is of another format.
    """
    try:
        database = schema.connect_beside(path)
    except StoreCorruptError as error:
        return Report(0, 0, 0, [error.message])
    try:
        found = schema.format_of(database)
        if found != statements.FORMAT:
            raise StoreError(f"the store {path} has format {found}, not {statements.FORMAT}")
        database.execute("BEGIN")  # one moment, whatever is written meanwhile
        problems = _pages(database) or [*_invariants(database), *_sums(database)]
        keys = database.execute("SELECT count(*) FROM current").fetchone()[0]
        revisions = database.execute("SELECT count(*) FROM log").fetchone()[0]
        newest = max(
            database.execute(statements.NEWEST).fetchone()[0] or 0,
            database.execute(statements.META, ("floor",)).fetchone()[0],
        )
        return Report(keys, revisions, newest, problems[:_PROBLEMS_MAX])
    except (TypeError, ValueError, AttributeError) as error:
        return Report(0, 0, 0, [f"there is what nobody wrote: {error}"])
    except sqlite3.DatabaseError as error:
        known = schema.translate(error, path)
        if isinstance(known, StoreCorruptError):
            return Report(0, 0, 0, [known.message])
        raise known from error
    finally:
        database.close()


def _pages(database: sqlite3.Connection) -> list[str]:
    rows = database.execute(f"PRAGMA quick_check({_PROBLEMS_MAX})").fetchall()
    found = [str(row[0]) for row in rows]
    return [] if found == ["ok"] else [" ".join(text.split()) for text in found]


def _invariants(database: sqlite3.Connection) -> list[str]:
    found = []
    for statement, text in _INVARIANTS:
        row = database.execute(statement).fetchone()
        if row is not None:
            found.append(text.format(*row))
    return found


def _sums(database: sqlite3.Connection) -> list[str]:
    """In chunks of one row each, as ``reading`` does it: this thread shares the interpreter."""
    found: list[str] = []
    after = -1
    while True:
        row = database.execute(statements.SUMS, (after,)).fetchone()
        ids, keys, revisions, created, kept, lengths = orjson.loads(row[0])
        if not ids:
            break
        values = statements.parts(row[1] or b"", lengths)
        for key, revision, *rest in zip(keys, revisions, created, values, kept, strict=True):
            if statements.checksum(key, revision, rest[0], rest[1] or b"") != rest[2]:
                found.append(f"the value of {key} at revision {revision} is not what was written")
        after = ids[-1]
    return found + _log_sums(database)


def _log_sums(database: sqlite3.Connection) -> list[str]:
    found: list[str] = []
    after = -1
    while True:
        row = database.execute(statements.LOG_SUMS, (after,)).fetchone()
        revisions, keys, created, previous, kept, were, ends = orjson.loads(row[0])
        if not revisions:
            return found
        befores = statements.parts(row[1] or b"", were)
        lasts = statements.parts(row[2] or b"", ends)
        rows = zip(revisions, keys, created, previous, kept, befores, lasts, strict=True)
        for revision, key, first, earlier, total, before, last in rows:
            if before is None:
                continue
            was = statements.checksum(key, earlier, first, before)
            if (was if last is None else crc32(last, was)) != total:
                found.append(
                    f"the older value of {key}, superseded at revision {revision}, is not what "
                    "was written"
                )
        after = revisions[-1]
