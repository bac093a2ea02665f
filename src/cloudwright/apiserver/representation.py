"""What form the client wants: plain objects, a Table, or metadata only (the Accept header)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

from cloudwright.apiserver import encoding
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, bad_request
from cloudwright.model.objects import Object

_OTHERS = ("application/vnd.kubernetes.protobuf", "application/yaml")
"""Encodings that the face makes of JSON (``negotiation``)."""
_PARTIAL = re.compile("as=partialobjectmetadata(list)?\\b")
Form = Literal["plain", "table", "partial"]


@lru_cache(maxsize=256)
def form_of(accept: str) -> Form:
    """The first form in the Accept header that is served; plain JSON when there is none."""
    for clause in accept.split(","):
        kind, *parameters = [part.strip().lower() for part in clause.split(";")]
        if kind not in ("application/json", "application/*", "*/*", *_OTHERS):
            continue
        options = dict(part.split("=", 1) for part in parameters if "=" in part)
        wanted = options.get("as")
        if kind == _OTHERS[0] and wanted == "table":
            continue  # has no protobuf
        if wanted is None:
            return "plain"
        if options.get("g") != "meta.k8s.io" or options.get("v") != "v1":
            continue
        if wanted == "table":
            return "table"
        if wanted in ("partialobjectmetadata", "partialobjectmetadatalist"):
            return "partial"
    return "plain"


def wanted(call: Call) -> Form:
    """The form that the call's Accept header asks for."""
    return form_of(call.request.headers.get("accept", ""))


def check_partial(call: Call, *, single: bool) -> None:
    """Refuse one object as a list of metadata, and a list as the metadata of one.

    Raises:
        ApiError: 406.
    """
    accept = call.request.headers.get("accept", "").lower()
    asked = _PARTIAL.search(accept)
    if asked is None or (asked[1] is None) == single:
        return
    resource = call.served.resource
    package = "unstructured" if call.served.custom else resource.group.partition(".")[0] or "core"
    kind = "Unstructured" if call.served.custom else resource.kind
    if single:
        wanted, what = "PartialObjectMetadataList", f"not a list (*{package}.{kind})"
    else:
        wanted, what = "PartialObjectMetadata", f"a list (*{package}.{kind}List)"
    message = f"you requested {wanted}, but the requested object is {what}"
    raise ApiError(406, "NotAcceptable", message)


def table(
    call: Call, objects: Sequence[Object], metadata: dict[str, Any], now: Any
) -> dict[str, Any]:
    """The objects as ``meta.k8s.io/v1 Table``, honouring ``includeObject``.

    Raises:
        ApiError: 400, an unknown ``includeObject``.
    """
    # Imported when first needed: the tables know every kind's columns.
    from cloudwright.apiserver import tables

    include = call.query.get("includeObject") or "Metadata"
    if include not in ("None", "Metadata", "Object"):
        raise bad_request(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    result: dict[str, Any] = tables.table(
        call.served.resource, call.served.columns, objects, metadata, now
    )
    for row, obj in zip(result["rows"], objects, strict=True):
        if include == "None":
            row["object"] = None
        else:
            row["object"] = obj if include == "Object" else encoding.partial(obj)
    return result
