"""Reading the database file: one value at a time on the event loop, long lists in a thread.

A list is read in chunks, each its own short transaction at the revision of the first: no reader
ever holds the write-ahead log. Every value is held against its checksum before it is handed out.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson

from cloudwright._base import logs
from cloudwright.apiserver.errors import CompactedError, StoreCorruptError
from cloudwright.apiserver.store import schema, statements
from cloudwright.apiserver.store.interface import Event, Page, Record, Statistics
from cloudwright.apiserver.store.worker import Worker

_log = logs.get("apiserver.store")

_HEAD_ROWS = 32
_HEAD_BYTES = 128 * 1024
"""A list up to this size is read at once: the way to the thread and back costs more."""
_CHUNK_BYTES = 1024 * 1024
_CHUNK_ROWS_MAX = 1000

Row = tuple[str, int, int, bytes, int]
"""Key, revision, create revision, value, checksum. A damaged file may have other types."""


class Reader:
    """Answers reads from the file. ``floor``: the least that the newest revision can be."""

    def __init__(self, path: Path, worker: Worker, statistics: Statistics, cache_kib: int) -> None:
        self.floor = 1
        self.compacted = 0
        self.pins: Counter[int] = Counter()
        """Revisions that lists are being read at: not to be compacted yet."""
        self._path = path
        self._worker = worker
        self._statistics = statistics
        # Small: the system's own cache has the file, the native server's memory what is read most.
        self._near = schema.connect_reader(path, cache_kib=cache_kib // 4)
        self._far = schema.connect_reader(path, cache_kib=cache_kib // 4)

    def close(self) -> None:
        """Close the connections. No read may be in flight."""
        self._near.close()
        self._far.close()

    def newest(self) -> int:
        """The newest committed revision."""
        return max(self.one(statements.NEWEST)[0] or 0, self.floor)

    def get(self, key: str) -> Record | None:
        """The newest committed value."""
        row = self.one(statements.GET, (key,))
        return None if row is None else self._record((key, *row))

    def count(self, prefix: str, after: str) -> int:
        """How many keys there are now."""
        bounds = (after or prefix, statements.end_of(prefix))
        return int(self.one(statements.COUNT, bounds)[0])

    def one(self, statement: str, values: tuple[object, ...] = ()) -> Any:
        """The first row of a statement's answer; ``None``: there is none."""
        try:
            return self._near.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise self.broken(error) from error

    async def page(self, prefix: str, after: str, limit: int, revision: int) -> Page:
        """See ``Store.page``."""
        low, high = after or prefix, statements.end_of(prefix)
        wanted = limit + 1 if limit else -1
        at, rows, whole = self._head(low, high, wanted, revision)
        records = [self._record(row) for row in rows]
        self.pins[at] += 1
        try:
            while not whole and len(records) != wanted:
                after = records[-1].key if records else low
                most = self._chunk_rows(records)
                if limit:
                    most = min(most, wanted - len(records))
                found = await self._worker.run(partial(self._chunk, after, high, most, at))
                if not found and at < self.compacted:
                    raise CompactedError(at, self.compacted)
                records += found
                whole = len(found) < most
        finally:
            self.unpin(at)
        if at < self.compacted:
            raise CompactedError(at, self.compacted)
        more = bool(limit) and len(records) > limit
        if more:
            records.pop()
        return Page(records, at, more)

    def unpin(self, revision: int) -> None:
        """The revision is no longer read at."""
        self.pins[revision] -= 1
        if not self.pins[revision]:
            del self.pins[revision]

    def replay(self, prefix: str, after: int, up_to: int) -> list[Event]:
        """The next events of ``(after, up_to]`` from the log; may be called in any thread."""
        bounds = (after, up_to, prefix, statements.end_of(prefix))
        try:
            row = self._far.execute(statements.REPLAY, bounds).fetchone()
        except sqlite3.Error as error:
            raise self.broken(error) from error
        try:
            *columns, were, are = orjson.loads(row[0])
            befores = statements.parts(row[1] or b"", were)
            values = statements.parts(row[2] or b"", are)
            return list(map(self._event, *columns, befores, values))
        except (TypeError, ValueError, AttributeError) as error:
            raise self._damaged(prefix, after) from error

    def broken(self, error: sqlite3.Error) -> Exception:
        """A failure as the store's own error; damage is counted and logged."""
        known = schema.translate(error, self._path)
        if isinstance(known, StoreCorruptError):
            self._tell(known)
        return known

    # --- parts of a list

    def _head(self, low: str, high: str, wanted: int, revision: int) -> tuple[int, list[Row], bool]:
        """The revision to read at, the first rows when it is the newest, and whether they are
        all.
        """
        near = self._near
        try:
            near.execute("BEGIN")
            try:
                newest = self.newest()
                if revision and revision < self.compacted:
                    raise CompactedError(revision, self.compacted)
                if revision and revision < newest:
                    return revision, [], False
                rows: list[Row] = []
                size = 0
                most = min(wanted, _HEAD_ROWS) if wanted > 0 else _HEAD_ROWS
                for row in near.execute(statements.HEAD, (low, high, most)):
                    rows.append(row)
                    size += len(row[3])
                    if size > _HEAD_BYTES:
                        return newest, rows, False
                return newest, rows, len(rows) < most
            finally:
                near.execute("COMMIT")
        except sqlite3.Error as error:
            raise self.broken(error) from error

    def _chunk_rows(self, records: Sequence[Record]) -> int:
        """How many rows about ``_CHUNK_BYTES`` are, going by what was read."""
        if not records:
            return _HEAD_ROWS
        last = records[-_CHUNK_ROWS_MAX:]
        size = sum(len(record.value) for record in last) // len(last) + 1
        return max(1, min(_CHUNK_BYTES // size, _CHUNK_ROWS_MAX))

    def _chunk(self, after: str, high: str, most: int, at: int) -> list[Record]:
        try:
            row = self._far.execute(statements.CHUNK_AT, (after, high, most, at)).fetchone()
        except sqlite3.Error as error:
            raise self.broken(error) from error
        try:
            records, wrong = _cut(orjson.loads(row[0]), row[1] or b"")
        except (TypeError, ValueError, AttributeError) as error:
            raise self._damaged(after, at) from error
        if wrong >= 0:
            raise self._damaged(records[wrong].key, records[wrong].revision)
        return records

    # --- checks

    def _record(self, row: Row) -> Record:
        key, revision, created, value, kept = row
        try:
            if statements.checksum(key, revision, created, value) == kept:
                return Record(key, revision, created, value)
        except (TypeError, ValueError, AttributeError) as error:
            raise self._damaged(key, revision) from error
        raise self._damaged(key, revision)

    def _event(
        self,
        revision: int,
        key: str,
        created: int,
        previous: int,
        deleted: int,
        kept: int,
        now: int | None,
        before: bytes | None,
        value: bytes | None,
    ) -> Event:
        if value is None or (
            now is not None and statements.checksum(key, revision, created, value) != now
        ):
            raise self._damaged(key, revision)
        if before is None:
            return Event(revision, key, bool(deleted), created == revision, value, None)
        found = statements.checksum(key, previous, created, before)
        if (crc32(value, found) if deleted else found) != kept:
            raise self._damaged(key, revision)
        return Event(revision, key, bool(deleted), False, value, before)

    def _damaged(self, key: str, revision: int) -> StoreCorruptError:
        error = StoreCorruptError(
            f"the store {self._path} is damaged: the value of {key} at revision {revision} is not "
            "what was written",
            hint=f"write or delete this object anew, or {schema.RESTORE}",
        )
        self._tell(error)
        return error

    def _tell(self, error: StoreCorruptError) -> None:
        self._statistics.damages += 1
        _log.error("%s", error.message, extra={"hint": error.hint})


def _cut(columns: list[list[Any]], values: bytes) -> tuple[list[Record], int]:
    """The records of a ``CHUNK_AT``, and which of them is not what was written (-1: none). In
    one go for each column: a list may have tens of thousands.
    """
    keys, revisions, created, kept, lengths = columns
    ends = accumulate(lengths)
    parts = [values[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    sums = [
        crc32(part, crc32(key.encode(), (revision ^ (first << 7)) & 0xFFFFFFFF))
        for key, revision, first, part in zip(keys, revisions, created, parts, strict=True)
    ]
    wrong = -1
    if sums != kept:
        pairs = zip(sums, kept, strict=True)
        wrong = next((at for at, (a, b) in enumerate(pairs) if b is not None and a != b), -1)
    return list(map(Record, keys, revisions, created, parts)), wrong
