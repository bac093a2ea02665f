"""Stores against a model of a few lines: whatever the order of calls, both say the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from cloudwright.apiserver.errors import CompactedError, SlowWatcherError
from cloudwright.apiserver.store.hub import HubWatch
from cloudwright.apiserver.store.interface import Compare, Event, Outcome, Template, Txn, Write
from tests import etcd
from tests.unit.apiserver_store.conftest import Opener

KEYS = st.sampled_from(["/p/a/1", "/p/a/2", "/p/b/1", "/q/a/1", "/q/a/2"])
PREFIXES = st.sampled_from(["/p/", "/p/a/", "/q/"])


@dataclass
class Happened:
    """One write of the model."""

    revision: int
    key: str
    deleted: bool
    value: bytes
    previous: bytes | None


@dataclass
class Watcher:
    """A watch and what it must still deliver."""

    prefix: str
    watch: HubWatch
    after: int
    seen: list[Event] = field(default_factory=list)


class StoreMachine(RuleBasedStateMachine):
    watchers = Bundle("watchers")

    def __init__(self, portal: BlockingPortal, endpoint: str | None) -> None:
        super().__init__()
        self.portal = portal
        self.endpoint = endpoint

    @initialize()
    def start(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.opener = Opener(Path(self.directory.name), self.endpoint)
        self.clock = self.opener.clock
        self.history: list[Happened] = []
        self.open()
        self.first = self.store.revision

    def open(self) -> None:
        more: dict[str, Any] = {"compact_every_seconds": 1e9}
        if self.endpoint is None:
            more["synchronous"] = "NORMAL"  # logic only: the crash tests are for the disk
        manager: AbstractAsyncContextManager[Any] = self.opener(
            ring_events=5, watch_queue=6, history_seconds=100, **more
        )
        self.opened = self.portal.wrap_async_context_manager(manager)
        self.store = self.opened.__enter__()
        self.epoch = object()

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            self.opened.__exit__(None, None, None)
            self.directory.cleanup()

    # --- the model

    def at(self, revision: int) -> dict[str, Happened]:
        state: dict[str, Happened] = {}
        for one in self.history:
            if one.revision <= revision:
                state[one.key] = one
        return {key: one for key, one in state.items() if not one.deleted}

    @property
    def newest(self) -> int:
        return self.history[-1].revision if self.history else self.first

    def note(self, key: str, outcome: Outcome, deleted: bool) -> None:
        assert outcome.record is not None
        record = outcome.record
        before = self.at(self.newest).get(key)
        assert record.revision > self.newest
        value = record.value
        if deleted and self.endpoint is not None:
            assert before is not None
            # etcd keeps no last words: what was there, at the revision of the deletion.
            value = before.value.replace(b"%d" % before.revision, b"%d" % record.revision, 1)
        self.history.append(
            Happened(record.revision, key, deleted, value, before.value if before else None)
        )

    def call(self, txn: Txn) -> Outcome:
        return self.portal.call(self.store.commit, txn)

    # --- writes

    @rule(key=KEYS, text=st.binary(max_size=12))
    def put(self, key: str, text: bytes) -> None:
        outcome = self.call(Txn((), Write(key, Template(b"<", b">" + text))))
        self.note(key, outcome, False)
        assert outcome.record is not None
        assert outcome.record.value == b"<%d>" % outcome.record.revision + text

    @rule(key=KEYS, guard=KEYS, off=st.sampled_from([0, 0, 1, -1, None]))
    def put_guarded(self, key: str, guard: str, off: int | None) -> None:
        found = self.at(self.newest).get(guard)
        revision = max(found.revision + off, 0) if found and off is not None else 0
        holds = (found.revision if found else 0) == revision
        outcome = self.call(Txn((Compare(guard, revision),), Write(key, Template(b"", b""))))
        assert (outcome.record is not None) == holds
        if holds:
            self.note(key, outcome, False)
        else:
            assert outcome.failed == Compare(guard, revision)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        outcome = self.call(Txn((), Write(key, Template(b"x", b""), delete=True)))
        if key in self.at(self.newest):
            self.note(key, outcome, True)
        else:
            assert outcome.record is None

    @rule(keys=st.lists(KEYS, min_size=2, max_size=12))
    def put_many_at_once(self, keys: list[str]) -> None:
        async def all_of_them() -> list[tuple[str, Outcome]]:
            found: list[tuple[str, Outcome]] = []

            async def one(key: str) -> None:
                write = Write(key, Template(b"m", b""))
                found.append((key, await self.store.commit(Txn((), write))))

            async with anyio.create_task_group() as tasks:
                for key in keys:
                    tasks.start_soon(one, key)
            return found

        written = self.portal.call(all_of_them)
        for key, outcome in sorted(written, key=lambda one: one[1].record.revision):  # type: ignore[union-attr]
            self.note(key, outcome, False)

    # --- reads

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        record = self.portal.call(self.store.get, key)
        expected = self.at(self.newest).get(key)
        assert (record and (record.revision, record.value)) == (
            expected and (expected.revision, expected.value)
        )

    @rule(prefix=PREFIXES, back=st.integers(0, 15), limit=st.integers(0, 3))
    def list_at(self, prefix: str, back: int, limit: int) -> None:
        revision = max(self.newest - back, self.first)

        async def pages() -> list[tuple[str, bytes]]:
            found: list[tuple[str, bytes]] = []
            after, more = "", True
            while more:
                page = await self.store.page(prefix, after=after, limit=limit, revision=revision)
                assert page.revision == revision
                found += [(record.key, record.value) for record in page.records]
                after, more = (found[-1][0] if found else ""), page.more
            return found

        try:
            found = self.portal.call(pages)
        except CompactedError:
            assert revision < self.store.compacted
            return
        assert revision >= self.store.compacted
        state = self.at(revision)
        assert found == [
            (key, one.value) for key, one in sorted(state.items()) if key.startswith(prefix)
        ]

    # --- watches

    @rule(target=watchers, prefix=PREFIXES, back=st.integers(0, 12))
    def watch(self, prefix: str, back: int) -> object:
        after = max(self.newest - back, self.first)
        try:
            watch = self.portal.call(lambda: self.store.watch(prefix, after=after))
        except CompactedError:
            # Memory may reach further back than the disk; etcd's store has only memory.
            oldest = self.store.hub.oldest
            assert after < (oldest if self.endpoint else min(oldest, self.store.compacted))
            return multiple()
        return self.epoch, Watcher(prefix, watch, after)

    @rule(pair=consumes(watchers), target=watchers)
    def drain(self, pair: tuple[object, Watcher]) -> object:
        epoch, watcher = pair
        if epoch is not self.epoch:
            return multiple()

        async def all_there_is() -> None:
            while watcher.watch.progress < self.newest:
                with anyio.fail_after(5):
                    watcher.seen += await watcher.watch.batch()

        try:
            self.portal.call(all_there_is)
        except (SlowWatcherError, CompactedError):
            self.check(watcher, whole=False)
            return multiple()
        self.check(watcher, whole=True)
        return pair

    def check(self, watcher: Watcher, *, whole: bool) -> None:
        """Every event once, in order, none left out."""
        expected = [
            (one.revision, one.key, one.deleted, one.value, one.previous)
            for one in self.history
            if one.revision > watcher.after and one.key.startswith(watcher.prefix)
        ]
        seen = [(e.revision, e.key, e.deleted, e.value, e.previous) for e in watcher.seen]
        assert seen == (expected if whole else expected[: len(seen)])

    # --- time and restarts

    @rule(seconds=st.integers(10, 200))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        oldest = self.portal.call(self.store.compact)
        assert oldest < self.newest or oldest == 0

    @rule()
    def restart(self) -> None:
        self.opened.__exit__(None, None, None)
        self.open()

    @invariant()
    def the_revision_is_the_newest_write(self) -> None:
        if hasattr(self, "store"):
            assert self.store.revision == self.newest


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as found:
        yield found


def run(portal: BlockingPortal, endpoint: str | None, examples: int) -> None:
    run_state_machine_as_test(
        lambda: StoreMachine(portal, endpoint),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_embedded_store(portal: BlockingPortal) -> None:
    run(portal, None, 40)


def test_the_store_on_etcd(portal: BlockingPortal, one_etcd: etcd.Etcd) -> None:
    run(portal, one_etcd.endpoint, 20)
