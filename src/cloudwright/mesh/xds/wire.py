"""Protobuf's wire format, as much as is needed to put encoded resources into responses.

A resource is encoded once; a response is made by joining byte strings, whatever the number of
streams. Field numbers are those of ``envoy.service.discovery.v3`` (discovery.proto).
"""

from __future__ import annotations

_VERSION, _RESOURCES, _TYPE_URL, _NONCE, _REMOVED = 1, 2, 4, 5, 6
_RESOURCE_VERSION, _RESOURCE_ANY, _RESOURCE_NAME = 1, 2, 3


def varint(value: int) -> bytes:
    """A base-128 number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def head(number: int, size: int) -> bytes:
    """What stands before the bytes of a length-delimited field."""
    return varint(number << 3 | 2) + varint(size)


def text(number: int, value: str) -> bytes:
    """A string field; nothing when it is empty (proto3)."""
    data = value.encode()
    return head(number, len(data)) + data if data else b""


def sotw_head(size: int) -> bytes:
    """Before a resource (an encoded ``Any`` of ``size`` bytes) in a ``DiscoveryResponse``."""
    return head(_RESOURCES, size)


def delta_head(name: str, version: str, size: int) -> bytes:
    """Before a resource in a ``DeltaDiscoveryResponse``: the ``Resource`` around it."""
    inner = text(_RESOURCE_NAME, name) + text(_RESOURCE_VERSION, version)
    inner += head(_RESOURCE_ANY, size)
    return head(_RESOURCES, len(inner) + size) + inner


def tail(url: str, version: str, nonce: str) -> bytes:
    """The fields of a response beside its resources; the same numbers in both variants."""
    return text(_VERSION, version) + text(_TYPE_URL, url) + text(_NONCE, nonce)


def removed(names: list[str]) -> bytes:
    """The ``removed_resources`` of a ``DeltaDiscoveryResponse``."""
    return b"".join(text(_REMOVED, name) for name in names)
