"""The headers of one message: decoded only when somebody looks, changed by recorded operations.

The proxy sends headers as one text, ``\\nname:value\\nname:value\\n`` with names in lower case
(neither a name nor a value can hold a line feed), so that one header is found by a search in C and
a filter that only adds a header decodes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping

SET, ADD, REMOVE = 1, 2, 3
"""Operations on headers; the numbers of ``host.wire`` and of the crate's ``protocol.rs``."""
Operation = tuple[int, bytes, bytes]

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_BAD = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_ENCODING, _ERRORS = "utf-8", "surrogateescape"
FRAMING = frozenset(
    b"connection content-length host keep-alive proxy-connection te trailer transfer-encoding"
    b" upgrade".split()
)
"""What the proxy alone decides (RFC 9110 §7.6.1): a filter may read these and not change them."""
_known: dict[str, bytes] = {}
_KNOWN_AT_MOST = 1024


def encode_name(name: str) -> bytes:
    """The name of a header that a filter may change, in lower case.

    Raises:
        ValueError: not a token (RFC 9110 §5.1), or the proxy's own.
    """
    known = _known.get(name)
    if known is not None:
        return known
    text = name.lower().encode(_ENCODING, _ERRORS)
    if not _NAME.fullmatch(text):
        raise ValueError(f"{name!r} is not the name of a header")
    if text in FRAMING:
        raise ValueError(f"{name}: the proxy decides this header, a filter cannot change it")
    if len(text) > 0xFFFF:
        raise ValueError("the name of a header has at most 65,535 bytes")
    if len(_known) < _KNOWN_AT_MOST:
        _known[name] = text
    return text


def encode_value(value: str) -> bytes:
    """The value of a header as bytes.

    Raises:
        TypeError: not a text.
        ValueError: it holds a control character (a line feed would end the header).
    """
    if not isinstance(value, str):
        raise TypeError(f"the value of a header is a str, not {type(value).__name__}")
    text = value.encode(_ENCODING, _ERRORS)
    if _BAD.search(text):
        raise ValueError(f"a header's value cannot hold a control character: {value[:80]!r}")
    return text


class Headers(MutableMapping[str, str]):
    """Headers by name, whatever its case; a name may occur more than once.

    ``headers["x"]`` is the first value, ``all("x")`` every one; ``headers["x"] = "1"`` replaces
    them, ``add("x", "2")`` keeps them. Iterating gives each name once, ``pairs()`` every line.
    """

    __slots__ = ("_operations", "_pairs", "_text")

    def __init__(self, text: bytes, operations: list[Operation]) -> None:
        """``operations`` is the message's record of changes, shared with it."""
        self._text = text
        self._operations = operations
        self._pairs: list[tuple[bytes, bytes]] | None = None

    def __getitem__(self, name: str) -> str:
        value = self._find(name.lower().encode(_ENCODING, _ERRORS))
        if value is None:
            raise KeyError(name)
        return value.decode(_ENCODING, _ERRORS)

    def __setitem__(self, name: str, value: str) -> None:
        self._record(SET, encode_name(name), encode_value(value))

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._record(REMOVE, encode_name(name), b"")

    def __contains__(self, name: object) -> bool:
        return (
            isinstance(name, str)
            and self._find(name.lower().encode(_ENCODING, _ERRORS)) is not None
        )

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.pairs()))

    def __len__(self) -> int:
        return len({name for name, _ in self._decoded()})

    def __repr__(self) -> str:
        return f"Headers({self.pairs()!r})"

    def add(self, name: str, value: str) -> None:
        """One more line of this name.

        Raises:
            ValueError: as ``headers[name] = value`` does.
        """
        self._record(ADD, encode_name(name), encode_value(value))

    def all(self, name: str) -> list[str]:
        """Every value of a name, in order; none: an empty list."""
        wanted = name.lower().encode(_ENCODING, _ERRORS)
        return [
            value.decode(_ENCODING, _ERRORS) for known, value in self._decoded() if known == wanted
        ]

    def pairs(self) -> list[tuple[str, str]]:
        """Every line as (name in lower case, value), in order."""
        return [
            (name.decode(_ENCODING, _ERRORS), value.decode(_ENCODING, _ERRORS))
            for name, value in self._decoded()
        ]

    def raw(self) -> list[tuple[bytes, bytes]]:
        """Every line as bytes, for filters that are not Python."""
        return list(self._decoded())

    def forget(self) -> None:
        """The record of changes was cut: decode again when somebody looks."""
        self._pairs = None

    def _record(self, operation: int, name: bytes, value: bytes) -> None:
        self._operations.append((operation, name, value))
        if self._pairs is not None:
            _apply(self._pairs, operation, name, value)

    def _find(self, name: bytes) -> bytes | None:
        if self._pairs is None and not self._operations:
            start = self._text.find(b"\n" + name + b":")
            if start < 0:
                return None
            start += len(name) + 2
            return self._text[start : self._text.index(b"\n", start)]
        for known, value in self._decoded():
            if known == name:
                return value
        return None

    def _decoded(self) -> list[tuple[bytes, bytes]]:
        if self._pairs is None:
            pairs = [
                (name, value)
                for name, _, value in (line.partition(b":") for line in self._text.split(b"\n"))
                if name
            ]
            for operation, name, value in self._operations:
                _apply(pairs, operation, name, value)
            self._pairs = pairs
        return self._pairs


def _apply(pairs: list[tuple[bytes, bytes]], operation: int, name: bytes, value: bytes) -> None:
    if operation in (SET, REMOVE):
        pairs[:] = [pair for pair in pairs if pair[0] != name]
    if operation in (SET, ADD):
        pairs.append((name, value))
