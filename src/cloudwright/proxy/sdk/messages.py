"""What a filter gets, ``Request`` and ``Response``, and what it may answer with, ``respond``.

Changes are recorded as operations; only these go back to the proxy.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from cloudwright.proxy.sdk.headers import Headers, Operation, encode_name, encode_value

METHOD, PATH, AUTHORITY, STATUS = 16, 17, 18, 19
"""Operations on a message's first line, beside those on headers."""
HEAD = struct.Struct("<BBBHIH")
"""Version (10, 11, 20), TLS, and lengths: method, authority, path, origin; the texts follow."""
BODY_AT_MOST = 1 << 20
_ERRORS = "surrogateescape"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_TARGET = re.compile(r"/[\x21-\x7e\x80-\U0010ffff]*|\*")
_AUTHORITY = re.compile(r"[A-Za-z0-9.\-_~%!$&'()*+,;=:\[\]@]+")


class Reply:
    """An answer that a filter gives instead of the backend; made by ``respond``."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    def __repr__(self) -> str:
        return f"respond({self.status}, {self.body[:80]!r})"


def respond(status: int, body: str | bytes = b"", headers: dict[str, str] | None = None) -> Reply:
    """An answer in the backend's place, for a hook to return: ``respond(403, "not today")``.

    Raises:
        ValueError: no final status (200–599), more than 1 MiB, or a header that cannot be set.
    """
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is not the status of a final answer (200-599)")
    content = body.encode() if isinstance(body, str) else bytes(body)
    if len(content) > BODY_AT_MOST:
        raise ValueError(f"an answer has at most {BODY_AT_MOST} bytes, this has {len(content)}")
    lines = [(encode_name(name), encode_value(value)) for name, value in (headers or {}).items()]
    if content and not any(name == b"content-type" for name, _ in lines):
        kind = (
            b"text/plain; charset=utf-8" if isinstance(body, str) else b"application/octet-stream"
        )
        lines.append((b"content-type", kind))
    return Reply(status, content, lines)


class _Message:
    """The recorded operations and the headers of a message."""

    __slots__ = ("_headers", "_text", "operations")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._headers: Headers | None = None
        self.operations: list[Operation] = []

    @property
    def headers(self) -> Headers:
        """The headers as they are after all filters before this one."""
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers(self._text, self.operations)
        return headers

    def cut(self, length: int) -> None:
        """Undo all but the first ``length`` operations: a filter failed half-way."""
        if len(self.operations) > length:
            del self.operations[length:]
            if self._headers is not None:
                self._headers.forget()

    def _last(self, operation: int) -> bytes | None:
        for kind, _, value in reversed(self.operations):
            if kind == operation:
                return value
        return None


class Request(_Message):
    """A request on its way to the backend.

    ``state`` is a dictionary for the filters of this one exchange, kept until the answer is over.
    """

    __slots__ = ("_ending", "_ends", "_head", "_state", "https", "version")

    def __init__(self, head: bytes) -> None:
        """``head`` is the wire's flat form: ``HEAD``, the texts, then the headers' text.

        Raises:
            struct.error: it is cut off.
        """
        self.version, self.https, method, authority, path, origin = HEAD.unpack_from(head)
        first = HEAD.size + method
        second = first + authority
        third = second + path
        self._ends = (first, second, third, third + origin)
        self._head = head
        self._state: dict[str, Any] | None = None
        self._ending: list[Callable[[], object]] | None = None
        # As _Message.__init__; the headers' text is cut out when it is first needed.
        self._headers = None
        self.operations = []

    @property
    def headers(self) -> Headers:
        """The headers as they are after all filters before this one."""
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers(self._head[self._ends[3] :], self.operations)
        return headers

    @property
    def state(self) -> dict[str, Any]:
        """What filters remember about this exchange, for ``on_response`` and body hooks."""
        if self._state is None:
            self._state = {}
        return self._state

    def at_end(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when the exchange is over (or when no filter wants its answer)."""
        if self._ending is None:
            self._ending = []
        self._ending.append(callback)

    def finish(self) -> None:
        """The exchange is over; for the host.

        Raises:
            Exception: what the first callback that failed raised; all have been called.
        """
        callbacks, self._ending = self._ending or [], None
        failed: Exception | None = None
        for callback in callbacks:
            try:
                callback()
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    @property
    def method(self) -> str:
        """The method, as ``GET``."""
        changed = self._last(METHOD)
        return (self._head[HEAD.size : self._ends[0]] if changed is None else changed).decode()

    @method.setter
    def method(self, value: str) -> None:
        if not _TOKEN.fullmatch(value):
            raise ValueError(f"{value!r} is not a method")
        self.operations.append((METHOD, b"", value.encode()))

    @property
    def authority(self) -> str:
        """The host that was asked for, with its port if one was named."""
        changed = self._last(AUTHORITY)
        text = self._head[self._ends[0] : self._ends[1]] if changed is None else changed
        return text.decode(errors=_ERRORS)

    @authority.setter
    def authority(self, value: str) -> None:
        if not _AUTHORITY.fullmatch(value):
            raise ValueError(f"{value!r} is not a host with an optional port")
        self.operations.append((AUTHORITY, b"", value.encode()))

    @property
    def target(self) -> str:
        """Path and query, as they stand in the request."""
        changed = self._last(PATH)
        text = self._head[self._ends[1] : self._ends[2]] if changed is None else changed
        return text.decode(errors=_ERRORS)

    @target.setter
    def target(self, value: str) -> None:
        if not _TARGET.fullmatch(value):
            raise ValueError(f"{value!r} is not a path (it begins with / and holds no space)")
        self.operations.append((PATH, b"", value.encode(errors=_ERRORS)))

    @property
    def path(self) -> str:
        """The path alone."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of a name that occurs twice, the last."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def scheme(self) -> str:
        """``http`` or ``https``, as the client came."""
        return "https" if self.https else "http"

    @property
    def client(self) -> str:
        """The client's address, empty when the proxy did not tell."""
        return self._origin(0)

    @property
    def route(self) -> str:
        """The name of the route that the proxy chose, empty when it has none."""
        return self._origin(1)

    @property
    def identity(self) -> str:
        """The verified identity of the client (``spiffe://…``), empty without mTLS."""
        return self._origin(2)

    def _origin(self, index: int) -> str:
        text = self._head[self._ends[2] : self._ends[3]].decode(errors=_ERRORS)
        return (*text.split("\n"), "", "", "")[index]

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.authority}{self.target}>"


class Response(_Message):
    """The backend's answer on its way to the client."""

    __slots__ = ("_status",)

    def __init__(self, status: int, text: bytes) -> None:
        super().__init__(text)
        self._status = status

    @property
    def status(self) -> int:
        """The status code."""
        changed = self._last(STATUS)
        return self._status if changed is None else int(changed)

    @status.setter
    def status(self, value: int) -> None:
        if not 200 <= value <= 599:
            raise ValueError(f"{value} is not the status of a final answer (200-599)")
        self.operations.append((STATUS, b"", b"%d" % value))

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


def head_of(
    method: str,
    target: str,
    headers: list[tuple[bytes, bytes]],
    *,
    authority: str = "localhost",
    origin: tuple[str, str, str] = ("", "", ""),
    https: bool = False,
    version: int = 11,
) -> bytes:
    """A request's head in the wire's flat form, for tests and benchmarks."""
    texts = [text.encode() for text in (method, authority, target, "\n".join(origin))]
    lengths = [len(text) for text in texts]
    return HEAD.pack(version, https, *lengths) + b"".join(texts) + text_of(headers)


def text_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Headers as the one text that the wire carries."""
    return b"\n" + b"".join(name.lower() + b":" + value + b"\n" for name, value in headers)
