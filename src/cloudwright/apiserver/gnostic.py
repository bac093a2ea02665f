"""A Swagger 2.0 document as the protobuf message ``openapi.v2.Document`` of gnostic.

Field numbers are those of ``OpenAPIv2.proto`` in github.com/google/gnostic-models. Only what our
documents have is encoded; anything else is an error, so that nothing is lost silently. ``Any``
values travel as YAML text (JSON is YAML).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

Encoder = Callable[[Any], bytes]


def encode(document: dict[str, Any]) -> bytes:
    """The message's bytes.

    Raises:
        ValueError: the document has a field that is not known here.
    """
    return _message(_DOCUMENT, document)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _text(number: int) -> Encoder:
    return lambda value: _field(number, str(value).encode())


def _texts(number: int) -> Encoder:
    return lambda values: b"".join(_field(number, str(value).encode()) for value in values)


def _flag(number: int) -> Encoder:
    return lambda value: _varint(number << 3) + (b"\1" if value else b"\0")


def _whole(number: int) -> Encoder:
    return lambda value: _varint(number << 3) + _varint(int(value) & (1 << 64) - 1)


def _double(number: int) -> Encoder:
    return lambda value: _varint(number << 3 | 1) + struct.pack("<d", float(value))


def _any(value: Any) -> bytes:
    """``Any{yaml}``."""
    return _field(2, (json.dumps(value, ensure_ascii=False) + "\n").encode())


def _any_field(number: int) -> Encoder:
    return lambda value: _field(number, _any(value))


def _anys(number: int) -> Encoder:
    return lambda values: b"".join(_field(number, _any(value)) for value in values)


def _sub(number: int, inner: Encoder) -> Encoder:
    return lambda value: _field(number, inner(value))


def _each(number: int, inner: Encoder) -> Encoder:
    return lambda values: b"".join(_field(number, inner(value)) for value in values)


def _named(number: int, inner: Encoder) -> Encoder:
    """A map as ``repeated Named…{name = 1, value = 2}``."""
    return lambda values: b"".join(
        _field(number, _field(1, name.encode()) + _field(2, inner(value)))
        for name, value in values.items()
    )


Table = dict[str, Encoder]


def _message(table: Table, value: dict[str, Any]) -> bytes:
    out = []
    for name, inner in value.items():
        encoder = table.get(name)
        if encoder is not None:
            out.append(encoder(inner))
        elif name.startswith("x-"):
            extension = _field(1, name.encode()) + _field(2, _any(inner))
            out.append(_field(_EXTENSIONS[id(table)], extension))
        else:
            raise ValueError(f"the field {name!r} cannot be told in OpenAPI v2 protobuf")
    return b"".join(out)


def _schema(value: dict[str, Any]) -> bytes:
    return _message(_SCHEMA, value)


def _additional(value: Any) -> bytes:
    if isinstance(value, bool):
        return _flag(2)(value)
    return _field(1, _schema(value))


_SCHEMA: Table = {
    "$ref": _text(1),
    "format": _text(2),
    "title": _text(3),
    "description": _text(4),
    "default": _any_field(5),
    "multipleOf": _double(6),
    "maximum": _double(7),
    "exclusiveMaximum": _flag(8),
    "minimum": _double(9),
    "exclusiveMinimum": _flag(10),
    "maxLength": _whole(11),
    "minLength": _whole(12),
    "pattern": _text(13),
    "maxItems": _whole(14),
    "minItems": _whole(15),
    "uniqueItems": _flag(16),
    "maxProperties": _whole(17),
    "minProperties": _whole(18),
    "required": _texts(19),
    "enum": _anys(20),
    "additionalProperties": _sub(21, _additional),
    "type": _sub(22, _text(1)),
    "items": _sub(23, _sub(1, _schema)),
    "properties": _sub(25, _named(1, _schema)),
    "example": _any_field(30),
    "externalDocs": lambda value: _field(
        29, b"".join(_field(n, value[k].encode()) for n, k in ((1, "description"), (2, "url"))
                     if k in value)
    ),
}  # fmt: skip
_QUERY: Table = {
    "required": _flag(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
    "type": _text(6),
    "uniqueItems": _flag(20),
}
_PATH_PARAMETER: Table = {
    "required": _flag(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
    "type": _text(5),
    "uniqueItems": _flag(19),
}
_BODY: Table = {
    "description": _text(1),
    "name": _text(2),
    "in": _text(3),
    "required": _flag(4),
    "schema": _sub(5, _schema),
}


def _parameter(value: dict[str, Any]) -> bytes:
    """``ParametersItem{parameter{body | non_body}}``."""
    where = value["in"]
    if where == "body":
        return _field(1, _field(1, _message(_BODY, value)))
    if where == "query":
        inner = _field(3, _message(_QUERY, value))
    else:
        inner = _field(4, _message(_PATH_PARAMETER, value))
    return _field(1, _field(2, inner))


def _response(value: dict[str, Any]) -> bytes:
    """``ResponseValue{response}``."""
    body = _field(1, value.get("description", "").encode())
    if "schema" in value:
        body += _field(2, _field(1, _schema(value["schema"])))
    return _field(1, body)


_OPERATION: Table = {
    "tags": _texts(1),
    "summary": _text(2),
    "description": _text(3),
    "operationId": _text(5),
    "produces": _texts(6),
    "consumes": _texts(7),
    "parameters": _each(8, _parameter),
    "responses": _sub(9, _named(1, _response)),
    "schemes": _texts(10),
}


def _operation(value: dict[str, Any]) -> bytes:
    return _message(_OPERATION, value)


_PATH_ITEM: Table = {
    "get": _sub(2, _operation),
    "put": _sub(3, _operation),
    "post": _sub(4, _operation),
    "delete": _sub(5, _operation),
    "patch": _sub(8, _operation),
    "parameters": _each(9, _parameter),
}
_INFO: Table = {"title": _text(1), "version": _text(2), "description": _text(3)}
_DOCUMENT: Table = {
    "swagger": _text(1),
    "info": _sub(2, lambda value: _message(_INFO, value)),
    "paths": _sub(8, _named(2, lambda value: _message(_PATH_ITEM, value))),
    "definitions": _sub(9, _named(1, _schema)),
}
_EXTENSIONS = {
    id(_SCHEMA): 31,
    id(_OPERATION): 13,
    id(_PATH_ITEM): 10,
    id(_DOCUMENT): 16,
    id(_INFO): 7,
}
