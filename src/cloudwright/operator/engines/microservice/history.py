"""What a MicroService was: each spec that was rolled out, as a ControllerRevision.

Size (``replicas``, ``autoscaling``) and the way of rolling out are not part of it: going back to
a version does not undo a scaling. With it ``rollout undo`` and an automatic rollback bring the
configuration back as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudwright.model.objects import Object, name_of, namespace_of, owner_reference, uid_of
from cloudwright.model.resources import CONTROLLER_REVISION
from cloudwright.operator.engines.actions import Create, Delete, Draft, Update
from cloudwright.operator.engines.microservice.children import labels
from cloudwright.operator.engines.microservice.world import Ledger, World
from cloudwright.operator.engines.templates import copy, digest

NOT_HISTORY = ("replicas", "autoscaling", "rollout")
KEPT = 10


def content(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a spec that a revision keeps."""
    return {key: value for key, value in spec.items() if key not in NOT_HISTORY}


def revision_name(service: Object) -> str:
    """The name of the revision of the present spec."""
    return f"{name_of(service)[:240]}-{digest(content(service['spec']))}"


def number(revision: Mapping[str, Any]) -> int:
    """Its number; higher is later."""
    return int(revision.get("revision") or 0)


def record(world: World, draft: Draft, keep: Sequence[str]) -> None:
    """Write the present spec down unless it is the newest revision; forget the oldest ones, but
    none of ``keep``.
    """
    if "ControllerRevision" not in world.served:
        return
    name = revision_name(world.service)
    newest = max((number(r) for r in world.revisions), default=0)
    known = next((r for r in world.revisions if name_of(r) == name), None)
    if known is None:
        draft.actions.append(Create(CONTROLLER_REVISION, _made(world.service, name, newest + 1)))
    elif number(known) < newest:
        draft.actions.append(Update(CONTROLLER_REVISION, {**copy(known), "revision": newest + 1}))
    rest = [r for r in world.revisions if name_of(r) not in (name, *keep)]
    for old in sorted(rest, key=number)[: max(len(world.revisions) + (known is None) - KEPT, 0)]:
        where = namespace_of(old), name_of(old)
        draft.actions.append(Delete(CONTROLLER_REVISION, *where, uid_of(old)))


def _made(service: Object, name: str, revision: int) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": namespace_of(service),
            "labels": labels(service),
            "ownerReferences": [owner_reference(service)],
        },
        "revision": revision,
        "data": {"spec": copy(content(service["spec"]))},
    }


def last_good_spec(ledger: Ledger) -> Mapping[str, Any] | None:
    """The spec that last worked; ``None`` when no revision keeps it."""
    wanted = ledger.record("lastGood").get("revision")
    for revision in ledger.world.revisions:
        if wanted and name_of(revision) == wanted:
            found = (revision.get("data") or {}).get("spec")
            return found if isinstance(found, dict) else None
    return None
