"""ConfigMap: text and bytes by file name. The API server limits their size."""

from __future__ import annotations

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import IMMUTABLE, KindSpec, mapping, wrong
from cloudwright.model.objects import Object


def data_errors(obj: Object, old: Object | None, *kinds: str) -> list[FieldError]:
    """Keys and immutability of a ConfigMap's or Secret's data."""
    found: list[FieldError] = []
    seen: set[str] = set()
    for kind in kinds:
        for key in mapping(obj, kind):
            found += wrong(f"{kind}[{key}]", key, names.config_key_problems(key))
            if key in seen:
                message = f"duplicate of key present in {kinds[0]}"
                found.append(fields.invalid(f"{kind}[{key}]", key, message))
            seen.add(key)
    if old is not None and old.get("immutable"):
        if not obj.get("immutable"):
            message = "field is immutable when `immutable` is set"
            found.append(fields.forbidden("immutable", message))
        for kind in kinds:
            if mapping(obj, kind) != mapping(old, kind):
                message = f"{IMMUTABLE} when `immutable` is set"
                found.append(fields.forbidden(kind, message))
    return found


def _check(config_map: Object, old: Object | None) -> list[FieldError]:
    return data_errors(config_map, old, "data", "binaryData")


SPEC = KindSpec(resources.CONFIG_MAP, check=_check)
