"""What an engine asks its controller to do. Plain data, so that plans can be compared and shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object. One that exists already and has the same controller is fine."""

    resource: Resource
    obj: Object


@dataclass(frozen=True, slots=True)
class Update:
    """Replace an object; its ``resourceVersion`` guards against a stale view."""

    resource: Resource
    obj: Object


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply: make these fields so and own them; others' fields are left alone."""

    resource: Resource
    obj: Object
    before: Object
    """The object as it was seen."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge-patch an object's metadata or spec."""

    resource: Resource
    namespace: str
    name: str
    body: Object


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object if it still has this uid; a missing one is fine."""

    resource: Resource
    namespace: str
    name: str
    uid: str = ""
    propagation: str | None = None
    """``Background``, ``Foreground`` or ``Orphan``; ``None`` is the server's default."""
    grace_seconds: int | None = None
    """How long a pod may take to end; 0 removes it by force; ``None`` is the object's own wish."""


Action = Create | Update | Apply | Patch | Delete


@dataclass(frozen=True, slots=True)
class Note:
    """An event for people: ``type`` is ``Normal`` or ``Warning``, ``reason`` is CamelCase."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One step towards the wish: actions in order, the status to write, when to look again."""

    actions: tuple[Action, ...] = ()
    status: Object | None = None
    notes: tuple[Note, ...] = ()
    requeue_after: float | None = None


@dataclass(slots=True)
class Draft:
    """A plan being written down."""

    actions: list[Action] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    requeue_after: float | None = None

    def note(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Add an event."""
        self.notes.append(Note("Warning" if warning else "Normal", reason, message))

    def again(self, seconds: float) -> None:
        """Look again after ``seconds`` at the latest."""
        earliest = seconds if self.requeue_after is None else min(seconds, self.requeue_after)
        self.requeue_after = earliest

    def plan(self, status: Object | None = None) -> Plan:
        """The finished plan."""
        return Plan(tuple(self.actions), status, tuple(self.notes), self.requeue_after)
