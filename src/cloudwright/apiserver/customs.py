"""The rules that every kind of a CustomResourceDefinition has beyond its schema. Pure."""

from __future__ import annotations

from datetime import datetime

from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import Resource


class CustomKind:
    """A custom resource: its status comes only through the status subresource."""

    def __init__(self, resource: Resource) -> None:
        self._has_status = "status" in resource.subresources

    def prepare_create(self, obj: Object, now: datetime) -> Object:
        """Without a status, when that is a subresource."""
        if self._has_status:
            obj.pop("status", None)
        return obj

    def prepare_update(self, new: Object, old: Object) -> Object:
        """As it is."""
        return new

    def validate(self, obj: Object, old: Object | None) -> list[FieldError]:
        """Its name; the schema was checked before."""
        if old is not None:
            return []
        problems = names.dns_subdomain_problems(name_of(obj))
        return [fields.invalid("metadata.name", name_of(obj), text) for text in problems]
