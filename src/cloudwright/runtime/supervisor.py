"""The client of the supervisor's socket (docs/reference/internals.md, "Supervisor socket").

One short connection a request: nothing to keep alive, nothing to lose, and a request that was sent
is done whole by the supervisor even when its caller is cancelled.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from cloudwright._base import logs
from cloudwright.runtime.errors import SupervisorLostError, from_wire

ANSWER_MAX = 64 * 1024 * 1024
RECONNECT_FIRST, RECONNECT_LAST = 0.05, 2.0

_log = logs.get("runtime")

Revive = Callable[[], Awaitable[None]]


class SupervisorClient:
    """Asks the supervisor. ``revive`` starts a new one when none listens."""

    def __init__(self, socket: Path, *, revive: Revive | None = None) -> None:
        self.socket = socket
        self._revive = revive

    async def call(self, op: str, *, timeout: float = 60.0, **fields: Any) -> dict[str, Any]:
        """The answer to one request. Every request but ``exec`` may safely be sent twice, so one
        that a dying supervisor took is asked of the next.

        Raises:
            SupervisorLostError: nobody listens, or the connection broke before the answer.
            RuntimeTimeoutError: a call of crun hung.
            CloudwrightError: as ``errors.from_wire`` tells.
        """
        try:
            with anyio.fail_after(timeout):
                try:
                    return await self._once(op, fields)
                except SupervisorLostError:
                    if self._revive is None:
                        raise
                return await self._once(op, fields)
        except TimeoutError as error:
            raise SupervisorLostError(
                f"the supervisor did not answer {op} within {timeout:g} s",
                hint="look at the supervisor's log",
            ) from error

    async def _once(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
        async with self.connection() as (stream, reader):
            return await self.request(stream, reader, op, **fields)

    @asynccontextmanager
    async def connection(
        self,
    ) -> AsyncIterator[tuple[ByteStream, BufferedByteReceiveStream]]:
        """A connection and the reader of its lines."""
        stream = await self.connect()
        async with stream:
            yield stream, BufferedByteReceiveStream(stream)

    async def connect(self) -> ByteStream:
        """Connect, after reviving the supervisor when none listens.

        Raises:
            SupervisorLostError: nobody listens.
        """
        try:
            return await anyio.connect_unix(self.socket)
        except OSError:
            if self._revive is None:
                raise self._lost() from None
        await self._revive()
        try:
            return await anyio.connect_unix(self.socket)
        except OSError:
            raise self._lost() from None

    async def request(
        self,
        stream: ByteStream,
        reader: BufferedByteReceiveStream,
        op: str,
        **fields: Any,
    ) -> dict[str, Any]:
        """Send one request on ``stream`` and read its answer.

        Raises:
            SupervisorLostError: the connection broke.
            CloudwrightError: as ``errors.from_wire`` tells.
        """
        line = json.dumps({"id": 1, "op": op, **fields}, separators=(",", ":")) + "\n"
        try:
            await stream.send(line.encode())
            answer = json.loads(await reader.receive_until(b"\n", ANSWER_MAX))
        except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead) as error:
            raise SupervisorLostError(
                f"the supervisor ended while it answered {op}",
                hint="it is started again with the next request",
            ) from error
        if "error" in answer:
            raise from_wire(answer["error"])
        found = answer.get("ok")
        return found if isinstance(found, dict) else {}

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Events as they happen; ``{"event": "lost"}`` after every (re)connection.

        So whoever lists after a ``lost`` misses nothing: it is already subscribed. Ends never.
        """
        delay = RECONNECT_FIRST
        while True:
            try:
                async with self.connection() as (stream, reader):
                    await self.request(stream, reader, "subscribe")
                    delay = RECONNECT_FIRST
                    yield {"event": "lost", "id": ""}
                    while True:
                        yield json.loads(await reader.receive_until(b"\n", ANSWER_MAX))
            except (
                SupervisorLostError,
                anyio.BrokenResourceError,
                anyio.EndOfStream,
                anyio.IncompleteRead,
            ) as error:
                _log.warning("lost the supervisor", extra={"error": str(error)})
            await anyio.sleep(delay)
            delay = min(delay * 2, RECONNECT_LAST)

    def _lost(self) -> SupervisorLostError:
        return SupervisorLostError(
            f"no supervisor listens on {self.socket}", hint="start it with `cloudwright up`"
        )
