"""Where audit events go: a file that rotates, a webhook that gets them in batches.

Events are encoded at once and written by one task, so that a request waits for no disk; when the
queue is full, requests wait (the file) or events are dropped and counted (the webhook).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import anyio
import orjson
from anyio import to_thread

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright._base.files import make_private

_log = logs.get("apiserver.audit")
_WAITING_MAX = 10_000
_BATCH = 400
_BATCH_SECONDS = 1.0
_ATTEMPTS, _RETRY_SECONDS = 4, 0.5


class Sink(Protocol):
    """Takes events."""

    async def put(self, event: dict[str, Any]) -> None:
        """Keep the event."""

    async def run(self) -> None:
        """Write what was put, until cancelled; then write what is left."""


class FileSink:
    """JSON lines in ``path`` (0600); full files become ``path.1`` (the newest) to ``path.N``."""

    def __init__(self, path: Path, *, bytes_max: int = 20 << 20, backups: int = 5) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._backups = backups
        self._size = 0
        self._sender, self._receiver = anyio.create_memory_object_stream[bytes](_WAITING_MAX)

    async def put(self, event: dict[str, Any]) -> None:
        """Keep the event; waits while the disk is behind."""
        await self._sender.send(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))

    async def run(self) -> None:
        """Write until cancelled; then write what is left."""
        await to_thread.run_sync(self._open)
        try:
            while True:
                lines = [await self._receiver.receive()]
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(self._write, self._waiting(lines))
        finally:
            with anyio.CancelScope(shield=True):
                left = self._waiting([])
                if left:
                    await to_thread.run_sync(self._write, left)

    def _waiting(self, lines: list[bytes]) -> list[bytes]:
        while True:
            try:
                lines.append(self._receiver.receive_nowait())
            except (anyio.WouldBlock, anyio.EndOfStream):
                return lines

    def _open(self) -> None:
        make_private(self._path.parent)
        self._size = self._path.stat().st_size if self._path.exists() else 0

    def _write(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        if self._size and self._size + len(data) > self._bytes_max:
            self._rotate()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError as error:
            # A full disk must not stop the API; the loss is said where somebody looks.
            _log.error("audit events are lost: %s", error.strerror, extra={"count": len(lines)})
        finally:
            os.close(descriptor)
        self._size += len(data)

    def _rotate(self) -> None:
        for number in range(self._backups, 0, -1):
            old = self._path if number == 1 else self._numbered(number - 1)
            if old.exists():
                old.replace(self._numbered(number))
        self._size = 0
        if not self._backups:
            self._path.unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


class WebhookSink:
    """Posts ``EventList`` s of up to ``most`` events, at least every ``seconds`` when there are
    any. A batch that nobody takes is tried again; events that find no room meanwhile are dropped.
    """

    def __init__(
        self,
        post: Callable[[bytes], Awaitable[None]],
        most: int = _BATCH,
        seconds: float = _BATCH_SECONDS,
    ) -> None:
        self._post = post
        self._most = most
        self._seconds = seconds
        self._sender, self._receiver = anyio.create_memory_object_stream[Any](_WAITING_MAX)
        self.dropped = 0

    async def put(self, event: dict[str, Any]) -> None:
        """Keep the event, or drop it when the webhook is too far behind."""
        try:
            self._sender.send_nowait(event)
        except anyio.WouldBlock:
            self.dropped += 1

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            batch = [await self._receiver.receive()]
            with anyio.move_on_after(self._seconds):
                while len(batch) < self._most:
                    batch.append(await self._receiver.receive())
            head = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}}
            await self._deliver(orjson.dumps({**head, "items": batch}), len(batch))

    async def _deliver(self, body: bytes, count: int) -> None:
        pause = _RETRY_SECONDS
        for attempt in range(_ATTEMPTS):
            if attempt:
                await anyio.sleep(pause)
                pause *= 2
            try:
                await self._post(body)
                return
            except (CloudwrightError, OSError) as error:
                _log.warning("audit events are not delivered: %s", error)
        self.dropped += count
