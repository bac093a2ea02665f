"""Whether the schema of a CustomResourceDefinition is structural, in upstream's words. Pure.

The rules of ``apiextensions-apiserver`` on an ``openAPIV3Schema``: each value has a type, nothing
is said twice in ``allOf`` and its like, defaults fit, lists and maps are declared consistently, and
every rule of ``x-kubernetes-validations`` compiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from cloudwright.apiserver import crdcosts, structures
from cloudwright.model import fields
from cloudwright.model.fields import FieldError

Schema = Mapping[str, Any]
Level = Literal["root", "item", "field"]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_EMPTY = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_NESTED: tuple[tuple[str, str], ...] = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)
_EITHER = [{"type": "integer"}, {"type": "string"}]
_REASONS = (
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
)


def check(schema: Schema, path: str, *, unchanged: bool = False) -> list[FieldError]:
    """Everything that is wrong with a schema that stands at ``path``.

    ``unchanged``: it is stored already, and its rules may be as expensive as they are.
    """
    found: list[FieldError] = []
    if schema.get("nullable"):
        found.append(fields.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    structural = sorted(_structural(schema, "root", path), key=str)
    found += structural or list(_defaults(schema, path, root=True))
    plain = bool(found)
    found += _declared(schema, path)
    if not plain and not found:
        found += _rules(schema, path)
        found += crdcosts.check(schema, path, unchanged=unchanged)
    return found


def _inner(schema: Schema, path: str) -> Iterator[tuple[Schema, Level, str]]:
    """The schemas of properties, entries and items, and where they stand."""
    items = schema.get("items")
    if isinstance(items, Mapping):
        yield items, "item", f"{path}.items"
    for name, one in (schema.get("properties") or {}).items():
        yield one, "field", f"{path}.properties[{name}]"
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping):
        yield more, "field", f"{path}.additionalProperties"


def _structural(schema: Schema, level: Level, path: str) -> Iterator[FieldError]:
    kind, embedded = schema.get("type"), bool(schema.get("x-kubernetes-embedded-resource"))
    either = bool(schema.get("x-kubernetes-int-or-string"))
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if kind == "array" and schema.get("items") is None:
        yield fields.required(f"{path}.items", "must be specified")
    if level == "root" and schema.get("additionalProperties"):
        yield fields.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    for one, inner_level, where in _inner(schema, path):
        if not (level == "root" and where == f"{path}.properties[metadata]"):
            yield from _structural(one, inner_level, where)
    message = "must be false if x-kubernetes-int-or-string is true"
    if either and preserve:
        yield fields.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", True, message)
    if either and embedded:
        yield fields.invalid(f"{path}.x-kubernetes-embedded-resource", True, message)
    yield from _values(schema, path, either=schema.get("anyOf") == _EITHER)
    if embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        yield (
            fields.invalid(f"{path}.type", kind, text)
            if kind
            else fields.required(f"{path}.type", text)
        )
    elif not kind and not either and not preserve and not schema.get("$ref"):
        yield fields.required(f"{path}.type", _EMPTY[level])
    if level == "root" and kind and kind != "object":
        yield fields.invalid(f"{path}.type", kind, "must be object at the root")
    if level == "root" or embedded:
        yield from _meta(schema, level, path)
    if embedded and not preserve and not schema.get("properties"):
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields"
        )
        yield fields.required(f"{path}.properties", text)


def _meta(schema: Schema, level: Level, path: str) -> Iterator[FieldError]:
    properties = schema.get("properties") or {}
    for name in ("kind", "apiVersion"):
        kind = (properties.get(name) or {}).get("type")
        if name in properties and kind != "string":
            yield fields.invalid(f"{path}.properties[{name}].type", kind, "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    where = f"{path}.properties[metadata]"
    if metadata.get("type") != "object":
        yield fields.invalid(f"{where}.type", metadata.get("type", ""), "must be object")
    if level == "root":
        said = {name for name in metadata if name not in ("type", "description", "default")}
        names = set(metadata.get("properties") or {})
        if said - {"properties"} or not names <= {"name", "generateName"}:
            yield fields.forbidden(
                where,
                "must not specify anything other than name and generateName, but metadata is "
                "implicitly specified",
            )


def _values(schema: Schema, path: str, *, either: bool = False) -> Iterator[FieldError]:
    """Schemas inside of ``allOf`` and its like only limit values."""
    for name in ("anyOf", "allOf", "oneOf"):
        for at, one in enumerate(schema.get(name) or ()):
            where = f"{path}.{name}[{at}]"
            if name == "anyOf" and either:
                continue
            yield from _nested(one, where, either=name == "allOf" and one.get("anyOf") == _EITHER)
    if schema.get("not"):
        yield from _nested(schema["not"], f"{path}.not")
    pattern = schema.get("pattern")
    if pattern:
        problem = structures.pattern_problem(pattern)
        if problem:
            text = f"must be a valid regular expression, but isn't: {problem}"
            yield fields.invalid(f"{path}.pattern", pattern, text)


def _nested(schema: Schema, path: str, *, either: bool = False) -> Iterator[FieldError]:
    yield from _values(schema, path, either=either)
    for one, _level, where in _inner(schema, path):
        if not where.endswith(".additionalProperties"):
            yield from _nested(one, where)
    for name, message in _NESTED:
        if schema.get(name) not in (None, "", False, [], {}):
            yield fields.forbidden(f"{path}.{name}", message)
    if "metadata" in (schema.get("properties") or {}):
        where = f"{path}.properties[metadata]"
        yield fields.forbidden(where, "must not be specified in a nested context")


def _defaults(schema: Schema, path: str, *, root: bool = False) -> Iterator[FieldError]:
    """Each default fits its own schema and has no unknown fields."""
    if "default" in schema and schema["default"] is not None and not root:
        yield from _default(schema, f"{path}.default")
    for one, _level, where in _inner(schema, path):
        yield from _defaults(one, where)


def _default(schema: Schema, path: str) -> Iterator[FieldError]:
    value = schema["default"]
    holder = structures.of({"type": "object", "properties": {"default": dict(schema)}})
    prepared, unknown = holder.prepare({"default": value})
    if unknown:
        yield fields.invalid(path, value, "must not have unknown fields")
        return
    for error in holder.validate(prepared, None):
        where = path + error.path.removeprefix("default") if error.path != "<nil>" else path
        yield FieldError(where, error.reason, error.message.removeprefix("default"), error.value)


def _declared(schema: Schema, path: str) -> Iterator[FieldError]:
    """What each node says of itself, whatever stands around it."""
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield fields.forbidden(f"{path}.uniqueItems", text)
    if isinstance(schema.get("additionalProperties"), Mapping) and schema.get("properties"):
        text = "additionalProperties and properties are mutual exclusive"
        yield fields.forbidden(f"{path}.additionalProperties", text)
    for name in _UNSUPPORTED:
        if schema.get(name) not in (None, "", {}, []):
            yield fields.forbidden(f"{path}.{name}", f"{name} is not supported")
    kind = schema.get("type")
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        yield fields.forbidden(f"{path}.type", text)
    elif kind and kind not in _TYPES:
        yield fields.not_supported(f"{path}.type", kind, _TYPES)
    if isinstance(schema.get("items"), list):
        text = "items must be a schema object and not an array"
        yield fields.forbidden(f"{path}.items", text)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        where = f"{path}.x-kubernetes-preserve-unknown-fields"
        yield fields.invalid(where, False, "must be true or undefined")
    yield from _collections(schema, path)
    yield from _rule_texts(schema, path)
    for one, _level, where in _inner(schema, path):
        yield from _declared(one, where)
    for name in ("allOf", "anyOf", "oneOf"):
        for at, one in enumerate(schema.get(name) or ()):
            yield from _declared(one, f"{path}.{name}[{at}]")


def _collections(schema: Schema, path: str) -> Iterator[FieldError]:
    kind, map_kind = schema.get("type"), schema.get("x-kubernetes-map-type")
    if map_kind is not None:
        text = "must be object if x-kubernetes-map-type is specified"
        if kind != "object":
            yield _wrong_type(path, kind, text)
        if map_kind not in ("atomic", "granular"):
            where = f"{path}.x-kubernetes-map-type"
            yield fields.not_supported(where, map_kind, ("atomic", "granular"))
    list_kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
    where = f"{path}.x-kubernetes-list-type"
    if list_kind is not None:
        if kind != "array":
            text = "must be array if x-kubernetes-list-type is specified"
            yield _wrong_type(path, kind, text)
        if list_kind not in ("atomic", "set", "map"):
            yield fields.not_supported(where, list_kind, ("atomic", "set", "map"))
    items = schema.get("items") if isinstance(schema.get("items"), Mapping) else {}
    if list_kind == "set" and items:
        yield from _set(items, path)
    if keys and list_kind != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield (
            fields.required(where, text)
            if list_kind is None
            else fields.invalid(where, list_kind, text)
        )
    if list_kind == "map":
        yield from _keyed(items or {}, keys or [], path)


def _wrong_type(path: str, kind: Any, text: str) -> FieldError:
    where = f"{path}.type"
    return fields.invalid(where, kind, text) if kind else fields.required(where, text)


def _set(items: Schema, path: str) -> Iterator[FieldError]:
    text = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("type") == "array" and items.get("x-kubernetes-list-type") not in (None, "atomic"):
        given = items.get("x-kubernetes-list-type")
        yield fields.invalid(f"{path}.items.x-kubernetes-list-type", given, text)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        given = items.get("x-kubernetes-map-type")
        yield fields.invalid(f"{path}.items.x-kubernetes-map-type", given, text)
    if items.get("nullable"):
        text = "cannot be nullable when x-kubernetes-list-type is set"
        yield fields.forbidden(f"{path}.items.nullable", text)


def _keyed(items: Schema, keys: list[str], path: str) -> Iterator[FieldError]:
    where = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        text = "must not be empty if x-kubernetes-list-type is map"
        yield fields.required(where, text)
    if not items:
        text = "must have a schema if x-kubernetes-list-type is map"
        yield fields.required(f"{path}.items", text)
        return
    if items.get("nullable"):
        text = "cannot be nullable when x-kubernetes-list-type is map"
        yield fields.forbidden(f"{path}.items.nullable", text)
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield fields.invalid(f"{path}.items.type", items.get("type", ""), text)
    properties = items.get("properties") or {}
    if not set(keys) <= set(properties):
        yield fields.invalid(where, keys, "entries must all be names of item properties")
    if len(set(keys)) < len(keys):
        yield fields.invalid(where, keys, "must not contain duplicate entries")
    for key in keys:
        one = properties.get(key)
        if one is None:
            continue
        at = f"{path}.items.properties[{key}]"
        if one.get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield fields.invalid(f"{at}.type", items.get("type"), text)
        said = "this property is in x-kubernetes-list-map-keys, so it"
        if key not in (items.get("required") or ()) and one.get("default") is None:
            text = f"{said} must have a default or be a required property"
            yield fields.required(f"{at}.default", text)
        if one.get("nullable"):
            yield fields.forbidden(f"{at}.nullable", f"{said} cannot be nullable")


def _rule_texts(schema: Schema, path: str) -> Iterator[FieldError]:
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{at}]"
        text, message = str(rule.get("rule") or ""), str(rule.get("message") or "")
        if not text.strip():
            yield fields.required(f"{where}.rule", "rule is not specified")
        elif message and not message.strip():
            yield fields.invalid(f"{where}.message", message, "must be non-empty if specified")
        elif "\n" in message.strip():
            yield fields.invalid(f"{where}.message", message, "must not contain line breaks")
        elif "\n" in text.strip() and not message:
            said = "message must be specified if rule contains line breaks"
            yield fields.required(f"{where}.message", said)
        expression = str(rule.get("messageExpression") or "")
        if expression and not expression.strip():
            said = "messageExpression must be non-empty if specified"
            yield fields.required(f"{where}.messageExpression", said)
        reason = rule.get("reason")
        if reason is not None and reason not in _REASONS:
            yield fields.not_supported(f"{where}.reason", reason, _REASONS)
        field = str(rule.get("fieldPath") or "")
        if field and not field.strip():
            yield fields.invalid(f"{where}.fieldPath", field, "must be non-empty if specified")
        elif "\n" in field.strip():
            yield fields.invalid(f"{where}.fieldPath", field, "must not contain line breaks")
        elif field and not _leads(schema, field):
            yield fields.invalid(f"{where}.fieldPath", field, "must be a valid path")


def _leads(schema: Schema, text: str) -> bool:
    """Whether a ``fieldPath`` such as ``.spec['a.b']`` leads to a declared field."""
    at: Any = schema
    while text:
        if text.startswith("['"):
            name, end, text = text[2:].partition("']")
            if not end:
                return False
        elif text.startswith("."):
            rest = text[1:]
            cut = min((rest.find(c) for c in ".[" if c in rest), default=len(rest))
            name, text = rest[:cut], rest[cut:]
        else:
            return False
        properties, more = at.get("properties"), at.get("additionalProperties")
        if properties and name in properties:
            at = properties[name]
        elif not properties and isinstance(more, Mapping):
            at = more
        else:
            return False
    return True


def _rules(schema: Schema, path: str) -> Iterator[FieldError]:
    """Each rule compiles, and compares with old values only where there are some."""
    for error in structures.of(schema).rule_errors(path):
        yield FieldError(error.path, error.reason, error.message, error.value)
    yield from _transitions(schema, path, "")


def _transitions(schema: Schema, path: str, loose: str) -> Iterator[FieldError]:
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{at}]"
        compares = "oldSelf" in str(rule.get("rule") or "")
        if compares and loose:
            text = (
                f"oldSelf cannot be used on the uncorrelatable portion of the schema within {loose}"
            )
            yield fields.invalid(f"{where}.rule", rule.get("rule"), text)
        elif not compares and rule.get("optionalOldSelf") is not None:
            text = "may not be set if oldSelf is not used in rule"
            yield fields.invalid(f"{where}.optionalOldSelf", rule["optionalOldSelf"], text)
    for one, level, where in _inner(schema, path):
        keyed = schema.get("x-kubernetes-list-type") == "map"
        yield from _transitions(
            one, where, loose or (path if level == "item" and not keyed else "")
        )
