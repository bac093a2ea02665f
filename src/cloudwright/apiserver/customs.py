"""The rules that every kind of a CustomResourceDefinition has. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cloudwright.apiserver import customscale
from cloudwright.apiserver.registry import ScalePaths
from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError, Verdict
from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import Resource

if TYPE_CHECKING:
    from cloudwright.apiserver.structures import Structure


class CustomKind:
    """A custom resource: its schema, and its status that comes only through the subresource."""

    def __init__(
        self,
        resource: Resource,
        structure: Structure | None = None,
        scale: ScalePaths | None = None,
    ) -> None:
        self._has_status = "status" in resource.subresources
        self._structure = structure
        self._scale = scale

    def prepare_create(self, obj: Object, now: datetime) -> Object:
        """Without a status, when that is a subresource."""
        if self._has_status:
            obj.pop("status", None)
        return obj

    def prepare_update(self, new: Object, old: Object) -> Object:
        """As it is."""
        return new

    def validate(self, obj: Object, old: Object | None) -> list[FieldError]:
        """A ``Verdict``: its name, what its schema says, its rules."""
        verdict = Verdict() if self._structure is None else self._structure.validate(obj, old)
        if self._scale is not None:
            verdict += customscale.errors(obj, self._scale)
        if old is None:
            name = name_of(obj)
            problems = names.dns_subdomain_problems(name)
            verdict[:0] = [fields.invalid("metadata.name", name, text) for text in problems]
        return verdict
