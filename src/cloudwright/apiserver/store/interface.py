"""What the API needs of a store: keys with revisions, guarded writes, watches that never skip.

Semantics are etcd's: one global revision that grows with each write and never repeats, a key's
``revision`` (last write) and ``create_revision``, reads at an older revision while it is kept, and
watches that deliver every later write exactly once, or say that they cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable


class Template(NamedTuple):
    """A value to be written: its revision goes, in decimal, between ``head`` and ``tail``."""

    head: bytes
    tail: bytes

    def stamp(self, revision: int) -> bytes:
        """The value as it is kept."""
        return b"%b%d%b" % (self.head, revision, self.tail)


class Record(NamedTuple):
    """A key's value and the revisions that wrote it last and first."""

    key: str
    revision: int
    create_revision: int
    value: bytes


@dataclass(slots=True)
class Event:
    """One write as watchers see it. ``value`` of a deletion is the key's last state (as the delete
    gave it, or as it was), stamped with the deletion's revision. ``notes`` is for readers to share
    what they derived (encoded lines).
    """

    revision: int
    key: str
    deleted: bool
    created: bool
    value: bytes
    previous: bytes | None
    notes: dict[Any, Any] = field(default_factory=dict)


class Compare(NamedTuple):
    """Holds when ``key`` was last written at ``revision``; 0: when it does not exist."""

    key: str
    revision: int


class Write(NamedTuple):
    """Put ``template`` under ``key``, or delete the key (``template`` is then its last state)."""

    key: str
    template: Template
    delete: bool = False


class Txn(NamedTuple):
    """A write that happens only if every compare holds."""

    compares: tuple[Compare, ...]
    write: Write


class Outcome(NamedTuple):
    """What became of a transaction: ``record`` as written, or ``failed``: the compare that did
    not hold.
    """

    record: Record | None
    failed: Compare | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Records in key order, all as of ``revision``. ``more``: the limit cut the list short."""

    records: Sequence[Record]
    revision: int
    more: bool = False


@dataclass(slots=True)
class Statistics:
    """A store's numbers since it was opened."""

    writes: int = 0
    commits: int = 0
    failures: int = 0
    commit_seconds: float = 0.0
    slow_watchers: int = 0
    revision: int = 0
    compacted: int = 0
    watchers: int = 0
    keys: int = 0
    live_bytes: int = 0
    """What the newest values take."""
    history_bytes: int = 0
    """What kept older values take."""
    file_bytes: int = 0
    wal_bytes: int = 0
    damages: int = 0
    """Reads that found something else than was written."""
    problems: int = 0
    """What the last whole check of the file found."""


class Listener(Protocol):
    """Whoever must see every write before it is acknowledged (a cache). Must not block or raise.

    One that has prefixes in ``about`` (a tuple; each ends in a slash) hears of those keys alone.
    """

    def event(self, event: Event) -> None:
        """The next write, in revision order."""

    def lost(self) -> None:
        """Events were missed (a shared store, cut off for long): load everything anew."""


@runtime_checkable
class Ahead(Listener, Protocol):
    """A listener that shows writes from the moment that they are durable, before the event loop
    hears of them. For each group: ``hold`` and ``release``, in either order, then ``event`` for
    each write; or ``discard``.
    """

    def hold(self, events: Sequence[Event]) -> None:
        """What is being written. Not to be shown yet."""

    def release(self) -> None:
        """It is durable. Called in the writer's thread."""

    def discard(self) -> None:
        """It was not written."""


class Watch(Protocol):
    """Later writes under a prefix. Close it when done."""

    async def batch(self, seconds: float | None = None) -> list[Event]:
        """The next events, in revision order; waits for them, at most so long.

        None when the time is over, or when only the progress grew.

        Raises:
            CompactedError: the start revision is no longer kept.
            SlowWatcherError: too many events waited to be taken.
        """

    @property
    def progress(self) -> int:
        """Every event up to this revision was handed out."""

    @property
    def behind(self) -> bool:
        """Whether there may be something to hand out: if not, ``progress`` is the store's revision
        (or later).
        """

    def close(self) -> None:
        """Stop receiving."""


class Store(Protocol):
    """A revisioned key-value store. Every method may raise ``StoreError``."""

    @property
    def revision(self) -> int:
        """The newest revision whose event watchers were given."""

    @property
    def statistics(self) -> Statistics:
        """The store's numbers as they are now."""

    @property
    def exclusive(self) -> bool:
        """Whether nobody else writes: what listeners were given is then the newest there is."""

    def listen(self, listener: Listener) -> None:
        """Give ``listener`` every event from now on, before watchers and before the writer's
        ``commit`` returns. With a ``page`` read after this call nothing is missed: events up to
        the page's revision are to be skipped.
        """

    async def newest(self) -> int:
        """The newest committed revision."""

    async def get(self, key: str) -> Record | None:
        """The newest committed value."""

    async def page(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Page:
        """Records whose key starts with ``prefix`` and is greater than ``after``.

        Raises:
            CompactedError: ``revision`` is no longer kept.
        """

    async def count(self, prefix: str, *, after: str = "") -> int:
        """How many keys there are now."""

    def watch(self, prefix: str, *, after: int) -> Watch:
        """Every write with a revision greater than ``after``.

        Raises:
            CompactedError: ``after`` is no longer kept.
        """

    async def commit(self, txn: Txn) -> Outcome:
        """Write durably: when it returns a record, no crash loses it.

        Raises:
            StoreFullError: the disk is full; nothing was written.
            StoreOverloadedError: too many writes wait already; nothing was written.
        """
