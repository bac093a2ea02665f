"""Server-side apply of children: which fields are ours, and whose are in the way. Pure.

Source: ``k8s.io/client-go/util/csaupgrade``: what was written by an update before becomes what was
applied, so that a field that is not wished any more goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cloudwright.model.objects import Object, name_of
from cloudwright.operator.engines.templates import copy

MANAGER = "cloudwright-operator"
_BEFORE = frozenset({MANAGER, "cloudwright"})
"""Who we were when we wrote by create and update."""
CONDITION = "FieldsApplied"
"""Condition of an owner: false while somebody else owns fields that we wish to set."""


def taken_over(obj: Mapping[str, Any]) -> list[Object] | None:
    """The ``managedFields`` with our updates as our apply; ``None``: nothing is to be done.

    An apply of ours that is there already keeps its fields: our updates are then given up.
    """
    entries = obj["metadata"].get("managedFields") or ()
    ours = [one for one in entries if _updated(one)]
    if not ours:
        return None
    applied = any(
        one.get("operation") == "Apply" and one.get("manager") == MANAGER for one in entries
    )
    kept = [copy(one) for one in entries if one not in ours]
    if not applied:
        kept.append({**copy(ours[-1]), "manager": MANAGER, "operation": "Apply"})
    return kept


def _updated(entry: Mapping[str, Any]) -> bool:
    return (
        entry.get("operation") == "Update"
        and entry.get("manager") in _BEFORE
        and not entry.get("subresource")
    )


def conflict(kind: str, obj: Mapping[str, Any], causes: Iterable[Mapping[str, str]]) -> str:
    """What to tell people when others own fields: ``Deployment pay: .spec.replicas (kubectl)``."""
    fields = []
    for cause in causes:
        message = cause.get("message", "")
        owner = message.partition('conflict with "')[2].partition('"')[0]
        fields.append(f"{cause.get('field')} ({owner})" if owner else str(cause.get("field")))
    return f"{kind} {name_of(obj)}: {', '.join(sorted(fields))}"
