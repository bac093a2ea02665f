"""Follows etcd's events under the prefix and hands them to the hub, also over lost connections."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from cloudwright._base import logs
from cloudwright.apiserver.errors import StoreCorruptError
from cloudwright.apiserver.store.etcd import connection
from cloudwright.apiserver.store.etcd.connection import Members, RpcError
from cloudwright.apiserver.store.etcd.pb import etcd_pb2 as pb
from cloudwright.apiserver.store.etcd.values import unpack
from cloudwright.apiserver.store.hub import Hub
from cloudwright.apiserver.store.interface import Event
from cloudwright.apiserver.store.statements import end_of

_log = logs.get("apiserver.store")
_PAUSE_MAX = 2.0


class Feed:
    """One watch of everything. ``mark`` is told of each revision that was published."""

    def __init__(
        self, hub: Hub, members: Members, prefix: str, mark: Callable[[int], None]
    ) -> None:
        self._hub = hub
        self._members = members
        self._prefix = prefix
        self._mark = mark
        self._arrived = anyio.Event()

    async def reached(self, revision: int) -> None:
        """Return once everything up to ``revision`` was published."""
        while self._hub.published < revision:
            await self._arrived.wait()

    async def run(self) -> None:
        """Follow until cancelled; a stream that ends is begun anew where it ended."""
        pause = 0.05
        while True:
            member = self._members.current
            before = self._hub.published
            try:
                await self._follow(member)
            except RpcError as error:
                _log.warning(
                    "the watch of etcd at %s ended", member.endpoint, extra={"why": error.details()}
                )
                self._members.next(member)
            pause = 0.05 if self._hub.published > before else min(pause * 2, _PAUSE_MAX)
            await anyio.sleep(pause)

    async def _follow(self, member: connection.Member) -> None:
        root = self._prefix + "/"
        request = pb.WatchCreateRequest(
            key=root.encode(),
            range_end=end_of(root).encode(),
            start_revision=self._hub.published + 1,
            progress_notify=True,
            prev_kv=True,
        )
        stream = connection.watch(member)
        try:
            await stream.write(pb.WatchRequest(create_request=request))
            async for response in stream:
                if response.compact_revision:
                    # We were cut off for longer than etcd keeps history.
                    await self._lost()
                    return
                if response.canceled:
                    _log.warning("etcd ended the watch", extra={"why": response.cancel_reason})
                    return
                self._publish(response)
        finally:
            stream.cancel()
            with anyio.CancelScope(shield=True):
                await stream.code()  # the stream has ended, and not only been told to

    def _publish(self, response: pb.WatchResponse) -> None:
        for one in response.events:
            try:
                event = self._event(one)
            except StoreCorruptError as error:
                _log.error("%s", error.message)
                self._hub.advance(one.kv.mod_revision)
            else:
                self._hub.publish(event)
        if not response.events and not response.created:
            self._hub.advance(int(response.header.revision))
        self._mark(self._hub.published)
        self._arrived.set()
        self._arrived = anyio.Event()

    async def _lost(self) -> None:
        """Go on from what there is now."""
        request = pb.RangeRequest(key=self._prefix.encode(), limit=1, count_only=True)
        response = await self._members.read("range", request)
        _log.error("events of etcd were missed; watchers must list again")
        self._hub.restart(int(response.header.revision))
        self._arrived.set()
        self._arrived = anyio.Event()

    def _event(self, one: pb.Event) -> Event:
        kv, before = one.kv, one.prev_kv
        key = kv.key.decode()[len(self._prefix) :]
        revision = kv.mod_revision
        previous = unpack(before.value, before.mod_revision, kv.key) if before.key else None
        if one.type == pb.Event.DELETE:
            # etcd keeps no last words: the state before, at the revision of the deletion.
            value = unpack(before.value, revision, kv.key) if before.key else b""
            return Event(revision, key, True, False, value, previous)
        created = kv.create_revision == revision
        return Event(revision, key, False, created, unpack(kv.value, revision, kv.key), previous)
