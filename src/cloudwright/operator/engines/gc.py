"""Which objects go because their owners went: the graph of owner references.

Source: kubernetes ``pkg/controller/garbagecollector`` and "Garbage Collection" in its concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cloudwright.model.objects import Object, deleting, finalizers_of

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Owner(StrEnum):
    """What is known of one owner of an object."""

    PRESENT = "present"
    WAITING = "waiting"
    """It is being deleted in the foreground and waits for its dependents."""
    GONE = "gone"
    UNKNOWN = "unknown"
    """Its kind is not served or could not be read: never a reason to delete."""


class Verdict(StrEnum):
    """What to do with an object."""

    KEEP = "keep"
    DELETE_BACKGROUND = "delete-background"
    DELETE_FOREGROUND = "delete-foreground"
    DROP_REFERENCES = "drop-references"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and for ``DROP_REFERENCES`` the owner references that remain."""

    verdict: Verdict
    remaining: tuple[Object, ...] = ()


def judge(
    obj: Object, owner_state: Callable[[Object], Owner], *, has_dependents: bool
) -> Judgement:
    """What an object's owners mean for it.

    It goes when no owner is left, or when all that are left wait for it with
    ``blockOwnerDeletion``; it loses dead references when a living owner remains.
    """
    references = [dict(r) for r in obj["metadata"].get("ownerReferences") or []]
    if not references or deleting(obj):
        return Judgement(Verdict.KEEP)
    states = [(reference, owner_state(reference)) for reference in references]
    if any(state is Owner.UNKNOWN for _, state in states):
        return Judgement(Verdict.KEEP)
    solid = [reference for reference, state in states if state is Owner.PRESENT]
    waiting = [reference for reference, state in states if state is Owner.WAITING]
    gone = [reference for reference, state in states if state is Owner.GONE]
    if solid:
        if gone or waiting:
            return Judgement(Verdict.DROP_REFERENCES, tuple(solid))
        return Judgement(Verdict.KEEP)
    if waiting:
        # A dependent with dependents of its own goes in the foreground too, so that
        # the whole tree is gone before its root is.
        if has_dependents:
            return Judgement(Verdict.DELETE_FOREGROUND)
        return Judgement(Verdict.DELETE_BACKGROUND)
    return Judgement(Verdict.DELETE_BACKGROUND)


def releases(owner: Object, dependents: Sequence[Object]) -> bool:
    """Whether an owner in foreground deletion may go: nobody left who blocks it."""
    if not deleting(owner) or FOREGROUND not in finalizers_of(owner):
        return False
    uid = owner["metadata"].get("uid")
    return not any(
        reference.get("uid") == uid and reference.get("blockOwnerDeletion")
        for dependent in dependents
        for reference in dependent["metadata"].get("ownerReferences") or []
    )


def orphans(owner: Object) -> bool:
    """Whether an owner waits for its dependents to be set free."""
    return deleting(owner) and ORPHAN in finalizers_of(owner)


def without_owner(obj: Object, uid: str) -> list[Any]:
    """The owner references of ``obj`` that do not name ``uid``."""
    references = obj["metadata"].get("ownerReferences") or []
    return [reference for reference in references if reference.get("uid") != uid]


def without_finalizer(obj: Object, finalizer: str) -> list[str]:
    """The finalizers of ``obj`` but one."""
    return [entry for entry in finalizers_of(obj) if entry != finalizer]
