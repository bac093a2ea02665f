"""A backend that trusts nobody: it records every request that it saw, and every doubt about one.

Whatever a proxy sends must be exactly one reading of RFC 9112: lines end in CRLF, names are tokens,
one framing, no fold. Anything else is a violation, because another backend could read it otherwise.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP/1\.[01]\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
HEAD_LIMIT = 1 << 20
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def key_of(number: int) -> str:
    """Four letters for a case (less than 256) that no identifier or date has in it."""
    letters = "ghjkmnpqrstvwxyz"
    return f"zq{letters[number // 16]}{letters[number % 16]}"


class Violation(Exception):
    """What is wrong with a message that arrived."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for one, value in self.headers if one == name]


@dataclass
class Recorder:
    """What came in so far."""

    port: int
    requests: list[Seen] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, key: str) -> list[Seen]:
        """Requests whose raw text has the key of a case in it."""
        with self.lock:
            return [one for one in self.requests if key.encode() in one.raw]


class Reader:
    """Bytes of a connection, all kept until the message ends."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.pending = b""
        self.message = b""

    def more(self) -> bool:
        part = self.sock.recv(65536)
        self.pending += part
        return bool(part)

    def take(self, count: int) -> bytes:
        while len(self.pending) < count:
            if not self.more():
                raise EOFError
        found, self.pending = self.pending[:count], self.pending[count:]
        self.message += found
        return found

    def line(self) -> bytes:
        while b"\n" not in self.pending:
            if len(self.pending) > HEAD_LIMIT:
                raise Violation("a line without end")
            if not self.more():
                raise EOFError
        found = self.take(self.pending.index(b"\n") + 1)
        if not found.endswith(b"\r\n"):
            raise Violation(f"a line ends in a bare LF: {found!r}")
        found = found[:-2]
        if b"\r" in found or b"\0" in found:
            raise Violation(f"CR or NUL inside a line: {found!r}")
        return found


def read_request(reader: Reader) -> Seen:
    """The next request.

    Raises:
        EOFError: the connection ended.
        Violation: it can be read in more than one way.
    """
    reader.message = b""
    line = reader.line()
    match = REQUEST_LINE.match(line)
    if not match:
        raise Violation(f"request line {line!r}")
    headers = read_headers(reader)
    body = read_body(reader, headers)
    if len([1 for name, _ in headers if name == "host"]) != 1:
        raise Violation(f"not one Host in {reader.message!r}")
    return Seen(match[1].decode(), match[2].decode("latin-1"), headers, body, bytes(reader.message))


def read_headers(reader: Reader) -> list[tuple[str, str]]:
    """Fields up to the empty line."""
    headers = []
    while line := reader.line():
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name) or not VALUE.match(value):
            raise Violation(f"field line {line!r}")
        headers.append((name.decode().lower(), value.strip(b" \t").decode("latin-1")))
    return headers


def read_body(reader: Reader, headers: list[tuple[str, str]]) -> bytes:
    """The content, by the one framing there may be."""
    lengths = [value for name, value in headers if name == "content-length"]
    codings = [value for name, value in headers if name == "transfer-encoding"]
    if codings and lengths:
        raise Violation("both Content-Length and Transfer-Encoding")
    if len(lengths) > 1 or any(not re.fullmatch(r"[0-9]{1,18}", value) for value in lengths):
        raise Violation(f"Content-Length {lengths}")
    if codings and [value.lower() for value in codings] != ["chunked"]:
        raise Violation(f"Transfer-Encoding {codings}")
    if lengths:
        return reader.take(int(lengths[0]))
    return read_chunks(reader) if codings else b""


def read_chunks(reader: Reader) -> bytes:
    """A chunked body with its trailers."""
    body = b""
    while True:
        line = reader.line()
        size = re.match(rb"([0-9a-fA-F]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?\Z", line)
        if not size:
            raise Violation(f"chunk size {line!r}")
        if int(size[1], 16) == 0:
            for name, _ in read_headers(reader):
                if name in ("content-length", "transfer-encoding", "host"):
                    raise Violation(f"trailer {name}")
            return body
        body += reader.take(int(size[1], 16))
        if reader.take(2) != b"\r\n":
            raise Violation("a chunk without its CRLF")


@contextmanager
def recording() -> Iterator[Recorder]:
    """A recorder on a port of its own."""
    recorder = Recorder(0)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            reader = Reader(self.request)
            try:
                while True:
                    seen = read_request(reader)
                    with recorder.lock:
                        recorder.requests.append(seen)
                    self.request.sendall(ANSWER if seen.method != "HEAD" else ANSWER[:-2])
            except Violation as violation:
                with recorder.lock:
                    recorder.violations.append(f"{violation} in {reader.message!r}")
            except (EOFError, OSError):
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        recorder.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            server.shutdown()
            thread.join()
