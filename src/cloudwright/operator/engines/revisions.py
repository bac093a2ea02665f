"""ReplicaSets of a Deployment as its history: which is new, which revision, what may be forgotten.

Source: kubernetes ``pkg/controller/deployment/util/deployment_util.go`` and ``sync.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudwright.model.objects import (
    Object,
    annotations_of,
    deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from cloudwright.model.pods import created_at
from cloudwright.operator.engines.rolling import Fence, Size
from cloudwright.operator.engines.templates import (
    HASH_LABEL,
    copy,
    same_template,
    template_hash,
)

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
APPLIED = "cloudwright.dev/applied"
"""Digest of what a MicroService last wished for a child; meaningless on grandchildren."""
APPLIED_TEMPLATE = "cloudwright.dev/applied-template"
"""Digest of the pod template in it."""
_NOT_INHERITED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
    APPLIED,
    APPLIED_TEMPLATE,
}
_HISTORY_BYTES = 2000


def replicas_of(obj: Mapping[str, Any]) -> int:
    """``spec.replicas``; absent means 1."""
    value = obj.get("spec", {}).get("replicas")
    return 1 if value is None else int(value)


def status_count(obj: Mapping[str, Any], field: str) -> int:
    """A counter of the status; absent means 0."""
    return int(obj.get("status", {}).get(field) or 0)


def revision_of(obj: Mapping[str, Any]) -> int:
    """The revision annotation; absent or broken means 0."""
    text = annotations_of(obj).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def size_of(replica_set: Mapping[str, Any]) -> Size:
    """A ReplicaSet in numbers. Pods beyond the wished size are on their way out: not counted."""
    wished = replicas_of(replica_set)
    maximum = annotations_of(replica_set).get(MAXIMUM, "")
    return Size(
        name=name_of(replica_set),
        replicas=wished,
        available=min(wished, status_count(replica_set, "availableReplicas")),
        created=created_at(replica_set),
        max_replicas=int(maximum) if maximum.isdigit() else None,
    )


def oldest_first(replica_sets: Sequence[Object]) -> list[Object]:
    """By creation time, then by name."""
    return sorted(replica_sets, key=lambda rs: (created_at(rs), name_of(rs)))


def split(deployment: Object, replica_sets: Sequence[Object]) -> tuple[Object | None, list[Object]]:
    """The ReplicaSet that has its template (the oldest, if several), and the others."""
    template = deployment["spec"]["template"]
    ordered = oldest_first(replica_sets)
    new = next((rs for rs in ordered if same_template(rs["spec"]["template"], template)), None)
    return new, [rs for rs in ordered if rs is not new]


def inherited_annotations(deployment: Object) -> dict[str, str]:
    """The Deployment's annotations that its ReplicaSets carry as well."""
    return {k: v for k, v in annotations_of(deployment).items() if k not in _NOT_INHERITED}


def new_replica_set(deployment: Object, replicas: int, revision: int, bounds: Fence) -> Object:
    """The ReplicaSet for the Deployment's present template."""
    spec = deployment["spec"]
    suffix = template_hash(spec["template"], status_count(deployment, "collisionCount"))
    template = copy(spec["template"])
    labels = {**(template.get("metadata", {}).get("labels") or {}), HASH_LABEL: suffix}
    template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
    selector = copy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: suffix}
    body: Object = {"replicas": replicas, "selector": selector, "template": template}
    if spec.get("minReadySeconds"):
        body["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{suffix}",
            "namespace": namespace_of(deployment),
            "labels": labels,
            "annotations": {
                **inherited_annotations(deployment),
                REVISION: str(revision),
                **size_annotations(bounds),
            },
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": body,
    }


def size_annotations(bounds: Fence) -> dict[str, str]:
    """What a ReplicaSet remembers of the Deployment's size, to share out a later change."""
    return {DESIRED: str(bounds.replicas), MAXIMUM: str(bounds.ceiling)}


def annotated(deployment: Object, replica_set: Object, revision: int) -> Object:
    """The new ReplicaSet with the annotations it should have (the same object when it has them)."""
    before = annotations_of(replica_set)
    after = {**before, **inherited_annotations(deployment)}
    old = revision_of(replica_set)
    if old < revision:
        after[REVISION] = str(revision)
        if old:
            history = [part for part in before.get(HISTORY, "").split(",") if part]
            history.append(str(old))
            while len(",".join(history)) > _HISTORY_BYTES:
                history.pop(0)
            after[HISTORY] = ",".join(history)
    min_ready = deployment["spec"].get("minReadySeconds") or 0
    same_wait = (replica_set["spec"].get("minReadySeconds") or 0) == min_ready
    if after == before and same_wait:
        return replica_set
    changed = copy(replica_set)
    changed["metadata"]["annotations"] = after
    changed["spec"]["minReadySeconds"] = min_ready
    return changed


def forgettable(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Old ReplicaSets beyond ``revisionHistoryLimit`` that are empty and settled."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    keep = 10 if limit is None else int(limit)
    candidates = sorted(
        (rs for rs in old if not deleting(rs)), key=lambda rs: (revision_of(rs), created_at(rs))
    )
    surplus = candidates[: max(len(candidates) - keep, 0)]
    return [
        rs
        for rs in surplus
        if replicas_of(rs) == 0
        and status_count(rs, "replicas") == 0
        and rs["metadata"].get("generation", 0) <= status_count(rs, "observedGeneration")
    ]


def selector_labels(deployment: Object) -> dict[str, str]:
    """``spec.selector.matchLabels``, never ``None``."""
    return dict(deployment["spec"].get("selector", {}).get("matchLabels") or {})


def template_labels(obj: Object) -> dict[str, str]:
    """The labels that pods of ``obj`` get."""
    return labels_of(obj["spec"].get("template") or {})
