"""One HTTP/1.1 request to a backend and its answer, on a stream of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass

import anyio
import h11
from anyio.abc import ByteStream

from cloudwright.apiserver.proxies.targets import unreachable
from cloudwright.client.transport import Request

ANSWER_SECONDS = 300.0
"""How long a backend may think before it begins to answer."""
_HEAD_MAX = 256 * 1024
_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade", "proxy-connection", "http2-settings"),
    }
)
FRAMING = frozenset({"transfer-encoding", "content-length"})
_SECRET = frozenset({"authorization", "host", "content-length", "expect"})
"""Credentials for this API are nobody else's business; the rest is said anew."""

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a backend's answer; names are lower-case."""

    status: int
    headers: Headers

    def get(self, name: str) -> str:
        """The first value of a header; empty when there is none."""
        return next((value for found, value in self.headers if found == name), "")


def forwarded(headers: Mapping[str, str], *, upgrade: str = "") -> Headers:
    """The headers of a client that a backend gets."""
    named = {one.strip().lower() for one in headers.get("connection", "").split(",")}
    dropped = _HOP | _SECRET | named
    found = [
        (name, value)
        for name, value in headers.items()
        if name not in dropped and not name.startswith(("impersonate-", "x-remote-"))
    ]
    if upgrade:
        found += [("connection", "Upgrade"), ("upgrade", upgrade)]
    return found


def returned(headers: Iterable[tuple[str, str]]) -> Headers:
    """The headers of a backend that the client gets."""
    every = list(headers)
    named = {
        one.strip().lower()
        for name, value in every
        if name == "connection"
        for one in value.split(",")
    }
    return [(name, value) for name, value in every if name not in _HOP | named]


class Exchange:
    """A request that was sent. Close it at the end, whatever happened."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_MAX)

    async def send(self, request: Request, target: str, host: str, headers: Headers) -> Head:
        """Send the request; the head of the answer.

        Raises:
            ApiError: 503, no answer, or none that is HTTP.
        """
        length = [("content-length", str(len(request.body)))] if request.body else []
        if not length and request.method in ("POST", "PUT", "PATCH"):
            length = [("content-length", "0")]
        try:
            event = h11.Request(
                method=request.method,
                target=target,
                headers=[("host", host), *headers, *length],
            )
            parts = [self._state.send(event)]
            if request.body:
                parts.append(self._state.send(h11.Data(data=request.body)))
            parts.append(self._state.send(h11.EndOfMessage()))
            with anyio.fail_after(ANSWER_SECONDS):
                await self._stream.send(b"".join(part for part in parts if part))
                return await self._head()
        except TimeoutError as error:
            raise unreachable(f"no answer within {ANSWER_SECONDS:g} s") from error
        except (h11.ProtocolError, anyio.BrokenResourceError, OSError) as error:
            raise unreachable(str(error) or "the connection broke") from error

    async def _head(self) -> Head:
        while True:
            event = await self._next()
            if isinstance(event, h11.Response | h11.InformationalResponse):
                if event.status_code == 101 or event.status_code >= 200:
                    pairs = [(n.decode(), v.decode("latin-1")) for n, v in event.headers]
                    return Head(event.status_code, pairs)
            elif isinstance(event, h11.ConnectionClosed):
                raise unreachable("EOF")

    async def body(self) -> AsyncGenerator[bytes, None]:
        """The answer's body as it comes; what breaks off just ends, as the client's does then.

        Raises:
            ConnectionError: the backend broke off before the end.
        """
        try:
            while True:
                event = await self._next()
                if isinstance(event, h11.Data):
                    yield bytes(event.data)
                elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    return
        except (h11.ProtocolError, anyio.BrokenResourceError, OSError) as error:
            raise ConnectionResetError("the backend broke off") from error

    async def whole(self) -> bytes:
        """The answer's body, all of it.

        Raises:
            ConnectionError: the backend broke off before the end, or does not come to one.
        """
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                return b"".join([part async for part in self.body()])
        except TimeoutError as error:
            raise ConnectionResetError("the answer does not come to its end") from error

    def surplus(self) -> bytes:
        """What came after the head of an upgraded connection."""
        return bytes(self._state.trailing_data[0])

    async def aclose(self) -> None:
        """Close the stream."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await self._stream.aclose()

    async def _next(self) -> object:
        while True:
            event = self._state.next_event()
            if event is not h11.NEED_DATA:
                return event
            try:
                data = await self._stream.receive()
            except anyio.EndOfStream:
                data = b""
            self._state.receive_data(data)
