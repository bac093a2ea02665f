"""Requests that have split one message into two somewhere, as bytes.

``<id>`` stands for a case's own key. A request to ``/smuggled<id>`` must never reach a backend:
only a proxy and a backend that disagree see it. ``refuse``: no request at all may arrive.
``accept``: exactly one must (or what ``arrive`` says). ``either``: none, or one clean one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Expect = Literal["refuse", "accept", "either"]


@dataclass(frozen=True, slots=True)
class Case:
    """One connection's bytes."""

    name: str
    raw: bytes
    expect: Expect
    arrive: int = 1
    """Requests that arrive when it is accepted."""

    def bytes(self, key: str) -> bytes:
        """What is sent."""
        return self.raw.replace(b"<id>", key.encode())


SMUGGLED = b"GET /smuggled<id> HTTP/1.1\r\nHost: h\r\n\r\n"


def post(headers: bytes, body: bytes = b"hello", line: bytes = b"POST /<id> HTTP/1.1") -> bytes:
    """A request with these field lines (each with its CRLF) and this content."""
    return line + b"\r\nHost: h\r\n" + headers + b"\r\n" + body


def get(line: bytes = b"GET /<id> HTTP/1.1", headers: bytes = b"Host: h\r\n") -> bytes:
    """A request without content."""
    return line + b"\r\n" + headers + b"\r\n"


def chunks(body: bytes, headers: bytes = b"Transfer-Encoding: chunked\r\n") -> bytes:
    """A chunked request."""
    return post(headers, body)


LENGTH = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
END = b"0\r\n\r\n"


def coding(value: bytes, expect: Expect = "refuse") -> Case:
    """A chunked body, hidden behind a spelling of Transfer-Encoding, and a length."""
    field = b"Transfer-Encoding:" + value + b"\r\n"
    body = END + SMUGGLED
    length = b"Content-Length: %d\r\n" % len(body.replace(b"<id>", b"0000"))
    return Case(f"TE {value!r} and CL", post(length + field, body), expect)


def length(value: bytes, expect: Expect = "refuse", body: bytes = b"hello" + SMUGGLED) -> Case:
    """A spelling of Content-Length."""
    return Case(f"CL {value!r}", post(b"Content-Length:" + value + b"\r\n", body), expect)


def chunk(name: str, body: bytes, expect: Expect = "refuse") -> Case:
    """A chunked body of one's own."""
    return Case(f"chunk: {name}", chunks(body), expect)


def line(text: bytes, expect: Expect = "refuse") -> Case:
    """A request line of one's own."""
    return Case(f"line {text!r}", get(text), expect)


def field(text: bytes, expect: Expect = "refuse") -> Case:
    """A field line of one's own (without its end)."""
    return Case(f"field {text!r}", get(headers=b"Host: h\r\n" + text + b"\r\n"), expect)


def host(headers: bytes, expect: Expect = "refuse") -> Case:
    """Host, and nothing else."""
    return Case(f"host {headers!r}", get(headers=headers), expect)


