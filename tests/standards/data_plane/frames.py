"""HTTP/2 by hand: frames as bytes, so that what no library would send can be sent."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from hpack import Decoder, Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame as bytes."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(fields: Iterable[tuple[str | bytes, str | bytes]]) -> bytes:
    """A header block of literals that are not indexed: what is said is what is sent."""
    out = b""
    for name, value in fields:
        for text in (name, value):
            raw = text if isinstance(text, bytes) else text.encode("latin-1")
            out += (b"\x00" if text is name else b"") + integer(len(raw)) + raw
    return out


def integer(value: int) -> bytes:
    """An HPACK integer with a prefix of seven bits, Huffman bit off."""
    if value < 127:
        return bytes([value])
    out, value = bytearray([127]), value - 127
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def request(path: str, method: str = "GET", *more: tuple[str, str]) -> Fields:
    """The fields of a request."""
    return [
        (":method", method),
        (":scheme", "http"),
        (":authority", "h"),
        (":path", path),
        *more,
    ]


class Connection:
    """A client that does as it is told."""

    def __init__(self, port: int, timeout: float = 30) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.sendall(PREFACE + frame(SETTINGS))
        self.encoder, self.decoder = Encoder(), Decoder()
        self._pending = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *frames: bytes) -> None:
        """Frames, in one write."""
        self.sock.sendall(b"".join(frames))

    def ask(self, stream: int, fields: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        """A request without content."""
        self.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, block(fields)))

    def next(self) -> Frame | None:
        """The next frame; ``None`` at the end of the connection."""
        try:
            while len(self._pending) < 9 or len(self._pending) < 9 + self._length():
                part = self.sock.recv(65536)
                if not part:
                    return None
                self._pending += part
        except (ConnectionError, BrokenPipeError):
            return None
        end = 9 + self._length()
        head, payload, self._pending = (
            self._pending[:9],
            self._pending[9:end],
            self._pending[end:],
        )
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        return Frame(kind, flags, stream & 0x7FFFFFFF, payload)

    def _length(self) -> int:
        return int.from_bytes(self._pending[:3], "big")

    def answer(self, stream: int) -> tuple[str, bytes]:
        """``(status, body)`` of a stream, or ``("reset", code)``, ``("goaway", code)``, or
        ``("closed", b"")``."""
        status, body = "", b""
        while found := self.next():
            if found.kind == SETTINGS and not found.flags & ACK:
                self.send(frame(SETTINGS, ACK))
            elif found.kind == HEADERS:
                fields = dict(self.decoder.decode(found.payload))
                if found.stream == stream:
                    status = status or str(fields.get(":status", ""))
            elif found.kind == DATA and found.stream == stream:
                body += found.payload
            elif found.kind == RST_STREAM and found.stream == stream:
                return "reset", found.payload
            elif found.kind == GOAWAY and found.payload[4:8] != b"\0\0\0\0":
                return "goaway", found.payload[4:8]
            if found.kind in (HEADERS, DATA) and found.stream == stream and found.flags & 1:
                return status, body
        return "closed", b""
