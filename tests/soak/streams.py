"""An HTTP/2 client on one connection at a time, with PyPI's sans-IO ``h2``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

BODY = b"x" * 2000


class Refused(OSError):
    """The stream was not processed (REFUSED_STREAM, or above GOAWAY's last): safe to send again."""


@dataclass
class Waiting:
    """A stream whose answer is not complete."""

    started: list[bool]
    done: asyncio.Future[int]
    status: int = 0


@dataclass
class Link:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: H2Connection
    waiting: dict[int, Waiting] = field(default_factory=dict)
    leaving: bool = False
    task: asyncio.Task[None] | None = None

    def flush(self) -> None:
        """Send what the protocol has to say."""
        self.writer.write(self.protocol.data_to_send())

    async def read(self) -> None:
        """Until the end of the connection."""
        try:
            while data := await self.reader.read(65536):
                for event in self.protocol.receive_data(data):
                    self.take(event)
                self.flush()
        finally:
            self.leaving = True
            for one in self.waiting.values():
                if not one.done.done():
                    one.done.set_exception(ConnectionResetError("the connection ended"))
            self.writer.close()

    def take(self, event: Event) -> None:
        """One event of the protocol."""
        if isinstance(event, ConnectionTerminated):
            self.leaving = True
            for number, one in self.waiting.items():
                if number > (event.last_stream_id or 0) and not one.done.done():
                    one.done.set_exception(Refused("GOAWAY"))
            return
        waiting = self.waiting.get(getattr(event, "stream_id", 0) or 0)
        if waiting is None:
            return
        if isinstance(event, ResponseReceived):
            waiting.started[0] = True
            fields = {bytes(name): bytes(value) for name, value in event.headers}
            waiting.status = int(fields[b":status"])
        elif isinstance(event, DataReceived):
            self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded | StreamReset) and not waiting.done.done():
            if isinstance(event, StreamEnded):
                waiting.done.set_result(waiting.status)
            elif int(event.error_code or 0) == 7:
                waiting.done.set_exception(Refused("REFUSED_STREAM"))
            else:
                waiting.done.set_exception(OSError(f"stream reset, code {event.error_code}"))


class Streams:
    """Requests over one connection; another one when it is sent away, as browsers do."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.links: list[Link] = []
        self._opening = asyncio.Lock()

    @classmethod
    async def connect(cls, port: int) -> Streams:
        """With a first connection."""
        made = cls(port)
        await made.link()
        return made

    async def link(self) -> Link:
        """The current connection, opened when there is none."""
        async with self._opening:
            self.links = [one for one in self.links if not one.leaving or one.waiting]
            for one in self.links:
                if not one.leaving:
                    return one
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            protocol = H2Connection(H2Configuration(client_side=True, header_encoding=None))
            protocol.initiate_connection()
            made = Link(reader, writer, protocol)
            made.flush()
            made.task = asyncio.create_task(made.read())
            self.links.append(made)
            return made

    async def ask(self, method: str, path: str, started: list[bool]) -> int:
        """The status of an answer that came whole; once more when the stream was not processed."""
        try:
            return await self._ask(method, path, started)
        except Refused:
            return await self._ask(method, path, started)

    async def _ask(self, method: str, path: str, started: list[bool]) -> int:
        link = await self.link()
        number = link.protocol.get_next_available_stream_id()
        fields = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "soak"),
            (":path", path),
        ]
        waiting = Waiting(started, asyncio.get_running_loop().create_future())
        link.waiting[number] = waiting
        try:
            link.protocol.send_headers(number, fields, end_stream=method == "GET")
            if method != "GET":
                link.protocol.send_data(number, BODY, end_stream=True)
            link.flush()
            return await waiting.done
        finally:
            del link.waiting[number]

    async def close(self) -> None:
        """End all connections."""
        for one in self.links:
            one.writer.close()
            if one.task:
                await asyncio.gather(one.task, return_exceptions=True)
