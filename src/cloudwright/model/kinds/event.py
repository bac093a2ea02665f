"""Event: what happened to an object, in both of its API groups."""

from __future__ import annotations

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping
from cloudwright.model.objects import Object, namespace_of


def _check(event: Object, old: Object | None) -> list[FieldError]:
    about = mapping(event, "involvedObject")
    space, own = str(about.get("namespace") or ""), namespace_of(event)
    if old is None and space and space != own:
        message = "does not match event.namespace"
        return [fields.invalid("involvedObject.namespace", space, message)]
    return []


SPEC = KindSpec(resources.EVENT, check=_check)
SPEC_V1 = KindSpec(resources.EVENT_V1)
