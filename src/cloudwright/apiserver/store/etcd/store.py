"""A ``Store`` over etcd: each transaction is one of etcd's, watches are served from memory.

What an API server writes is in its own hub before ``commit`` returns; what another one writes
comes as soon as etcd tells. ``newest`` asks etcd, so a list or a watch never begins in the past.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from cloudwright._base import logs
from cloudwright._base.clock import Clock
from cloudwright.apiserver.errors import CompactedError, StoreError
from cloudwright.apiserver.store.etcd import requests
from cloudwright.apiserver.store.etcd.config import EtcdConfig
from cloudwright.apiserver.store.etcd.connection import (
    COMPACTED,
    FUTURE,
    Members,
    RpcError,
    lost_touch,
    translate,
    unsent,
)
from cloudwright.apiserver.store.etcd.feed import Feed
from cloudwright.apiserver.store.etcd.pb import etcd_pb2 as pb
from cloudwright.apiserver.store.etcd.values import pack, unpack
from cloudwright.apiserver.store.hub import Hub, HubWatch
from cloudwright.apiserver.store.interface import (
    Event,
    Listener,
    Outcome,
    Page,
    Record,
    Statistics,
    Txn,
)

_log = logs.get("apiserver.store")
_CHUNK = 500
"""Records of one answer, as kube-apiserver's lists have."""
_SEEN_SECONDS = 5.0


