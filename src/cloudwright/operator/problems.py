"""What is wrong with a MicroService, by field path: its schema, and what a schema cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cloudwright.model import fields, names, schemas
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.resources import MICRO_SERVICE


def problems(service: Object) -> list[str]:
    """``path: what`` for everything that keeps a MicroService from being rolled out."""
    schema = schemas.schema_for(MICRO_SERVICE)
    found = schemas.validate(schema, {**service, "status": {}}) if schema else []
    if not found:
        found = list(_sense(service))
    return [str(error) for error in found]


def _sense(service: Object) -> Iterator[FieldError]:
    """Rules beyond the schema; the object is known to fit the schema."""
    name, spec = name_of(service), service["spec"]
    for problem in names.dns_1035_label_problems(name):
        yield fields.invalid("metadata.name", name, f"its Service needs this name: {problem}")
    yield from _hooks(spec)
    yield from _ports(spec)
    for index, entry in enumerate(spec.get("dependencies") or []):
        space = entry.get("namespace") or namespace_of(service)
        if (space, entry["name"]) == (namespace_of(service), name):
            path = f"spec.dependencies[{index}].name"
            yield fields.invalid(path, name, "a MicroService cannot wait for itself")
    rollout = spec.get("rollout") or {}
    if _nothing(rollout.get("maxSurge", 1)) and _nothing(rollout.get("maxUnavailable", 0)):
        message = "may not be 0 when maxSurge is 0: no pod could ever be replaced"
        yield fields.invalid("spec.rollout.maxUnavailable", 0, message)


def _hooks(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    policy = spec.get("lifecyclePolicy") or {}
    for name in ("preStopHook", "postRolloutHook"):
        hook = str(policy.get(name) or "")
        path = f"spec.lifecyclePolicy.{name}"
        scheme, separator, rest = hook.partition("://")
        if separator and (scheme not in ("webhook", "http", "https") or not rest):
            yield fields.invalid(path, hook, "must be webhook://NAME[/PATH] or an http(s) URL")
        elif hook and not separator and name == "postRolloutHook":
            message = "must be a URL such as webhook://NAME: it is called once, outside of any pod"
            yield fields.invalid(path, hook, message)


def _ports(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    numbers: set[int] = set()
    for index, port in enumerate(spec.get("ports") or []):
        if int(port["port"]) in numbers:
            yield fields.duplicate(f"spec.ports[{index}].port", port["port"])
        numbers.add(int(port["port"]))


def _nothing(value: Any) -> bool:
    return value in (0, "0", "0%")
