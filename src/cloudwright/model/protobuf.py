"""Reads ``application/vnd.kubernetes.protobuf`` bodies as the JSON objects that they stand for.

Current clients send some built-in kinds in no other form.
"""

from __future__ import annotations

import json
from typing import cast

from cloudwright.model import golang
from cloudwright.model.golang import GoError
from cloudwright.model.objects import Object

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


def decode(body: bytes) -> Object:
    """The object in a body.

    Raises:
        ProtobufError: see there.
    """
    return cast("Object", json.loads(decode_json(body)))
