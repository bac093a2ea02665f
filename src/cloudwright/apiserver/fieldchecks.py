"""Fields against the schema: unknown ones (``fieldValidation``), wrong types, defaults of CRDs."""

from __future__ import annotations

from typing import Any

from cloudwright.apiserver import bodies, gotypes, metadata, options, refusals
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import bad_request, invalid
from cloudwright.apiserver.options import WriteOptions
from cloudwright.model import fields, schemas
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, name_of


def check(call: Call, obj: Object, wanted: WriteOptions | None = None) -> Object:
    """``obj`` without unknown fields and (built-in kinds) nulls, with its schema's defaults.

    Raises:
        ApiError: 400, ``fieldValidation=Strict`` and a field is unknown or stands twice; 422, a
            field breaks the schema.
    """
    wanted = wanted or options.read(call)
    mode = wanted.validation
    schema = call.served.schema
    complaints = list(wanted.doubled)
    if complaints and not call.served.custom and call.request.body.startswith(b"{"):
        obj = bodies.merged(call.request.body)
    given, typed = obj, gotypes.read(call, obj)
    unknown = [] if typed is not None else _unknown_metadata(call, obj)
    if typed is not None:
        obj, paths = typed
        unknown += [fields.unknown(path) for path in paths]
    elif call.served.structure is not None:
        obj, paths = call.served.structure.prepare(obj)
        unknown += [fields.unknown(path) for path in paths]
    elif schema is not None:
        if b"null" in call.request.body:
            obj = without_nulls(obj)
        found = schemas.unknown_fields(schema, obj)
        if found:
            obj = schemas.prune(schema, obj)
        known = {error.path for error in unknown}
        unknown += [error for error in found if error.path not in known]
    complaints += [f'unknown field "{error.path}"' for error in unknown]
    if len(complaints) > 1 and mode != "Ignore" and typed is not None:
        complaints = _ordered(call, given, complaints)
    if complaints and mode == "Strict":
        lines = [f"\n  {one}" for one in complaints if one.startswith("line ")]
        if lines:
            complaints = [one for one in complaints if not one.startswith("line ")]
            complaints.insert(0, f"yaml: unmarshal errors:{''.join(lines)}")
        kind, version = call.served.resource.kind, call.served.resource.version
        strict = f"strict decoding error: {', '.join(complaints)}"
        if call.verb == "patch":
            raise refusals.patch_refused(call, given, strict)
        decoding = f'{kind} in version "{version}" cannot be handled as a {kind}: '
        raise bad_request(decoding + strict)
    if mode != "Ignore":
        call.warnings += complaints
    if schema is not None and typed is None and not call.served.custom:
        errors = schemas.validate(schema, obj, unknown=False)
        if errors:
            causes = [error.as_cause() for error in errors]
            raise invalid(call.group, call.served.resource.kind, name_of(obj), causes)
    return obj


def _ordered(call: Call, given: Object, complaints: list[str]) -> list[str]:
    """Complaints in the order in which upstream's decoder comes upon them: that of a JSON body, or
    of the names where the object was made of something else.
    """
    body = call.request.body
    direct = call.verb != "patch" and body.lstrip().startswith(b"{")
    places = bodies.places(body if direct else given)
    order = {
        f'{what} field "{path}"': at
        for at, path in enumerate(places)
        for what in ("duplicate", "unknown")
    }
    return sorted(complaints, key=lambda one: order.get(one, -1))


def _unknown_metadata(call: Call, obj: Object) -> list[FieldError]:
    """Drop the fields that ``ObjectMeta`` does not have.

    Raises:
        ApiError: 422, one that it has is of the wrong type.
    """
    refusals.raise_invalid(call, call.name, metadata.shape_errors(obj))
    found = obj.setdefault("metadata", {})
    unknown = [fields.unknown(path) for path in metadata.unknown(obj)]
    for error in unknown:
        del found[error.path.removeprefix("metadata.")]
    return unknown


def settled(call: Call, obj: Object, old: Object | None) -> Object:
    """``obj`` as a webhook or policy left it: pruned, of the right types, with its defaults.

    Raises:
        ApiError: 422, it made a field break the schema.
    """
    typed = gotypes.read(call, obj)
    if typed is not None:
        obj = typed[0]
    elif call.served.structure is not None:
        obj = call.served.structure.prepare(obj)[0]
    elif call.served.schema is not None:
        obj = schemas.prune(call.served.schema, obj)
        errors = schemas.validate(call.served.schema, obj, unknown=False)
        if errors:
            causes = [error.as_cause() for error in errors]
            raise invalid(call.group, call.served.resource.kind, name_of(obj), causes)
    return call.served.kind.prepare_update(obj, obj if old is None else old)


def without_nulls(value: Any) -> Any:
    """A copy without null members: in built-in kinds null means "not set"."""
    if isinstance(value, dict):
        return {k: without_nulls(inner) for k, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value
