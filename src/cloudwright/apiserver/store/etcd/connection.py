"""Calls to etcd: a channel to each member, the next one when a member does not answer.

Reads are repeated at another member. A write is repeated only when it certainly never left: a
guarded write that may have arrived is looked up by whoever asked for it.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from grpc.aio import AioRpcError as RpcError

from cloudwright._base import logs
from cloudwright.apiserver.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreOverloadedError,
    StoreUnreachableError,
)
from cloudwright.apiserver.store.etcd.config import EtcdConfig
from cloudwright.apiserver.store.etcd.pb import etcd_pb2 as pb

_log = logs.get("apiserver.store")

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)
_METADATA = (("hasleader", "true"),)
"""A member that is cut off from the others says so instead of answering from the past."""
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN)
__all__ = [
    "COMPACTED",
    "FUTURE",
    "Member",
    "Members",
    "RpcError",
    "lost_touch",
    "translate",
    "unsent",
    "watch",
]
COMPACTED = "has been compacted"
FUTURE = "is a future revision"


class Member:
    """One endpoint and the calls that the store makes."""

    def __init__(self, endpoint: str, channel: Any) -> None:
        self.endpoint = endpoint
        self.channel = channel
        unary = channel.unary_unary
        self.range = unary("/etcdserverpb.KV/Range", *_codec(pb.RangeRequest, pb.RangeResponse))
        self.txn = unary("/etcdserverpb.KV/Txn", *_codec(pb.TxnRequest, pb.TxnResponse))
        self.compact = unary(
            "/etcdserverpb.KV/Compact", *_codec(pb.CompactionRequest, pb.CompactionResponse)
        )
        self.status = unary(
            "/etcdserverpb.Maintenance/Status", *_codec(pb.StatusRequest, pb.StatusResponse)
        )
        self.watch = channel.stream_stream(
            "/etcdserverpb.Watch/Watch", *_codec(pb.WatchRequest, pb.WatchResponse)
        )


class Members:
    """All endpoints; calls go to the one that answered last."""

    def __init__(self, config: EtcdConfig) -> None:
        self._config = config
        credentials = _credentials(config) if config.tls else None
        self._members = [
            Member(
                endpoint,
                grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
                if credentials is None
                else grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS),
            )
            for endpoint in config.endpoints
        ]
        self._current = 0

    @property
    def current(self) -> Member:
        """The member that is asked first."""
        return self._members[self._current]

    def next(self, failed: Member) -> None:
        """Ask another member first, unless that was done already."""
        if self.current is failed:
            self._current = (self._current + 1) % len(self._members)
            if len(self._members) > 1:
                _log.warning("going on with etcd at %s", self.current.endpoint)

    async def read(self, call: str, request: Any) -> Any:
        """The answer to a call that may be repeated.

        Raises:
            RpcError: etcd refused, or no member answers.
        """
        attempts = max(self._config.read_attempts, len(self._members) + 1)
        while True:
            attempts -= 1
            member = self.current
            try:
                return await self._ask(member, call, request)
            except RpcError as error:
                if error.code() not in _AWAY or not attempts:
                    raise
                self.next(member)

    async def write(self, request: pb.TxnRequest) -> Any:
        """The answer to a transaction; repeated only if it was not sent.

        Raises:
            RpcError: etcd refused, or no member answers, or what became of it is not known.
        """
        attempts = len(self._members) + 1
        while True:
            attempts -= 1
            member = self.current
            try:
                return await self._ask(member, "txn", request)
            except RpcError as error:
                if error.code() in _AWAY:
                    self.next(member)
                if not unsent(error) or not attempts:
                    raise

    async def _ask(self, member: Member, call: str, request: Any) -> Any:
        ask = getattr(member, call)
        return await ask(request, timeout=self._config.request_seconds, metadata=_METADATA)

    async def aclose(self) -> None:
        """End all connections."""
        for member in self._members:
            await member.channel.close(None)


def watch(member: Member) -> Any:
    """A new watch stream."""
    return member.watch(metadata=_METADATA)


def unsent(error: RpcError) -> bool:
    """Whether the request certainly did not reach etcd."""
    details = error.details() or ""
    return error.code() is grpc.StatusCode.UNAVAILABLE and (
        "failed to connect" in details or "no leader" in details or "Connection refused" in details
    )


def lost_touch(error: RpcError) -> bool:
    """Whether nobody answered (rather than refused)."""
    return error.code() in _AWAY


def translate(error: RpcError, config: EtcdConfig) -> StoreError:
    """A refusal of etcd as the store's own error."""
    code, details = error.code(), error.details() or ""
    where = ",".join(config.endpoints)
    if "database space exceeded" in details:
        return StoreFullError(
            f"etcd ({where}) has no space left: {details}",
            hint="raise its quota or compact and defragment it, then `etcdctl alarm disarm`",
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return StoreOverloadedError(f"etcd ({where}) takes no more: {details}")
    if code is grpc.StatusCode.DATA_LOSS or "corrupt" in details:
        return StoreCorruptError(f"etcd ({where}) is damaged: {details}")
    if code in _AWAY:
        return StoreUnreachableError(
            f"etcd ({where}) does not answer: {details}",
            hint="see whether a majority of its members runs",
        )
    return StoreError(f"etcd ({where}) refused: {details}", cause=code.name)


def _codec(request: Any, response: Any) -> tuple[Any, Any]:
    return request.SerializeToString, response.FromString


def _credentials(config: EtcdConfig) -> Any:
    def content(path: Any) -> bytes | None:
        return path.read_bytes() if path is not None else None

    return grpc.ssl_channel_credentials(
        content(config.ca), content(config.key), content(config.cert)
    )
