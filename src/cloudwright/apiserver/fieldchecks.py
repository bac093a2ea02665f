"""Fields against the schema: unknown ones (``fieldValidation``), wrong types, defaults of CRDs."""

from __future__ import annotations

from typing import Any

from cloudwright.apiserver import bodies, metadata
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import bad_request, invalid
from cloudwright.model import fields, schemas
from cloudwright.model.objects import Object, name_of

_MODES = ("", "Ignore", "Warn", "Strict")


def check(call: Call, obj: Object) -> Object:
    """``obj`` without unknown fields and (built-in kinds) nulls, with its schema's defaults.

    Raises:
        ApiError: 400, ``fieldValidation=Strict`` and a field is unknown or stands twice; 422, a
            field breaks the schema.
    """
    mode = call.query.get("fieldValidation")
    if mode not in _MODES:
        raise bad_request(f'fieldValidation: "{mode}" is not one of Ignore, Warn, Strict')
    schema = call.served.schema
    complaints = _duplicates(call, mode)
    unknown = [fields.unknown(path) for path in metadata.unknown(obj)]
    for error in unknown:
        del obj["metadata"][error.path.removeprefix("metadata.")]
    if schema is not None:
        if not call.served.custom and b"null" in call.request.body:
            obj = without_nulls(obj)
        found = schemas.unknown_fields(schema, obj)
        if found:
            obj = schemas.prune(schema, obj)
        known = {error.path for error in unknown}
        unknown += [error for error in found if error.path not in known]
    complaints += [f'unknown field "{error.path}"' for error in unknown]
    if complaints and mode == "Strict":
        message = "strict decoding error: " + ", ".join(complaints)
        raise bad_request(message, causes=[error.as_cause() for error in unknown])
    if mode != "Ignore":
        call.warnings += complaints
    if schema is not None:
        if call.served.custom:
            obj = schemas.apply_defaults(schema, obj)
        errors = schemas.validate(schema, obj, unknown=False)
        if errors:
            causes = [error.as_cause() for error in errors]
            raise invalid(call.group, call.served.resource.kind, name_of(obj), causes)
    return obj


def without_nulls(value: Any) -> Any:
    """A copy without null members: in built-in kinds null means "not set"."""
    if isinstance(value, dict):
        return {k: without_nulls(inner) for k, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def _duplicates(call: Call, mode: str) -> list[str]:
    # Needs a second, slower parse: only for clients that ask for validation by name.
    if mode not in ("Strict", "Warn") or call.request.method not in ("POST", "PUT"):
        return []
    kind = bodies.media_type(call.request.headers)
    return [f'duplicate field "{name}"' for name in bodies.duplicates(call.request.body, kind)]
