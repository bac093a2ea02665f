"""HTTP/1.1 between our own programs on this machine: one request a connection, whole bodies.

Parsing is h11's. Whoever talks to strangers, or much, needs more than this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import anyio
import h11
from anyio.abc import ByteStream, Listener, SocketStream

from cloudwright._base import logs

BODY_MAX = 64 << 20
ASKED_MAX = 1 << 20
PATIENCE = 30.0
"""Seconds in which a request must have come."""
_log = logs.get("http")
_FAILURES = (h11.RemoteProtocolError, anyio.BrokenResourceError, anyio.EndOfStream)


class BrokenOffError(OSError):
    """The other side ended, or spoke no HTTP, before its message was whole."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a request."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


async def ask(
    stream: ByteStream,
    method: str,
    target: str,
    *,
    host: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send one request on a new connection and read the answer; the caller closes the stream.

    Raises:
        BrokenOffError: no whole answer came.
    """
    state = h11.Connection(h11.CLIENT)
    sent = {"host": host, "connection": "close", **(headers or {})}
    if body:
        sent["content-length"] = str(len(body))
    try:
        await _send(
            stream, state, h11.Request(method=method, target=target, headers=[*sent.items()])
        )
        return await _answer(stream, state, body)
    except _FAILURES as error:
        raise BrokenOffError(str(error) or "the connection was closed") from error


async def _answer(stream: ByteStream, state: h11.Connection, body: bytes) -> Answer:
    if body:
        await _send(stream, state, h11.Data(data=body))
    await _send(stream, state, h11.EndOfMessage())
    head, whole = h11.Response(status_code=500, headers=[]), bytearray()
    while True:
        event = await _next(stream, state)
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            whole += event.data
            if len(whole) > BODY_MAX:
                raise BrokenOffError(f"the answer is longer than {BODY_MAX} bytes")
        elif isinstance(event, h11.EndOfMessage):
            kind = dict(head.headers).get(b"content-type", b"").decode(errors="replace")
            return Answer(head.status_code, bytes(whole), kind)
        elif not isinstance(event, h11.InformationalResponse):
            raise BrokenOffError("the connection was closed before the answer was whole")


async def serve(
    listener: Listener[SocketStream], answer: Callable[[Asked], Awaitable[Answer]]
) -> None:
    """Answer each connection's request until cancelled. What ``answer`` raises becomes a 500."""

    async def handle(stream: ByteStream) -> None:
        async with stream:
            state = h11.Connection(h11.SERVER)
            try:
                with anyio.fail_after(PATIENCE):
                    asked = await _read(stream, state)
                if asked is not None:
                    await _reply(stream, state, asked, await _found(answer, asked))
            except h11.RemoteProtocolError as error:
                if state.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    text = f"{error}\n".encode()
                    said = Answer(error.error_status_hint, text, "text/plain; charset=utf-8")
                    await _reply(stream, state, None, said)
            except (TimeoutError, anyio.BrokenResourceError, anyio.EndOfStream):
                _log.debug("a client left")

    await listener.serve(handle)


async def _found(answer: Callable[[Asked], Awaitable[Answer]], asked: Asked) -> Answer:
    try:
        return await answer(asked)
    except Exception:
        # The border: a bug in one answer must not end the listener.
        _log.exception("a request failed", extra={"path": asked.path})
        return Answer(500, b"internal error\n", "text/plain; charset=utf-8")


async def _read(stream: ByteStream, state: h11.Connection) -> Asked | None:
    head, whole = None, bytearray()
    while True:
        event = await _next(stream, state)
        if isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            whole += event.data
            if len(whole) > ASKED_MAX:
                raise h11.RemoteProtocolError("the body is too long", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            url = urlsplit(head.target.decode())
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            return Asked(head.method.decode(), url.path, query, bytes(whole))
        else:
            return None


async def _reply(
    stream: ByteStream, state: h11.Connection, asked: Asked | None, said: Answer
) -> None:
    headers = [
        ("content-type", said.content_type),
        ("content-length", str(len(said.body))),
        ("connection", "close"),
    ]
    await _send(stream, state, h11.Response(status_code=said.status, headers=headers))
    if asked is None or asked.method != "HEAD":
        await _send(stream, state, h11.Data(data=said.body))
    await _send(stream, state, h11.EndOfMessage())


async def _send(stream: ByteStream, state: h11.Connection, event: h11.Event) -> None:
    data = state.send(event)
    if data:
        await stream.send(data)


async def _next(stream: ByteStream, state: h11.Connection) -> object:
    while True:
        event = state.next_event()
        if event is not h11.NEED_DATA:
            return event
        try:
            data = await stream.receive()
        except anyio.EndOfStream:
            data = b""
        state.receive_data(data)
