"""The seam where rules outside the kinds themselves may change or refuse a write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from cloudwright.apiserver.identity import User
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(slots=True)
class Review:
    """One write under review. ``obj`` is ``None`` for a deletion, ``old`` for a creation."""

    user: User
    operation: Operation
    resource: Resource
    subresource: str
    namespace: str
    name: str
    obj: Object | None
    old: Object | None
    dry_run: bool
    warnings: list[str] = field(default_factory=list)
    """Shown to the client as ``Warning`` headers."""
    annotations: dict[str, str] = field(default_factory=dict)
    """What rules noted for the audit log."""
    changed: bool = False
    """A webhook or policy changed the object: its defaults must be filled in again."""
    query: Sequence[tuple[str, str]] = ()
    """The request's query parameters: the options of a write are there."""
    untouched: bool = False
    """No rule was asked to change the object."""
    managed: bytes | None = None
    """The object's ``managedFields`` as JSON; they are not in ``obj``."""


class Admission(Protocol):
    """One rule. To refuse with a status of its own it raises ``ApiError`` (see ``errors``)."""

    async def mutate(self, review: Review) -> None:
        """May change ``review.obj`` in place. Called first, in order."""

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """What is wrong. Called after every ``mutate``, and after the kind's own validation."""
