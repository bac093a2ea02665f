"""Built-in objects as Go's own types read and write them: canonical JSON, and protobuf.

The types are data (``schema/types.json.gz``, written by ``scripts/generate_protobuf.py``), the work
is done by the Rust crate ``wire``; the table is loaded on first use.
"""

from __future__ import annotations

import gzip
from functools import lru_cache

from cloudwright.model import bundle
from cloudwright.model.native import WireError, WireTypes
from cloudwright.model.resources import Resource

_OURS = frozenset({"platform.example.com", "cloudwright.dev"})


class GoError(ValueError):
    """Bytes that are no such object. ``kind`` is ``malformed deep unknown json type``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _raised(error: WireError) -> GoError:
    kind, message = error.args
    return GoError(str(kind), str(message))


@lru_cache(maxsize=1)
def _types() -> WireTypes:
    return WireTypes(gzip.decompress(bundle.read("types.json.gz")).decode())


@lru_cache(maxsize=256)
def type_name(resource: Resource) -> str | None:
    """The Go type of a built-in kind (``apps/v1.Deployment``); ``None``: it has none."""
    if resource.group in _OURS:
        return None
    group = resource.group.partition(".")[0] or "core"
    name = f"{group}/{resource.version}.{resource.kind}"
    return name if _types().knows(name) else None


def has_type(resource: Resource) -> bool:
    """Whether a kind has a Go type here, and so protobuf."""
    return type_name(resource) is not None


def canonical(name: str, json: bytes) -> tuple[bytes, list[str]]:
    """A JSON object as the Go type ``name`` gives it back, and its unknown fields' paths.

    Nulls, unknown fields and zero values that Go leaves out are gone, zero values that Go always
    writes are there, quantities and times have their canonical spelling.

    Raises:
        GoError: the value does not fit the type; the message is Go's.
    """
    try:
        return _types().canonical(name, json)
    except WireError as error:
        raise _raised(error) from None


def plain(name: str, json: bytes) -> bytes | None:
    """The same for a body that nothing is to be said about; ``None``: it has unknown or repeated
    fields, values of a wrong type, or is no JSON object.
    """
    return _types().plain(name, json)


def decode(body: bytes) -> bytes:
    """A protobuf body (``k8s\\0`` …) as JSON.

    Raises:
        GoError: see there.
    """
    try:
        return _types().decode(body)
    except WireError as error:
        raise _raised(error) from None


def encode(json: bytes) -> bytes:
    """An object or a list in JSON as a protobuf body.

    Raises:
        GoError: its kind has no protobuf, or a value does not fit.
    """
    try:
        return _types().encode(json)
    except WireError as error:
        raise _raised(error) from None


def encode_event(json: bytes) -> bytes:
    """A watch event in JSON as a frame of ``application/vnd.kubernetes.protobuf;stream=watch``.

    Raises:
        GoError: the object's kind has no protobuf, or a value does not fit.
    """
    try:
        return _types().encode_event(json)
    except WireError as error:
        raise _raised(error) from None
