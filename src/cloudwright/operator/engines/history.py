"""ControllerRevisions: what a DaemonSet's or StatefulSet's pods were made of, over time.

Source: kubernetes ``pkg/controller/history``. The stored data is upstream's: a strategic merge
patch that replaces ``spec.template`` (``kubectl rollout undo`` sends it back).
"""

from __future__ import annotations

from collections.abc import Sequence

from cloudwright.model.objects import (
    Object,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from cloudwright.operator.engines.templates import copy, digest, significant

HASH = "controller-revision-hash"


def data_of(owner: Object) -> Object:
    """The data of a revision of the owner as it is now."""
    template = {**copy(owner["spec"]["template"]), "$patch": "replace"}
    return {"spec": {"template": template}}


def hash_of(revision: Object) -> str:
    """The hash that pods of this revision carry."""
    return labels_of(revision).get(HASH, "")


def newest_last(revisions: Sequence[Object]) -> list[Object]:
    """By revision number, then by age."""
    return sorted(
        revisions,
        key=lambda one: (
            int(one.get("revision") or 0),
            str(one["metadata"].get("creationTimestamp") or ""),
            name_of(one),
        ),
    )


def present(owner: Object, revisions: Sequence[Object]) -> Object | None:
    """The newest revision whose data is what the owner wants now."""
    wanted = significant(data_of(owner))
    for one in reversed(newest_last(revisions)):
        if significant(one.get("data")) == wanted:
            return one
    return None


def new_revision(owner: Object, revisions: Sequence[Object]) -> Object:
    """A revision of the owner as it is now, numbered after all others."""
    data = data_of(owner)
    collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
    suffix = digest([significant(data), collisions])
    labels = labels_of(owner["spec"].get("template") or {})
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{name_of(owner)[:223]}-{suffix}",
            "namespace": namespace_of(owner),
            "labels": {**labels, HASH: suffix},
            "ownerReferences": [owner_reference(owner)],
        },
        "data": data,
        "revision": next_number(revisions),
    }


def next_number(revisions: Sequence[Object]) -> int:
    """One more than the largest revision."""
    return max((int(one.get("revision") or 0) for one in revisions), default=0) + 1


def template_of(revision: Object) -> Object:
    """The pod template of a revision."""
    template = copy(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


def forgettable(owner: Object, revisions: Sequence[Object], used: set[str]) -> list[Object]:
    """Revisions beyond ``revisionHistoryLimit`` whose name no pod needs, oldest first."""
    limit = owner["spec"].get("revisionHistoryLimit")
    unused = [one for one in newest_last(revisions) if name_of(one) not in used]
    return unused[: max(len(unused) - (10 if limit is None else int(limit)), 0)]
