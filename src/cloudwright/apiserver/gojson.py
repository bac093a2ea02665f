"""What Go's ``encoding/json`` says about a body that is no JSON, or not of the form it wants. Pure.

Only asked once a body was refused: the messages reach people through every Kubernetes client.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

DEPTH_MAX = 10_000
"""Go's own bound on nesting."""
END = "unexpected end of JSON input"
_HEAD = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
    'Kind string "json:\\"kind,omitempty\\"" }'
)
_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEX = b"0123456789abcdefABCDEF"
_WORDS = {0x74: b"true", 0x66: b"false", 0x6E: b"null"}
_NAMED = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 92: "\\\\"}


class _WrongError(Exception):
    """The first thing that is wrong."""


def syntax_error(body: bytes) -> str:
    """What Go's scanner says of the first wrong byte; empty when the text is JSON."""
    try:
        _scan(body)
    except _WrongError as found:
        return str(found)
    return ""


def _scan(body: bytes) -> None:
    """Walk through one value, without recursion."""
    inside: list[bool] = []  # whether each level is an object
    at = _skip(body, 0)
    first = True  # nothing stands in the innermost object or list yet
    while True:
        if inside and first and body[at : at + 1] == (b"}" if inside[-1] else b"]"):
            at, closed = at + 1, True
            inside.pop()
        else:
            if inside and inside[-1]:
                at = _key(body, at)
            at, opened = _value(body, at)
            closed = not opened
            if opened:
                inside.append(body[at - 1] == 0x7B)
                if len(inside) > DEPTH_MAX:
                    raise _wrong(body, at - 1, "exceeded max depth")
                at, first = _skip(body, at), True
                continue
        while closed:
            at = _skip(body, at)
            if not inside:
                if at < len(body):
                    raise _wrong(body, at, "after top-level value")
                return
            if body[at : at + 1] == b",":
                at, first, closed = _skip(body, at + 1), False, False
            elif body[at : at + 1] == (b"}" if inside[-1] else b"]"):
                at += 1
                inside.pop()
            else:
                where = "after object key:value pair" if inside[-1] else "after array element"
                raise _wrong(body, at, where)


def _key(body: bytes, at: int) -> int:
    """Past a key and its colon."""
    if body[at : at + 1] != b'"':
        raise _wrong(body, at, "looking for beginning of object key string")
    at = _skip(body, _string(body, at + 1))
    if body[at : at + 1] != b":":
        raise _wrong(body, at, "after object key")
    return _skip(body, at + 1)


def _value(body: bytes, at: int) -> tuple[int, bool]:
    """Past a simple value, or the bracket that opens another (True)."""
    first = body[at] if at < len(body) else -1
    if first in (0x7B, 0x5B):
        return at + 1, True
    if first == 0x22:
        return _string(body, at + 1), False
    word = _WORDS.get(first)
    if word is not None:
        for place, letter in enumerate(word):
            if body[at + place : at + place + 1] != bytes([letter]):
                expected = f"in literal {word.decode()} (expecting {_quoted(letter)})"
                raise _wrong(body, at + place, expected)
        return at + len(word), False
    if first == 0x2D or 0x30 <= first <= 0x39:
        return _number(body, at), False
    raise _wrong(body, at, "looking for beginning of value")


def _string(body: bytes, at: int) -> int:
    """Past the end of a string whose first quote is behind."""
    while True:
        found = _PLAIN.match(body, at)
        at = found.end() if found else at
        letter = body[at : at + 1]
        if letter == b'"':
            return at + 1
        if letter != b"\\":
            raise _wrong(body, at, "in string literal")
        escape = body[at + 1 : at + 2]
        if escape == b"u":
            for place in range(at + 2, at + 6):
                if place >= len(body) or body[place] not in _HEX:
                    raise _wrong(body, place, "in \\u hexadecimal character escape")
            at += 6
        elif escape and escape in b'bfnrt\\/"':
            at += 2
        else:
            raise _wrong(body, at + 1, "in string escape code")


def _number(body: bytes, at: int) -> int:
    found = _NUMBER.match(body, at)
    if found is None:
        raise _wrong(body, at + 1, "in numeric literal")
    end = found.end()
    text, rest = found[0], body[end : end + 1]
    simple = b"e" not in text and b"E" not in text
    if rest == b"." and simple and b"." not in text:
        raise _wrong(body, end + 1, "after decimal point in numeric literal")
    if rest and rest in b"eE" and simple:
        signed = body[end + 1 : end + 2] in (b"+", b"-")
        raise _wrong(body, end + 1 + signed, "in exponent of numeric literal")
    return end


def _skip(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    return found.end() if found else at


def _wrong(body: bytes, at: int, where: str) -> _WrongError:
    if at >= len(body):
        return _WrongError(END)
    return _WrongError(f"invalid character {_quoted(body[at])} {where}")


def _quoted(byte: int) -> str:
    """A byte as Go quotes the character of that number."""
    if byte == 0x27:
        return "'\\''"
    letter = chr(byte)
    if byte in _NAMED:
        letter = _NAMED[byte]
    elif not letter.isprintable():
        letter = f"\\x{byte:02x}" if byte < 0x80 else f"\\u{byte:04x}"
    return f"'{letter}'"


def mismatch(value: Any, into: str) -> str:
    """What Go says of a whole value that is of another JSON type than ``into``."""
    names = {dict: "object", list: "array", str: "string", bool: "bool", type(None): "null"}
    what = names.get(type(value), "number")
    return f"json: cannot unmarshal {what} into Go value of type {into}"


def head_error(value: Any) -> str:
    """Why Go finds no version and kind in a value; empty when it can."""
    if value is None:
        return ""
    if not isinstance(value, dict):
        return mismatch(value, _HEAD)
    for name, given in value.items():
        if name in ("apiVersion", "kind") and not isinstance(given, str | None):
            what = mismatch(given, "").removesuffix("Go value of type ")
            return f"{what}Go struct field .{name} of type string"
    return ""


def summary(body: bytes) -> str:
    """The beginning of a body, as upstream's messages show it."""
    more = " ..." if len(body) > 30 else ""
    if not body:
        return "<empty>"
    if body[:1] == b"{":
        return body[:30].decode(errors="replace") + more
    return body[:30].hex() + more


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeDecodeError | UnicodeEncodeError), "only these are handled"
    text = "\ufffd" * (error.end - error.start)
    return (text if isinstance(error, UnicodeDecodeError) else text.encode()), error.end


codecs.register_error("gojson", _replaced)


def mended(body: bytes) -> bytes:
    """JSON in which every byte that is no UTF-8, and every lone surrogate, is U+FFFD, as Go reads
    them.

    Raises:
        RecursionError: it is nested too deeply to be looked at.
    """
    value = json.loads(body.decode("utf-8", "gojson"))
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "gojson")
