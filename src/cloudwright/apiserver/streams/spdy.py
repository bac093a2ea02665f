"""SPDY/3.1 framing without I/O: bytes in, events out; actions in, bytes out.

What kubectl before WebSockets speaks on ``exec``, ``attach`` and ``port-forward``. Like the
library on its other end, it knows no flow-control windows: back pressure is TCP's.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cloudwright.apiserver.streams.dictionary import DICTIONARY

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS = 1, 2, 3, 4
PING, GOAWAY, HEADERS, WINDOW_UPDATE = 6, 7, 8, 9
FIN = 0x01
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, INTERNAL_ERROR = 1, 2, 3, 5, 6
MAX_FRAME = 1 << 20
MAX_HEADERS = 64 << 10
CHUNK = 32 << 10


class SpdyError(Exception):
    """The peer broke the protocol; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream; header names are lower-case."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class StreamReplied:
    """The peer accepted a stream that we opened."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bytes on a stream; ``fin`` ends the peer's half."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The peer ended a stream abruptly."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class PingReceived:
    """A ping; answer it with the same number unless it is the echo of ours."""

    number: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer opens and accepts no further streams."""

    last_stream: int
    status: int = 0


Event = StreamOpened | StreamReplied | DataReceived | StreamReset | PingReceived | GoneAway


@dataclass(slots=True)
class Codec:
    """One side of one connection: holds the compression state of both directions."""

    max_frame: int = MAX_FRAME
    max_headers: int = MAX_HEADERS
    _buffer: bytearray = field(default_factory=bytearray)
    _inflate: zlib._Decompress = field(default_factory=lambda: zlib.decompressobj(zdict=DICTIONARY))
    _deflate: zlib._Compress = field(
        default_factory=lambda: zlib.compressobj(6, zlib.DEFLATED, 11, 8, 0, DICTIONARY)
    )

    def receive(self, data: bytes) -> Iterator[Event]:
        """The events of every frame that is complete with ``data``.

        Raises:
            SpdyError: the bytes are no SPDY/3.1, or larger than the limits.
        """
        self._buffer += data
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[5:8], "big")
            if length > self.max_frame:
                raise SpdyError(f"a frame of {length} bytes is over the limit {self.max_frame}")
            if len(self._buffer) < 8 + length:
                return
            head, payload = bytes(self._buffer[:8]), bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            event = self._frame(head, payload)
            if event is not None:
                yield event

    def open(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        """A SYN_STREAM frame."""
        block = struct.pack(">IIBB", stream, 0, 0, 0) + self._headers(headers)
        return _control(SYN_STREAM, FIN if fin else 0, block)

    def reply(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        """A SYN_REPLY frame."""
        block = struct.pack(">I", stream) + self._headers(headers)
        return _control(SYN_REPLY, FIN if fin else 0, block)

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        """DATA frames of at most ``CHUNK`` bytes each."""
        out = bytearray()
        view = memoryview(data)
        while True:
            chunk, view = view[:CHUNK], view[CHUNK:]
            last = not view
            flags = FIN if fin and last else 0
            out += struct.pack(">II", stream, flags << 24 | len(chunk))
            out += chunk
            if last:
                return bytes(out)

    def reset(self, stream: int, status: int) -> bytes:
        """A RST_STREAM frame."""
        return _control(RST_STREAM, 0, struct.pack(">II", stream, status))

    def ping(self, number: int) -> bytes:
        """A PING frame, or the answer to one."""
        return _control(PING, 0, struct.pack(">I", number))

    def goaway(self, last_stream: int, status: int = 0) -> bytes:
        """A GOAWAY frame."""
        return _control(GOAWAY, 0, struct.pack(">II", last_stream, status))

    def _frame(self, head: bytes, payload: bytes) -> Event | None:
        first, flags = int.from_bytes(head[:4], "big"), head[4]
        if not first >> 31:
            return DataReceived(first, payload, bool(flags & FIN))
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != 3:
            raise SpdyError(f"SPDY version {version} is not 3")
        try:
            return self._control(kind, flags, payload)
        except struct.error as error:
            raise SpdyError(f"a frame of type {kind} is too short") from error

    def _control(self, kind: int, flags: int, payload: bytes) -> Event | None:
        fin = bool(flags & FIN)
        if kind == SYN_STREAM:
            stream, _associated, _priority, _slot = struct.unpack_from(">IIBB", payload)
            return StreamOpened(stream & _ID, self._read_headers(payload[10:]), fin)
        if kind == SYN_REPLY:
            (stream,) = struct.unpack_from(">I", payload)
            return StreamReplied(stream & _ID, self._read_headers(payload[4:]), fin)
        if kind == HEADERS:
            (stream,) = struct.unpack_from(">I", payload)
            self._read_headers(payload[4:])  # keeps the compression state in step
            return DataReceived(stream & _ID, b"", True) if fin else None
        if kind == RST_STREAM:
            stream, status = struct.unpack_from(">II", payload)
            return StreamReset(stream & _ID, status)
        if kind == PING:
            return PingReceived(struct.unpack_from(">I", payload)[0])
        if kind == GOAWAY:
            last, status = struct.unpack_from(">II", payload)
            return GoneAway(last & _ID, status)
        return None  # SETTINGS, WINDOW_UPDATE and unknown types are ignored

    def _headers(self, headers: Mapping[str, str]) -> bytes:
        block = bytearray(struct.pack(">I", len(headers)))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._deflate.compress(bytes(block)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _read_headers(self, block: bytes) -> dict[str, str]:
        try:
            raw = self._inflate.decompress(block, self.max_headers)
        except zlib.error as error:
            raise SpdyError(f"a header block cannot be decompressed: {error}") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"a header block is over the limit {self.max_headers}")
        (count,) = struct.unpack_from(">I", raw)
        at, found = 4, {}
        for _ in range(count):
            name, at = _text(raw, at)
            value, at = _text(raw, at)
            found[name] = value.replace("\0", ",")
        return found


_ID = 0x7FFFFFFF


def _control(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">II", 1 << 31 | 3 << 16 | kind, flags << 24 | len(payload)) + payload


def _text(raw: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", raw, at)
    end = at + 4 + length
    if end > len(raw):
        raise SpdyError("a header is cut short")
    return raw[at + 4 : end].decode("utf-8", "replace"), end
