"""Reads ``application/vnd.kubernetes.protobuf`` bodies as the JSON objects that they stand for.

Current clients send some built-in kinds in no other form.
"""

from __future__ import annotations

import json
from typing import cast

from cloudwright.model import golang
from cloudwright.model.golang import GoError
from cloudwright.model.objects import Object

_MAGIC = b"k8s\0"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"


class ProtobufError(ValueError):
    """The bytes are no such message, or of a kind that is not known here."""


def decode_json(body: bytes) -> bytes:
    """The object in a body, as JSON.

    Raises:
        ProtobufError: see there.
    """
    try:
        return golang.decode(body)
    except GoError as error:
        raise ProtobufError(str(error)) from error


def problem(body: bytes) -> str:
    """Why a body cannot be read, in upstream's words where it is no message at all."""
    if not body.startswith(_MAGIC):
        return (
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    if len(body) == len(_MAGIC):
        return "empty body"
    try:
        golang.decode(body)
    except GoError as error:
        return "unexpected EOF" if error.kind == "malformed" else str(error)
    return ""


def decode(body: bytes) -> Object:
    """The object in a body.

    Raises:
        ProtobufError: see there.
    """
    return cast("Object", json.loads(decode_json(body)))
