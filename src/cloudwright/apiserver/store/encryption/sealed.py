"""A store whose listed kinds are encrypted below; whoever uses it sees plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cloudwright._base import logs
from cloudwright.apiserver import encoding
from cloudwright.apiserver.errors import StoreError
from cloudwright.apiserver.store.encryption.configuration import Rules
from cloudwright.apiserver.store.interface import (
    Compare,
    Event,
    Listener,
    Outcome,
    Page,
    Record,
    Statistics,
    Store,
    Txn,
    Watch,
    Write,
)

_log = logs.get("apiserver.store")
_PLAIN = "encryption.plain"
_PAGE = 500


class SealedStore:
    """``Store`` around another one."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    @property
    def revision(self) -> int:
        """The newest revision whose event watchers were given."""
        return self._store.revision

    @property
    def statistics(self) -> Statistics:
        """The store's numbers as they are now."""
        return self._store.statistics

    @property
    def exclusive(self) -> bool:
        """Whether nobody else writes."""
        return self._store.exclusive

    def listen(self, listener: Listener) -> None:
        """Give ``listener`` every event from now on."""
        self._store.listen(_Plain(self, listener))

    async def newest(self) -> int:
        """The newest committed revision."""
        return await self._store.newest()

    async def get(self, key: str) -> Record | None:
        """The newest committed value."""
        found = await self._store.get(key)
        return None if found is None else self._record(found)

    async def page(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Page:
        """Records whose key starts with ``prefix`` and is greater than ``after``."""
        found = await self._store.page(prefix, after=after, limit=limit, revision=revision)
        if prefix.count("/") > 2 and self._rules.of(prefix) is None:
            return found
        return replace(found, records=[self._record(one) for one in found.records])

    async def count(self, prefix: str, *, after: str = "") -> int:
        """How many keys there are now."""
        return await self._store.count(prefix, after=after)

    def watch(self, prefix: str, *, after: int) -> Watch:
        """Every write with a revision greater than ``after``."""
        return _PlainWatch(self, self._store.watch(prefix, after=after))

    async def commit(self, txn: Txn) -> Outcome:
        """Write durably."""
        write = txn.write
        providers = self._rules.of(write.key)
        if providers is None:
            return await self._store.commit(txn)
        sealed = write._replace(template=providers.seal(write.key, write.template))
        found = await self._store.commit(txn._replace(write=sealed))
        return found if found.record is None else found._replace(record=self._record(found.record))

    def plain(self, event: Event) -> Event:
        """An event with plain values; made once for all who see it."""
        providers = self._rules.of(event.key)
        if providers is None:
            return event
        known = event.notes.get(_PLAIN)
        if isinstance(known, Event):
            return known
        previous = event.previous
        made = replace(
            event,
            value=providers.opened(event.key, event.value),
            previous=None if previous is None else providers.opened(event.key, previous),
            notes={},
        )
        event.notes[_PLAIN] = made
        return made

    def _record(self, record: Record) -> Record:
        providers = self._rules.of(record.key)
        if providers is None:
            return record
        return record._replace(value=providers.opened(record.key, record.value))

    async def renew(self) -> int:
        """Write values anew that are kept in another way than they would be written now: when
        keys or kinds were changed. Returns how many.
        """
        after, more, count = "", True, 0
        while more:
            page = await self._store.page("/", after=after, limit=_PAGE)
            more = page.more
            for record in page.records:
                after = record.key
                count += await self._renew(record)
        return count

    async def _renew(self, record: Record) -> bool:
        providers = self._rules.of(record.key)
        if providers is None or providers.is_current(record.value):
            return False
        try:
            plain = providers.opened(record.key, record.value)
        except StoreError as error:
            _log.error("a value cannot be encrypted anew: %s", error.message)
            return False
        template = encoding.template(encoding.decode(plain))
        compare = Compare(record.key, record.revision)
        written = await self.commit(Txn((compare,), Write(record.key, template)))
        return written.record is not None


class _Plain:
    """A ``Listener`` that gives another one plain values."""

    def __init__(self, store: SealedStore, listener: Listener) -> None:
        self._store = store
        self._listener = listener
        self.about: tuple[str, ...] = getattr(listener, "about", ("",))

    def event(self, event: Event) -> None:
        """The next write."""
        try:
            plain = self._store.plain(event)
        except StoreError as error:
            # A cache that misses a write must not go on as if it had seen it.
            _log.error("an event cannot be read: %s", error.message)
            self._listener.lost()
            return
        self._listener.event(plain)

    def lost(self) -> None:
        """Events were missed."""
        self._listener.lost()


class _PlainWatch:
    """A ``Watch`` with plain values."""

    def __init__(self, store: SealedStore, watch: Watch) -> None:
        self._store = store
        self._watch = watch

    async def batch(self, seconds: float | None = None) -> list[Event]:
        """The next events."""
        found: Sequence[Event] = await self._watch.batch(seconds)
        return [self._store.plain(event) for event in found]

    @property
    def progress(self) -> int:
        """Every event up to this revision was handed out."""
        return self._watch.progress

    @property
    def behind(self) -> bool:
        """Whether there may be something to hand out."""
        return self._watch.behind

    def close(self) -> None:
        """Stop receiving."""
        self._watch.close()
