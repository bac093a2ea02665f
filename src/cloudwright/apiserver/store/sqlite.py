"""The embedded store: SQLite in WAL mode, writes committed in groups, watches from memory.

A group's statements run on the event loop (microseconds each: in a thread, each would give the
interpreter lock away and wait for it again); its COMMIT, which waits for the disk, runs in a
thread. While it runs, the next group gathers. Nothing is acknowledged or published before its
COMMIT returned.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from zlib import crc32

import anyio
from anyio import to_thread

from cloudwright._base import logs
from cloudwright._base.clock import Clock
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.errors import (
    CompactedError,
    StoreCorruptError,
    StoreError,
    StoreOverloadedError,
)
from cloudwright.apiserver.store import checking, schema, statements
from cloudwright.apiserver.store.compaction import Compactor
from cloudwright.apiserver.store.hub import Hub, HubWatch
from cloudwright.apiserver.store.interface import (
    Ahead,
    Compare,
    Event,
    Listener,
    Outcome,
    Page,
    Record,
    Statistics,
    Txn,
    Write,
)
from cloudwright.apiserver.store.reading import Reader
from cloudwright.apiserver.store.worker import Worker

_log = logs.get("apiserver.store")
T = TypeVar("T")
_GROUP_BYTES = 2 * 1024 * 1024
_GROUPS_BETWEEN = 4
_COMPARED_MAX = 1024


class _Pending:
    """A transaction that waits for its commit."""

    __slots__ = ("done", "outcome", "txn")

    def __init__(self, txn: Txn) -> None:
        self.txn = txn
        self.done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.outcome: Outcome | None = None


class SqliteStore:
    """A ``Store`` in one file. Use ``open_store``."""

    exclusive = True

    def __init__(self, config: StoreConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._queue: deque[_Pending] = deque()
        self._wake = anyio.Event()
        self._closing = False
        self._compared: dict[str, int] = {}
        self._seen = -1
        """The newest revision when space was given back last: writes paused if it is that still."""
        self._disk = Worker()
        self._lists = Worker()
        self._lock = schema.lock(config.path)
        try:
            self._open()
        except sqlite3.Error as error:
            os.close(self._lock)
            raise schema.translate(error, config.path) from error
        except (TypeError, UnicodeDecodeError) as error:
            os.close(self._lock)
            text = f"the store {config.path} is damaged: there is what nobody wrote: {error}"
            raise StoreCorruptError(text, hint=schema.RESTORE) from error
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> None:
        config = self._config
        statistics = Statistics()
        self._writer = schema.connect(
            config.path, synchronous=config.synchronous, cache_kib=config.cache_kib
        )
        checking.refuse_damage(self._writer, config.path)
        self._logged: list[tuple[int | str | bytes | None, ...]] = []
        """Rows of the log of the group that is written."""
        self._reader = Reader(config.path, self._lists, statistics, config.cache_kib)
        meta = partial(self._writer.execute, statements.META)
        self._compacted: int = meta(("compacted",)).fetchone()[0]
        self._dropped = self._reader.compacted = self._compacted
        self._reader.floor = max(meta(("floor",)).fetchone()[0], self._compacted, 1)
        self._last = self._reader.newest()
        self._compactor = Compactor(self._writer, config, statistics)
        self._compact_at = self._clock.monotonic() + config.compact_every_seconds
        self._compact_done: anyio.Event | None = None
        self.hub = Hub(
            self._last,
            replay=self._replay,
            ring_events=config.ring_events,
            ring_bytes=config.ring_bytes,
            queue=config.watch_queue,
            statistics=statistics,
        )

    @property
    def revision(self) -> int:
        """The newest revision whose event watchers were given."""
        return self.hub.published

    @property
    def statistics(self) -> Statistics:
        """The store's numbers."""
        self.hub.statistics.compacted = self._compacted
        self._compactor.tell()
        return self.hub.statistics

    @property
    def compacted(self) -> int:
        """Revisions before this one can no longer be read."""
        return self._compacted

    def listen(self, listener: Listener) -> None:
        """Give ``listener`` every event from now on, before anybody else."""
        self.hub.listen(listener)

    async def newest(self) -> int:
        """The newest committed revision."""
        return self._reader.newest()

    async def get(self, key: str) -> Record | None:
        """The newest committed value."""
        return self._reader.get(key)

    async def page(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Page:
        """Records whose key starts with ``prefix`` and is greater than ``after``."""
        return await self._reader.page(prefix, after, limit, revision)

    async def count(self, prefix: str, *, after: str = "") -> int:
        """How many keys there are now."""
        return self._reader.count(prefix, after)

    def watch(self, prefix: str, *, after: int) -> HubWatch:
        """Every write with a revision greater than ``after``."""
        return self.hub.watch(prefix, after, self._compacted)

    async def commit(self, txn: Txn) -> Outcome:
        """Write durably."""
        if self._closing:
            raise StoreError("the store is closed")
        if len(self._queue) >= self._config.pending_writes_max:
            raise StoreOverloadedError(f"{len(self._queue)} writes wait for the disk already")
        # Here, where it fails this write alone and not the group that it would be in.
        key = txn.write.key
        if not key.isascii() or "\0" in key:
            _check_key(key)
        for compare in txn.compares:
            if compare.key is not key and (not compare.key.isascii() or "\0" in compare.key):
                _check_key(compare.key)
        pending = _Pending(txn)
        self._queue.append(pending)
        if not self._wake.is_set():
            self._wake.set()
        return await pending.done

    async def compact(self) -> int:
        """Compact now what may be; returns the oldest revision that can still be read."""
        if self._compact_done is None:
            self._compact_done = anyio.Event()
        self._wake.set()
        await self._compact_done.wait()
        return self._compacted

    async def check(self) -> checking.Report:
        """Look at every page, row and checksum of the file, in a thread; writes go on."""
        report = await to_thread.run_sync(checking.check, self._config.path)
        self.hub.statistics.problems = len(report.problems)
        return report

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
            due = self._clock.monotonic() >= self._compact_at
            if asked or due or self._compactor.overfull():
                await self._compact(shrink=bool(asked) or due)
            if asked:
                asked.set()

    async def serve(self) -> None:
        """Run the threads and the writer until closed."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._disk.serve)
            tasks.start_soon(self._lists.serve)
            tasks.start_soon(self._check_regularly)
            try:
                await self.run()
            finally:
                tasks.cancel_scope.cancel()
                self._disk.close()
                self._lists.close()

    async def _check_regularly(self) -> None:
        while True:
            await anyio.sleep(self._config.check_every_seconds)
            try:
                report = await self.check()
            except StoreError as error:
                _log.warning("the store could not be checked", extra={"why": error.message})
                continue
            for problem in report.problems:
                _log.error("the store is damaged: %s", problem, extra={"hint": schema.RESTORE})

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
        group = self._next_group()
        events: list[Event] = []
        now = int(self._clock.now().timestamp())
        ahead = self.hub.ahead
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for pending in group:
                pending.outcome = self._apply(pending.txn, events, now)
            self._writer.executemany(statements.LOG, self._logged)
            self._logged.clear()
            start = self._clock.monotonic()
            if ahead is not None:
                # Runs while the disk works.
                asyncio.get_running_loop().call_soon(ahead.hold, events)
            await self._on_disk(partial(self._commit, ahead))
        except sqlite3.Error as error:
            self._undo()
            if ahead is not None:
                ahead.discard()
            failure = self._reader.broken(error)
            _log.error("a commit failed", extra={"why": str(failure), "writes": len(group)})
            self.hub.statistics.failures += 1
            for pending in group:
                if not pending.done.done():
                    pending.done.set_exception(failure)
            return
        statistics = self.hub.statistics
        statistics.commit_seconds += self._clock.monotonic() - start
        statistics.commits += 1
        statistics.writes += len(events)
        for event in events:
            self._count(event)
            self.hub.publish(event)
        for pending in group:
            if not pending.done.done():
                assert pending.outcome is not None, "a transaction that ran has an outcome"
                pending.done.set_result(pending.outcome)

    def _commit(self, ahead: Ahead | None) -> None:
        """Make the open group durable, and have it shown from here: the event loop may be busy."""
        self._writer.execute("COMMIT")
        if ahead is not None:
            ahead.release()

    def _next_group(self) -> list[_Pending]:
        """What waits, up to so many writes and bytes: the loop stands still while they run."""
        group: list[_Pending] = []
        size = 0
        while self._queue and len(group) < self._config.batch_writes and size < _GROUP_BYTES:
            group.append(self._queue.popleft())
            size += len(group[-1].txn.write.template.tail)
        return group

    async def _on_disk(self, call: Callable[[], T]) -> T:
        """Run ``call`` in the writer's thread. Shielded: a cancelled wait must not leave the
        thread at work behind our back.
        """
        with anyio.CancelScope(shield=True):
            result = await self._disk.run(call)
        return result

    def _apply(self, txn: Txn, events: list[Event], now: int) -> Outcome:
        """Run one transaction inside the open group; later ones see what it did."""
        write = txn.write
        key = write.key
        new = False
        for compare in txn.compares:
            if compare.key != key:
                if self._revision_of(compare.key) != compare.revision:
                    return Outcome(None, compare)
            elif not compare.revision and not write.delete:
                new = True
        record = self._insert(write, events, now) if new else None
        if record is not None:
            return Outcome(record)
        return self._alter(txn, events, now)

    def _insert(self, write: Write, events: list[Event], now: int) -> Record | None:
        """Write a key that is to be new, without a look first; ``None``: it is there."""
        key, revision = write.key, self._last + 1
        value = write.template.stamp(revision)
        total = statements.checksum(key, revision, revision, value)
        try:
            self._writer.execute(statements.CREATE, (key, revision, revision, total, value))
        except sqlite3.IntegrityError:
            return None
        self._last = revision
        self._logged.append((revision, key, revision, 0, 0, now, 0, None, None))
        if key in self._compared:
            self._compared[key] = revision
        events.append(Event(revision, key, False, True, value, None))
        return Record(key, revision, revision, value)

    def _alter(self, txn: Txn, events: list[Event], now: int) -> Outcome:
        """Write or delete a key that may be there already."""
        write = txn.write
        key = write.key
        execute = self._writer.execute
        row = execute(statements.OLD, (key,)).fetchone()
        at, seen, created, before, kept = row or (0, 0, 0, None, 0)
        for compare in txn.compares:
            if compare.key == key and seen != compare.revision:
                return Outcome(None, compare)
        if row is None and write.delete:
            return Outcome(None, Compare(key, -1))
        self._last += 1
        revision = self._last
        created = created or revision
        value = write.template.stamp(revision)
        if write.delete:
            execute(statements.DELETE, (at,))
            kept, last = crc32(value, kept), value
        else:
            last = None
            total = statements.checksum(key, revision, created, value)
            if row is None:
                execute(statements.CREATE, (key, revision, created, total, value))
            else:
                execute(statements.UPDATE, (revision, total, value, at))
        self._logged.append(
            (revision, key, created, seen, int(write.delete), now, kept, before, last)
        )
        if key in self._compared:
            self._compared[key] = 0 if write.delete else revision
        events.append(Event(revision, key, write.delete, row is None, value, before))
        return Outcome(Record(key, revision, created, value))

    def _revision_of(self, key: str) -> int:
        """When ``key`` was written last, as the open group leaves it. Most compares name one of a
        few namespaces, so what was asked for once is remembered.
        """
        known = self._compared.get(key)
        if known is None:
            row = self._writer.execute(statements.REVISION, (key,)).fetchone()
            if len(self._compared) >= _COMPARED_MAX:
                self._compared.clear()
            known = self._compared[key] = int(row[0]) if row else 0
        return known

    def _count(self, event: Event) -> None:
        """Keep the books on what the file holds."""
        usage = self._compactor.usage
        before, size = len(event.previous or b""), len(event.value)
        usage.log_rows += 1
        usage.log_bytes += before + (size if event.deleted else 0)
        if event.deleted:
            usage.live_rows -= 1
            usage.live_bytes -= before + len(event.key)
        elif event.created:
            usage.live_rows += 1
            usage.live_bytes += size + len(event.key)
        else:
            usage.live_bytes += size - before

    def _undo(self) -> None:
        self._compared.clear()
        self._logged.clear()
        if self._writer.in_transaction:
            try:
                self._writer.execute("ROLLBACK")
            except sqlite3.Error as error:
                _log.error("a rollback failed", extra={"why": str(error)})

    async def _replay(self, prefix: str, after: int, up_to: int) -> list[Event]:
        if after < self._compacted:
            raise CompactedError(after, self._compacted)
        self._reader.pins[after] += 1
        try:
            return await self._lists.run(partial(self._reader.replay, prefix, after, up_to))
        finally:
            self._reader.unpin(after)

    # --- compaction

    async def _compact(self, *, shrink: bool) -> None:
        """Cut the log; with ``shrink`` also give space back, as long as no writes wait."""
        self._compact_at = self._clock.monotonic() + self._config.compact_every_seconds
        oldest_at = int(self._clock.now().timestamp() - self._config.history_seconds)
        try:
            target = await self._on_disk(
                partial(self._compactor.target, self.hub.published, oldest_at)
            )
            if not self._compactor.overfull(times=4):
                # Reads that are under way hold it back, but not without bound.
                target = min(target, *self._reader.pins, target)
            if target > self._dropped:
                # Promised before it is done: a read must not find half of what it asks for.
                self._compacted = self._reader.compacted = max(target, self._compacted)
                await self._in_steps(partial(self._compactor.cut, target))
                self._dropped = target
            if shrink:
                await self._in_steps(self._compactor.shrink)
                quiet, self._seen = self._seen == self._last, self._last
                await self._on_disk(partial(self._compactor.checkpoint, empty=quiet))
        except sqlite3.Error as error:
            self._undo()
            _log.warning("compaction failed, will retry", extra={"why": str(error)})

    async def _in_steps(self, step: Callable[[], bool]) -> None:
        """Run ``step`` until it says that nothing is left, some groups of writes in between."""
        while await self._on_disk(step):
            for _ in range(_GROUPS_BETWEEN):
                if self._queue:
                    await self._commit_group()


def _check_key(key: str) -> None:
    """Raise StoreError unless ``key`` is text that the file can hold."""
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"the key {key!r} is no valid text") from error
    if "\0" in key:
        raise StoreError(f"the key {key!r} has a zero character")


@asynccontextmanager
async def open_store(config: StoreConfig, clock: Clock) -> AsyncIterator[SqliteStore]:
    """Open (or create) the store, check it, and run its writer until the block ends.

    Raises:
        StoreBusyError: another process holds it.
        StoreCorruptError: it fails its integrity check.
        StoreError: it cannot be opened, or a newer version wrote it.
    """
    store = await to_thread.run_sync(SqliteStore, config, clock)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.serve)
            try:
                yield store
            finally:
                await store.aclose()
    finally:
        store.dispose()