class EtcdStore:
    """A ``Store`` under one prefix of an etcd. Use ``open_etcd``."""

    exclusive = False

    def __init__(self, config: EtcdConfig, clock: Clock, members: Members, revision: int) -> None:
        self._config = config
        self._clock = clock
        self._members = members
        self._prefix = config.prefix
        self._compacted = 0
        self._marks: deque[tuple[float, int]] = deque([(clock.monotonic(), revision)])
        self._closing = anyio.Event()
        self.hub = Hub(
            revision,
            replay=self._replay,
            ring_events=config.ring_events,
            ring_bytes=config.ring_bytes,
            queue=config.watch_queue,
            statistics=Statistics(),
        )
        self._feed = Feed(self.hub, members, config.prefix, self._mark)

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
        """Revisions before this one can no longer be read."""
        return self._compacted

    def listen(self, listener: Listener) -> None:
        """Give ``listener`` every event from now on, before anybody else."""
        self.hub.listen(listener)

    async def newest(self) -> int:
        """The newest revision that etcd has."""
        request = pb.RangeRequest(key=self._key("/"), limit=1, count_only=True)
        return int((await self._read(request)).header.revision)

    async def get(self, key: str) -> Record | None:
        """The newest committed value."""
        response = await self._read(pb.RangeRequest(key=self._key(key)))
        return self._record(response.kvs[0]) if response.kvs else None

    async def page(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Page:
        """Records whose key starts with ``prefix`` and is greater than ``after``."""
        records: list[Record] = []
        while True:
            wanted = min(limit - len(records), _CHUNK) if limit else _CHUNK
            request = requests.page(self._prefix, prefix, after, wanted, revision)
            try:
                response = await self._members.read("range", request)
            except RpcError as error:
                if FUTURE in (error.details() or "") and not records:
                    revision = 0
                    continue
                raise self._broken(error, revision) from error
            revision = revision or int(response.header.revision)
            records += map(self._record, response.kvs)
            if not response.more or (limit and len(records) >= limit):
                return Page(records, revision, bool(response.more))
            after = records[-1].key

    async def count(self, prefix: str, *, after: str = "") -> int:
        """How many keys there are now."""
        request = requests.page(self._prefix, prefix, after, 0, 0)
        request.count_only = True
        return int((await self._read(request)).count)

    def watch(self, prefix: str, *, after: int) -> HubWatch:
        """Every write with a revision greater than ``after``; from memory only, as
        kube-apiserver's watch cache does: older than that is 410.
        """
        return self.hub.watch(prefix, after, self.hub.published)

    async def commit(self, txn: Txn) -> Outcome:
        """Write durably."""
        if self._closing.is_set():
            raise StoreError("the store is closed")
        request = requests.transaction(self._prefix, txn)
        start = self._clock.monotonic()
        try:
            response = await self._members.write(request)
        except RpcError as error:
            self.hub.statistics.failures += 1
            settled = None
            if lost_touch(error) and not unsent(error):
                settled = await self._look_up(txn)
            if settled is None:
                raise self._broken(error, 0) from error
            return await self._acknowledged(Outcome(settled))
        statistics = self.hub.statistics
        statistics.commits += 1
        statistics.commit_seconds += self._clock.monotonic() - start
        outcome = requests.outcome(txn, response)
        if outcome.record is not None:
            statistics.writes += 1
        return await self._acknowledged(outcome)

    async def compact(self) -> int:
        """Compact what is older than the history that is kept; returns the oldest revision that
        can still be read. Several API servers may do so: whoever is late does nothing.
        """
        oldest_at = self._clock.monotonic() - self._config.history_seconds - 1.0
        target = 0
        while len(self._marks) > 1 and self._marks[0][0] <= oldest_at:
            target = self._marks.popleft()[1]
        target = min(target, self.hub.published - 1)
        if target > self._compacted:
            self._compacted = target
            try:
                await self._members.read("compact", pb.CompactionRequest(revision=target))
            except RpcError as error:
                if COMPACTED not in (error.details() or ""):
                    _log.warning("compaction failed, will retry", extra={"why": error.details()})
        return self._compacted

    async def run(self) -> None:
        """Follow etcd's events and compact from time to time, until closed."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed.run)
            tasks.start_soon(self._compact_regularly)
            await self._closing.wait()
            tasks.cancel_scope.cancel()

    async def aclose(self) -> None:
        """Refuse further writes; end what runs."""
        self._closing.set()

    # --- inside

    def _key(self, key: str) -> bytes:
        return (self._prefix + key).encode()

    def _record(self, kv: pb.KeyValue) -> Record:
        key = kv.key.decode()[len(self._prefix) :]
        value = unpack(kv.value, kv.mod_revision, kv.key)
        return Record(key, kv.mod_revision, kv.create_revision, value)

    async def _read(self, request: pb.RangeRequest) -> pb.RangeResponse:
        try:
            response: pb.RangeResponse = await self._members.read("range", request)
        except RpcError as error:
            raise self._broken(error, request.revision) from error
        return response

    def _broken(self, error: RpcError, revision: int) -> StoreError:
        if COMPACTED in (error.details() or ""):
            self._compacted = max(self._compacted, revision + 1)
            return CompactedError(revision, self._compacted)
        known = translate(error, self._config)
        _log.error("%s", known.message)
        return known

    async def _look_up(self, txn: Txn) -> Record | None:
        """The record of a guarded write whose answer was lost, if it is there."""
        write = txn.write
        guards = [one.revision for one in txn.compares if one.key == write.key]
        if write.delete or not guards:
            return None
        try:
            response = await self._read(pb.RangeRequest(key=self._key(write.key)))
        except StoreError as error:
            _log.warning("what became of a write is not known", extra={"why": error.message})
            return None
        kv = response.kvs[0] if response.kvs else None
        if kv is None or kv.mod_revision <= guards[0] or kv.value != pack(write.template):
            return None
        return self._record(kv)

    async def _acknowledged(self, outcome: Outcome) -> Outcome:
        """Wait until our own watchers and listeners were given the write."""
        if outcome.record is not None:
            revision = outcome.record.revision
            with anyio.move_on_after(_SEEN_SECONDS) as scope:
                await self._feed.reached(revision)
            if scope.cancelled_caught:
                _log.warning("etcd tells no events", extra={"revision": revision})
        return outcome

    def _mark(self, revision: int) -> None:
        """Remember, second by second, which revision there was."""
        now = self._clock.monotonic()
        since = self._marks[-1][0]
        if now - since < 1.0:
            self._marks[-1] = (since, revision)
        else:
            self._marks.append((now, revision))

    async def _replay(self, prefix: str, after: int, up_to: int) -> list[Event]:
        raise CompactedError(after, self.hub.oldest)

    async def _compact_regularly(self) -> None:
        while True:
            await anyio.sleep(self._config.compact_every_seconds)
            await self.compact()
            try:
                status = await self._members.read("status", pb.StatusRequest())
            except RpcError as error:
                _log.warning("etcd does not tell its size", extra={"why": error.details()})
            else:
                self.hub.statistics.file_bytes = status.dbSize


@asynccontextmanager
async def open_etcd(config: EtcdConfig, clock: Clock) -> AsyncIterator[EtcdStore]:
    """Connect, and follow etcd's events until the block ends.

    Raises:
        StoreUnreachableError: no member answers.
        StoreError: etcd refuses us.
    """
    members = Members(config)
    try:
        response = await _first(members, config)
        store = EtcdStore(config, clock, members, int(response.header.revision))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.run)
            try:
                yield store
            finally:
                await store.aclose()
    finally:
        with anyio.CancelScope(shield=True):
            await members.aclose()


async def _first(members: Members, config: EtcdConfig) -> pb.RangeResponse:
    """The first answer of an etcd that may just be starting."""
    request = pb.RangeRequest(key=config.prefix.encode(), limit=1, count_only=True)
    deadline = anyio.current_time() + config.start_seconds
    while True:
        try:
            response: pb.RangeResponse = await members.read("range", request)
        except RpcError as error:
            if not lost_touch(error) or anyio.current_time() > deadline:
                raise translate(error, config) from error
            await anyio.sleep(0.1)
        else:
            return response
