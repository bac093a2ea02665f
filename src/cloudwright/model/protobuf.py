"""Reads ``application/vnd.kubernetes.protobuf`` bodies as the JSON objects that they stand for.

Current clients send some built-in kinds in no other form. The messages are data
(``schema/protobuf.json.gz``, written by ``scripts/generate_protobuf.py``), loaded on first use.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any, cast

from cloudwright._base.clock import rfc3339, rfc3339_micro
from cloudwright.model.objects import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
DEPTH_MAX = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GROUPS = {
    "v1": "core/v1",
    "coordination.k8s.io/v1": "coordination/v1",
    "discovery.k8s.io/v1": "discovery/v1",
    "events.k8s.io/v1": "events/v1",
    "authorization.k8s.io/v1": "authorization/v1",
    "authentication.k8s.io/v1": "authentication/v1",
    "rbac.authorization.k8s.io/v1": "rbac/v1",
}
Fields = dict[str, list[str]]


class ProtobufError(ValueError):
    """The bytes are no such message, or of a kind that is not known here."""


@lru_cache(maxsize=1)
def _messages() -> dict[str, Fields]:
    data = (files("cloudwright.model") / "schema" / "protobuf.json.gz").read_bytes()
    return cast("dict[str, Fields]", json.loads(gzip.decompress(data)))


def decode(body: bytes) -> Object:
    """The object in a body.

    Raises:
        ProtobufError: see there.
    """
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not start as Kubernetes' protobuf does")
    api_version = kind = ""
    raw = b""
    for number, value in _fields(body[len(MAGIC) :]):
        if number == 1 and isinstance(value, bytes):
            names = {n: v for n, v in _fields(value) if isinstance(v, bytes)}
            api_version, kind = _text(names.get(1, b"")), _text(names.get(2, b""))
        elif number == 2 and isinstance(value, bytes):
            raw = value
    if kind == "DeleteOptions":
        message = "meta/v1.DeleteOptions"
    else:
        message = f"{_GROUPS.get(api_version, api_version)}.{kind}"
    if message not in _messages():
        raise ProtobufError(f"{api_version} {kind} is not known in protobuf: send JSON")
    return {"apiVersion": api_version, "kind": kind, **_message(message, raw, 0)}


def _message(name: str, data: bytes, depth: int) -> Object:
    if depth > DEPTH_MAX:
        raise ProtobufError("the message is nested too deeply")
    known = _messages()[name]
    out: Object = {}
    for number, value in _fields(data):
        field = known.get(str(number))
        if field is None:
            continue  # newer than the data here, as unknown JSON fields are
        json_name, kind, flags = field
        if kind.startswith("map:"):
            key, inner = _entry(kind[4:], value, depth)
            out.setdefault(json_name, {})[key] = inner
            continue
        if "r" in flags:
            out.setdefault(json_name, []).extend(_items(kind, value, depth))
            continue
        one = _value(kind, value, depth)
        if "i" in flags:
            out.update(one)
        elif one is not None and (one or "z" in flags):
            out[json_name] = one
    return out


def _entry(kind: str, value: bytes | int, depth: int) -> tuple[str, Any]:
    pair = dict(_fields(_bytes(value)))
    empty: bytes | int = 0 if kind in ("int", "bool") else b""
    return _text(_bytes(pair.get(1, b""))), _value(kind, pair.get(2, empty), depth)


def _items(kind: str, value: bytes | int, depth: int) -> list[Any]:
    if kind in ("int", "bool") and isinstance(value, bytes):  # packed
        out, at = [], 0
        while at < len(value):
            number, at = _varint(value, at)
            out.append(_value(kind, number, depth))
        return out
    return [_value(kind, value, depth)]


def _value(kind: str, value: bytes | int, depth: int) -> Any:
    if kind in ("int", "bool"):
        if not isinstance(value, int):
            raise ProtobufError("a number is not encoded as one")
        if kind == "bool":
            return bool(value)
        return value - (1 << 64) if value >> 63 else value
    data = _bytes(value)
    if kind == "string":
        return _text(data)
    if kind == "bytes":
        return base64.b64encode(data).decode()
    if kind == "double":
        return struct.unpack("<d", data)[0] if len(data) == 8 else 0.0
    special = _SPECIAL.get(kind)
    return special(data) if special is not None else _message(kind, data, depth + 1)


def _time(data: bytes) -> str | None:
    moment = _moment(data)
    return rfc3339(moment) if moment else None


def _micro_time(data: bytes) -> str | None:
    moment = _moment(data)
    return rfc3339_micro(moment) if moment else None


def _moment(data: bytes) -> datetime | None:
    """``Timestamp{seconds, nanos}``; nothing for Go's zero time."""
    values = {number: value for number, value in _fields(data) if isinstance(value, int)}
    seconds = values.get(1, 0)
    seconds = seconds - (1 << 64) if seconds >> 63 else seconds
    if not values or seconds < -62_000_000_000:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=values.get(2, 0) // 1000)
    except OverflowError as error:
        raise ProtobufError("a time is out of range") from error


def _quantity(data: bytes) -> str:
    return next((_text(_bytes(value)) for number, value in _fields(data) if number == 1), "0")


def _int_or_string(data: bytes) -> int | str:
    values = dict(_fields(data))
    if values.get(1, 0) == 1:
        return _text(_bytes(values.get(3, b"")))
    return cast("int", _value("int", values.get(2, 0), 0))


def _raw(data: bytes) -> Any:
    text = next((_bytes(value) for number, value in _fields(data) if number == 1), b"")
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise ProtobufError("an embedded value is not JSON") from error


_SPECIAL: dict[str, Any] = {
    "time": _time,
    "microtime": _micro_time,
    "quantity": _quantity,
    "intstr": _int_or_string,
    "raw": _raw,
}


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """``(number, value)`` of each field: an int for varints, else bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ProtobufError(f"wire type {wire} is not used by Kubernetes")
        if at + length > len(data):
            raise ProtobufError("the message is cut short")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufError("a number is cut short or too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7


def _bytes(value: bytes | int) -> bytes:
    if not isinstance(value, bytes):
        raise ProtobufError("a field has another type than expected")
    return value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProtobufError("a text is not UTF-8") from error