FRAMING = [
    Case("TE and CL, TE first", post(CHUNKED + LENGTH, END + SMUGGLED), "either"),
    Case("CL and TE, CL covers both", post(b"Content-Length: 100\r\n" + CHUNKED, END), "either"),
    coding(b" chunked", "either"),
    coding(b"chunked", "either"),
    coding(b"\tchunked", "either"),
    coding(b" CHUNKED", "either"),
    *[
        coding(value)
        for value in (
            b" xchunked", b" chunked\x0b", b"\x0bchunked", b" chunked, identity",
            b" identity", b" chunked, chunked", b' "chunked"', b" chunked;q=1", b" chunked\x00",
            b" chunke\xc4\x8f", b" chunked,", b" ,chunked", b" cow", b"", b" chunked x",
            b"\r\n chunked", b" x\r\n\tchunked",
        )
    ],
    coding(b" identity, chunked", "either"),
    coding(b" gzip, chunked", "either"),
    Case("TE twice", post(CHUNKED + CHUNKED, HELLO + SMUGGLED[:0]), "either"),
    Case("TE chunked then identity", post(CHUNKED + b"Transfer-Encoding: identity\r\n", HELLO),
         "refuse"),
    Case("TE identity then chunked", post(b"Transfer-Encoding: identity\r\n" + CHUNKED, HELLO),
         "either"),
    Case("TE with a space before the colon",
         post(b"Transfer-Encoding : chunked\r\n" + b"Content-Length: 55\r\n", END + SMUGGLED),
         "refuse"),
    Case("TE after a bare LF",
         post(b"X: y\nTransfer-Encoding: chunked\r\n" + LENGTH, b"hello"), "either"),
    Case("TE after a bare CR",
         post(b"X: y\rTransfer-Encoding: chunked\r\n" + LENGTH, b"hello"), "refuse"),
    Case("TE with an underscore", post(b"Transfer_Encoding: chunked\r\n" + LENGTH), "either"),
    Case("TE in HTTP/1.0",
         post(CHUNKED, HELLO, b"POST /<id> HTTP/1.0"), "either"),
    Case("TE and CL in HTTP/1.0",
         post(CHUNKED + b"Content-Length: 15\r\nConnection: keep-alive\r\n", HELLO + SMUGGLED,
              b"POST /<id> HTTP/1.0"), "either"),
]  # fmt: skip
LENGTHS = [
    *[
        length(value)
        for value in (
            b" -5", b" +5", b" 0x5", b" 5 5", b" 5.0", b" 5e0", b"", b" five", b" 5\x00", b" -0",
            b" 18446744073709551621", b" 99999999999999999999999", b" \xd9\xa5", b" _5", b" 5;",
            b" 5, 6", b" 0,5", b"\x0b5", b" 5\r\nContent-Length: 6", b" 0\r\nContent-Length: 5",
            b"\r\n 5", b" 5\r\nContent-Length: ",
        )
    ],
    length(b" 5, 5", "either", b"hello"),
    length(b" 5\r\nContent-Length: 5", "either", b"hello"),
    length(b" 5\r\ncontent-length: 5", "either", b"hello"),
    length(b" 00005", "either", b"hello"),
    length(b"5", "accept", b"hello"),
    length(b"\t5 \t", "accept", b"hello"),
    Case("CL with a space before the colon", post(b"Content-Length : 5\r\n"), "refuse"),
    Case("CL with a tab before the colon", post(b"Content-Length\t: 5\r\n"), "refuse"),
    Case("CL in capitals", post(b"CONTENT-LENGTH: 5\r\n"), "accept"),
    Case("GET with content", post(LENGTH, line=b"GET /<id> HTTP/1.1"), "accept"),
    Case("CL named in Connection", post(LENGTH + b"Connection: content-length\r\n"), "either"),
    Case("TE named in Connection",
         post(CHUNKED + b"Connection: transfer-encoding\r\n", HELLO), "either"),
    Case("Host named in Connection", get(headers=b"Host: h\r\nConnection: host\r\n"), "either"),
]  # fmt: skip
CHUNKS = [
    chunk("plain", HELLO, "accept"),
    chunk("extension", b"5;a=b\r\nhello\r\n0\r\n\r\n", "either"),
    chunk("quoted extension", b'5;a="b;c"\r\nhello\r\n0\r\n\r\n', "either"),
    chunk("leading zeros", b"0005\r\nhello\r\n000\r\n\r\n", "either"),
    chunk("space after the size", b"5 \r\nhello\r\n0\r\n\r\n", "either"),
    chunk("trailer", b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", "accept"),
    *[
        chunk(name, body + SMUGGLED)
        for name, body in {
            "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
            "plus": b"+5\r\nhello\r\n0\r\n\r\n",
            "minus": b"-5\r\nhello\r\n0\r\n\r\n",
            "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
            "underscore": b"_5\r\nhello\r\n0\r\n\r\n",
            "no size": b"\r\nhello\r\n0\r\n\r\n",
            "17 digits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
            "33 digits": b"f" * 33 + b"\r\nhello\r\n0\r\n\r\n",
            "no hex": b"g\r\nhello\r\n0\r\n\r\n",
            "data longer than its size": b"5\r\nhelloXX\r\n0\r\n\r\n",
            "no CRLF after data": b"5\r\nhello0\r\n\r\n",
            "CR in the size": b"5\rX\r\nhello\r\n0\r\n\r\n",
            "NUL in the size": b"5\x00\r\nhello\r\n0\r\n\r\n",
            "comma": b"5,5\r\nhello\r\n0\r\n\r\n",
        }.items()
    ],
    chunk("LF in an extension", b"5;x\nhello\r\n0\r\n\r\n" + SMUGGLED, "either"),
    chunk("LF after the size", b"5\nhello\r\n0\r\n\r\n", "either"),
    chunk("LF after data", b"5\r\nhello\n0\r\n\r\n", "either"),
    chunk("LF at the end", b"5\r\nhello\r\n0\n\n", "either"),
    chunk("CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n", "either"),
    chunk("CL in a trailer", b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n", "either"),
    chunk("TE in a trailer", b"5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\n\r\n", "either"),
    chunk("Host in a trailer", b"5\r\nhello\r\n0\r\nHost: evil\r\n\r\n", "either"),
    chunk("folded trailer", b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n", "either"),
    chunk("bad trailer", b"5\r\nhello\r\n0\r\nbad\r\n\r\n" + SMUGGLED, "either"),
]
LINES = [
    line(b"GET http://h/<id> HTTP/1.1", "accept"),
    line(b"GET http://other/<id> HTTP/1.1", "either"),
    line(b"GET  /<id> HTTP/1.1", "either"),
    line(b"GET\t/<id>\tHTTP/1.1", "either"),
    line(b"GET /<id> HTTP/1.1 ", "either"),
    line(b"GET /<id>  HTTP/1.1", "either"),
    line(b"GET /<id> x HTTP/1.1", "either"),
    line(b"GET /<id>#a HTTP/1.1", "either"),
    line(b"GET /<id>%0d%0aX:%20y HTTP/1.1", "either"),
    line(b"GET /<id>?a=\xff\xfe HTTP/1.1", "either"),
    line(b"get /<id> HTTP/1.1", "either"),
    line(b"GET <id> HTTP/1.1", "either"),
    line(b"GET //<id> HTTP/1.1", "either"),
    line(b"GET /<id>\\..\\x HTTP/1.1", "either"),
    line(b"GET /x/../<id> HTTP/1.1", "either"),
    line(b"GET ?<id> HTTP/1.1", "either"),
    line(b"GET /<id> HTTP/1.2", "either"),
    line(b" GET /<id> HTTP/1.1", "either"),
    *[
        line(text)
        for text in (
            b"GET /<id>\x00 HTTP/1.1", b"GET /<id>\x01 HTTP/1.1", b"GET /<id>\r HTTP/1.1",
            b"GET /<id>", b"GET /<id> HTTP/3.0", b"GET /<id> HTTP/11",
            b"GET /<id> http/1.1", b"GET /<id> HTTP/1.1.1", b"GET /<id> HTTP/01.1",
            b"GET /<id> HTTP/1.10", b"GET /<id> HTTP/+1.1", b"GET /<id> HTTP /1.1",
            b"G(T /<id> HTTP/1.1", b"GET\x00 /<id> HTTP/1.1", b"/<id> HTTP/1.1",
            b"CONNECT h:80 HTTP/1.1", b"CONNECT /<id> HTTP/1.1",
        )
    ],
    Case("a CRLF before the request", b"\r\n" + get(), "either"),
    Case("an LF before the request", b"\n" + get(), "either"),
    Case("only LF", get().replace(b"\r\n", b"\n"), "either"),
    Case("only CR", get().replace(b"\r\n", b"\r"), "refuse"),
    Case("two requests", get() + get(), "accept", 2),
    Case("three posts", 3 * post(LENGTH), "accept", 3),
    Case("post, chunked, get", post(LENGTH) + chunks(HELLO) + get(), "accept", 3),
]  # fmt: skip
FIELDS = [
    field(b"X: a\r\n b", "either"),
    field(b"X: a\r\n\tb", "either"),
    field(b" X: first", "either"),
    field(b"X: \xe4\xf6", "either"),
    field(b"X: a\x01b", "either"),
    field(b"X:", "accept"),
    field(b"X_Y: z", "either"),
    field(
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        b"Connection: upgrade, http2-settings",
        "either",
    ),
    field(b"Upgrade: websocket", "either"),
    field(b"Expect: the-unexpected", "either"),
    field(b"Connection: close, x-a\r\nX-A: 1", "accept"),
    *[
        field(text)
        for text in (
            b"X Y: z", b": z", b"X\x00: z", b"X\xe4: z", b"X(: z", b"X\r: z", b"no-colon",
            b"X : z", b"X\t: z", b"X: a\x00b", b"X: a\rb", b"\x00: z", b"X\x0b: z", b"[X]: z",
        )
    ],
]  # fmt: skip
HOSTS = [
    host(b"X: y\r\n"),
    host(b"Host: h\r\nHost: h\r\n"),
    host(b"Host: h\r\nHost: evil\r\n"),
    host(b"Host: a b\r\n"),
    host(b"Host: h\r\nhost : evil\r\n"),
    host(b"Host: h/evil\r\n"),
    host(b"Host: h@evil\r\n"),
    host(b"Host: h, evil\r\n", "either"),
    host(b"Host: h:99999\r\n", "either"),
    host(b"Host: h:x\r\n", "either"),
    host(b"Host:\r\n", "either"),
    host(b" Host: h\r\n"),
]
FRAMED = frozenset(case.name for case in (*FRAMING, *LENGTHS, *CHUNKS))
"""Where the end of a message is in doubt: what is refused there must end the connection."""
CASES: list[Case] = [*FRAMING, *LENGTHS, *CHUNKS, *LINES, *FIELDS, *HOSTS]
