"""StorageClass and VolumeAttributesClass: which driver makes volumes, and how."""

from __future__ import annotations

import json

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, one_of, unchanged, wrong
from cloudwright.model.objects import Object

_POLICIES, _BINDING = ("Delete", "Retain"), ("Immediate", "WaitForFirstConsumer")
_MAX, _SIZE = 512, 256 * 1024


def _defaults(storage: Object) -> None:
    storage.setdefault("reclaimPolicy", "Delete")
    storage.setdefault("volumeBindingMode", "Immediate")


def _driver_errors(name: str, path: str) -> list[FieldError]:
    if not name:
        return [fields.required(path)]
    return wrong(path, name, names.qualified_name_problems(name.lower()))


def _parameter_errors(parameters: Object, *, empty: bool) -> list[FieldError]:
    if not parameters and not empty:
        return [fields.required("parameters", "must contain at least one key/value pair")]
    found: list[FieldError] = []
    if len(parameters) > _MAX:
        found.append(fields.too_many("parameters", len(parameters), _MAX))
    if "" in parameters:
        found.append(fields.invalid("parameters", "", "field must not be empty."))
    size = sum(len(key) + len(str(value)) for key, value in parameters.items())
    if size > _SIZE:
        found.append(fields.too_long("parameters", _SIZE))
    return found


def _check(storage: Object, old: Object | None) -> list[FieldError]:
    found: list[FieldError] = []
    if old is not None:
        for name in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
            found += unchanged(storage, old, "", name)
        return found
    found += _driver_errors(str(storage.get("provisioner") or ""), "provisioner")
    found += _parameter_errors(mapping(storage, "parameters"), empty=True)
    found += one_of(storage, "", "reclaimPolicy", _POLICIES)
    found += one_of(storage, "", "volumeBindingMode", _BINDING)
    return found + _topologies(members(storage, "allowedTopologies"))


def _topologies(terms: list[Object]) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    for index, term in enumerate(terms):
        path = f"allowedTopologies[{index}]"
        for at, one in enumerate(members(term, "matchLabelExpressions")):
            where = f"{path}.matchLabelExpressions[{at}]"
            key = str(one.get("key") or "")
            if not members(one, "values"):
                found.append(fields.required(f"{where}.values"))
            found += wrong(f"{where}.key", key, names.qualified_name_problems(key))
        text = json.dumps(term, sort_keys=True)
        if text in seen:
            found.append(fields.duplicate(f"{path}.matchLabelExpressions", ""))
        seen.add(text)
    return found


def _check_attributes(attributes: Object, old: Object | None) -> list[FieldError]:
    found: list[FieldError] = []
    for name in ("driverName", "parameters"):
        if old is not None and attributes.get(name) != old.get(name):
            found.append(fields.forbidden(name, f"updates to {name} are forbidden."))
    found += _driver_errors(str(attributes.get("driverName") or ""), "driverName")
    return found + _parameter_errors(mapping(attributes, "parameters"), empty=False)


SPEC = KindSpec(resources.STORAGE_CLASS, _defaults, _check)
ATTRIBUTES = KindSpec(resources.VOLUME_ATTRIBUTES_CLASS, check=_check_attributes)
