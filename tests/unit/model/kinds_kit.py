"""Short words for the tests of the kinds' rules."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from cloudwright.model import schemas
from cloudwright.model.kinds import BUILT_IN
from cloudwright.model.resources import Resource

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def created(resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
    """A copy with defaults, as the API server would store it."""
    made = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        **copy.deepcopy(obj),
    }
    made["metadata"] = {"name": "x", "namespace": "default", **(made.get("metadata") or {})}
    spec = BUILT_IN[resource.group, resource.plural]
    spec.prepare_create(made, NOW)
    if spec.late:
        spec.begin(made)
    return made


def errors(resource: Resource, obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    """What is wrong with a new object, or with an update of ``old``."""
    spec = BUILT_IN[resource.group, resource.plural]
    if old is None:
        return [str(error) for error in spec.validate(created(resource, obj), None)]
    new = copy.deepcopy(obj)
    spec.prepare_update(new, old)
    return [str(error) for error in spec.validate(new, old)]


def schema_errors(resource: Resource, obj: dict[str, Any]) -> list[str]:
    """What the schema has against an object."""
    schema = schemas.schema_for(resource)
    assert schema is not None
    return [str(error) for error in schemas.validate(schema, obj)]


def pod(**container: Any) -> dict[str, Any]:
    """A pod of one container."""
    return {"spec": {"containers": [{"name": "app", "image": "app:1", **container}]}}
