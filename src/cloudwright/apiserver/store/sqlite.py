"""The embedded store: SQLite in WAL mode, writes committed in groups, watches from memory.

Statements run on the event loop (microseconds each); only COMMIT, which waits for the disk, runs
in a worker thread. While it runs, the next group gathers. Nothing is acknowledged or published
before its COMMIT returned.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread

from cloudwright._base import logs
from cloudwright._base.clock import Clock
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.errors import CompactedError, StoreError, StoreOverloadedError
from cloudwright.apiserver.store import schema
from cloudwright.apiserver.store.hub import Hub, HubWatch
from cloudwright.apiserver.store.interface import (
    Compare,
    Event,
    Outcome,
    Page,
    Record,
    Statistics,
    Txn,
)

_log = logs.get("apiserver.store")

_COMPACT_STEP = 2000
_VACUUM_PAGES = 1024


class _Pending:
    """A transaction that waits for its commit."""

    __slots__ = ("done", "error", "outcome", "txn")

    def __init__(self, txn: Txn) -> None:
        self.txn = txn
        self.done = anyio.Event()
        self.outcome: Outcome | None = None
        self.error: StoreError | None = None


class SqliteStore:
    """A ``Store`` in one file. Use ``open_store``."""

    def __init__(self, config: StoreConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._queue: deque[_Pending] = deque()
        self._wake = anyio.Event()
        self._closing = False
        self._lock = schema.lock(config.path)
        try:
            self._writer = schema.connect(
                config.path, synchronous=config.synchronous, cache_kib=config.cache_kib
            )
        except StoreError:
            os.close(self._lock)
            raise
        self._reader = schema.connect_reader(config.path, cache_kib=config.cache_kib)
        newest = self._writer.execute(schema.NEWEST).fetchone()[0] or 1
        self._compacted: int = self._writer.execute(schema.COMPACTED).fetchone()[0]
        self._last: int = max(newest, self._compacted, 1)
        self._dropped: int = self._compacted
        self._compact_at = clock.monotonic() + config.compact_every_seconds
        self._compact_done: anyio.Event | None = None
        self.hub = Hub(
            self._last,
            replay=self._replay,
            ring_events=config.ring_events,
            ring_bytes=config.ring_bytes,
            queue=config.watch_queue,
        )

    @property
    def revision(self) -> int:
        """The newest revision whose event watchers were given."""
        return self.hub.published

    @property
    def statistics(self) -> Statistics:
        """The store's numbers."""
        self.hub.statistics.compacted = self._compacted
        return self.hub.statistics

    @property
    def compacted(self) -> int:
        """Revisions before this one can no longer be read or watched from."""
        return self._compacted

    async def newest(self) -> int:
        """The newest committed revision."""
        return max(self._read(schema.NEWEST).fetchone()[0] or 0, 1)

    async def get(self, key: str) -> Record | None:
        """The newest committed value."""
        row = self._read(schema.GET, (key,)).fetchone()
        return None if row is None else Record(key, *row)

    async def page(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Page:
        """Records whose key starts with ``prefix`` and is greater than ``after``."""
        low, high = after or prefix, schema.end_of(prefix)
        rows_max = limit + 1 if limit else -1
        self._read("BEGIN")
        try:
            newest = max(self._read(schema.NEWEST).fetchone()[0] or 0, 1)
            if revision and revision < self._compacted:
                raise CompactedError(revision, self._compacted)
            if revision and revision < newest:
                rows = self._read(schema.LIST_AT, (low, high, rows_max, revision)).fetchall()
            else:
                rows = self._read(schema.LIST, (low, high, rows_max)).fetchall()
        finally:
            self._read("COMMIT")
        more = bool(limit) and len(rows) > limit
        if more:
            rows.pop()
        at = revision if revision and revision < newest else newest
        return Page(list(map(Record._make, rows)), at, more)

    async def count(self, prefix: str, *, after: str = "") -> int:
        """How many keys there are now."""
        row = self._read(schema.COUNT, (after or prefix, schema.end_of(prefix))).fetchone()
        return int(row[0])

    def watch(self, prefix: str, *, after: int) -> HubWatch:
        """Every write with a revision greater than ``after``."""
        return self.hub.watch(prefix, after, self._compacted)

    async def commit(self, txn: Txn) -> Outcome:
        """Write durably."""
        if self._closing:
            raise StoreError("the store is closed")
        if len(self._queue) >= self._config.pending_writes_max:
            raise StoreOverloadedError(f"{len(self._queue)} writes wait for the disk already")
        pending = _Pending(txn)
        self._queue.append(pending)
        self._wake.set()
        await pending.done.wait()
        if pending.error is not None:
            raise pending.error
        assert pending.outcome is not None, "a finished transaction has an outcome or an error"
        return pending.outcome

    async def compact(self) -> int:
        """Compact now what may be; returns the oldest revision that can still be read."""
        if self._compact_done is None:
            self._compact_done = anyio.Event()
        self._wake.set()
        await self._compact_done.wait()
        return self._compacted

    async def run(self) -> None:
        """Commit what is queued, compact from time to time, until closed."""
        while not self._closing or self._queue:
            if not self._queue:
                self._wake = anyio.Event()
                pause = max(self._compact_at - self._clock.monotonic(), 0.0)
                if self._compact_done is None:
                    with anyio.move_on_after(pause):
                        await self._wake.wait()
            if self._queue:
                await self._commit_group()
            asked, self._compact_done = self._compact_done, None
            if asked or self._clock.monotonic() >= self._compact_at or self._overfull():
                await self._compact()
            if asked:
                asked.set()

    async def aclose(self) -> None:
        """Commit what is queued, then refuse further writes."""
        self._closing = True
        self._wake.set()

    def dispose(self) -> None:
        """Close the file. Nothing may be in flight."""
        self._reader.close()
        try:
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            _log.warning("the write-ahead log stays for the next start", extra={"why": str(error)})
        self._writer.close()
        os.close(self._lock)

    # --- writing

    async def _commit_group(self) -> None:
        count = min(len(self._queue), self._config.batch_writes)
        group = [self._queue.popleft() for _ in range(count)]
        events: list[Event] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for pending in group:
                pending.outcome = self._apply(pending.txn, events)
            # Shielded: a cancelled wait must not leave the thread committing behind our back.
            start = self._clock.monotonic()
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._writer.execute, "COMMIT")
            self.hub.statistics.commit_seconds += self._clock.monotonic() - start
        except sqlite3.Error as error:
            self._undo()
            failure = schema.translate(error, self._config.path)
            _log.error("a commit failed", extra={"why": failure.message, "writes": len(group)})
            self.hub.statistics.failures += 1
            for pending in group:
                pending.outcome, pending.error = None, failure
        else:
            self.hub.statistics.commits += 1
            self.hub.statistics.writes += len(events)
            for event in events:
                self.hub.publish(event)
        for pending in group:
            pending.done.set()

    def _apply(self, txn: Txn, events: list[Event]) -> Outcome:
        """Run one transaction inside the open group; later ones see what it did."""
        write = txn.write
        execute = self._writer.execute
        row = execute(schema.GET, (write.key,)).fetchone()
        for compare in txn.compares:
            seen = row if compare.key == write.key else self._revision_of(compare.key)
            if (seen[0] if seen else 0) != compare.revision:
                return Outcome(None, compare)
        if row is None and write.delete:
            return Outcome(None, Compare(write.key, -1))
        self._last += 1
        revision = self._last
        created = row[1] if row else revision
        value = write.template.stamp(revision)
        execute(
            schema.INSERT,
            (
                revision,
                write.key,
                created,
                row[0] if row else 0,
                int(write.delete),
                int(self._clock.now().timestamp()),
                value,
            ),
        )
        if write.delete:
            execute(schema.UNPOINT, (write.key,))
        else:
            execute(schema.POINT, (write.key, revision))
        events.append(
            Event(revision, write.key, write.delete, row is None, value, row[2] if row else None)
        )
        return Outcome(Record(write.key, revision, created, value))

    def _revision_of(self, key: str) -> tuple[int] | None:
        row: tuple[int] | None = self._writer.execute(schema.REVISION, (key,)).fetchone()
        return row

    def _undo(self) -> None:
        if self._writer.in_transaction:
            try:
                self._writer.execute("ROLLBACK")
            except sqlite3.Error as error:
                _log.error("a rollback failed", extra={"why": str(error)})

    # --- reading

    def _read(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._reader.execute(statement, values)
        except sqlite3.Error as error:
            raise schema.translate(error, self._config.path) from error

    def _replay(self, prefix: str, after: int, up_to: int) -> list[Event]:
        if after < self._compacted:
            raise CompactedError(after, self._compacted)
        rows = self._read(schema.REPLAY, (after, up_to, prefix, schema.end_of(prefix))).fetchall()
        return [
            Event(revision, key, bool(deleted), created == revision, value, previous)
            for revision, key, deleted, created, value, previous in rows
        ]

    # --- compaction

    def _overfull(self) -> bool:
        return self._last - self._dropped > self._config.history_revisions + _COMPACT_STEP

    async def _compact(self) -> None:
        self._compact_at = self._clock.monotonic() + self._config.compact_every_seconds
        # The newest row always stays: it carries the revision over a restart.
        newest = self.hub.published - 1
        oldest_at = int(self._clock.now().timestamp() - self._config.history_seconds)
        aged = self._read(schema.AGED, (newest, oldest_at)).fetchone()
        target = min(max(aged[0] if aged else 0, newest - self._config.history_revisions), newest)
        while target > self._dropped:
            step = min(target, self._dropped + _COMPACT_STEP)
            # Promised before it is done: a read must not find half of what it asks for.
            self._compacted = max(self._compacted, step)
            try:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(self._drop, self._dropped, step)
            except sqlite3.Error as error:
                self._undo()
                _log.warning("compaction failed, will retry", extra={"why": str(error)})
                return
            self._dropped = step
            if self._queue:
                await self._commit_group()

    def _drop(self, low: int, high: int) -> None:
        execute = self._writer.execute
        execute("BEGIN IMMEDIATE")
        execute(schema.DROP_SUPERSEDED, (low, high))
        execute(schema.DROP_TOMBSTONES, (low, high))
        execute(schema.SET_COMPACTED, (high,))
        execute("COMMIT")
        # Bounded: giving space back must not hold up the writes that wait. A script, because a
        # cursor stops this statement after its first page.
        self._writer.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")


@asynccontextmanager
async def open_store(config: StoreConfig, clock: Clock) -> AsyncIterator[SqliteStore]:
    """Open (or create) the store, check it, and run its writer until the block ends.

    Raises:
        StoreBusyError: another process holds it.
        StoreCorruptError: it fails its integrity check.
        StoreError: it cannot be opened.
    """
    store = await to_thread.run_sync(SqliteStore, config, clock)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.run)
            try:
                yield store
            finally:
                await store.aclose()
    finally:
        store.dispose()
