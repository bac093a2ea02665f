"""The next step of a StatefulSet: pods with stable names, one after the other.

Source: kubernetes ``pkg/controller/statefulset/stateful_set_control.go`` and ``…_utils.go``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cloudwright.model import pods as podstate
from cloudwright.model.objects import (
    Object,
    deleting,
    generation,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from cloudwright.operator.engines.history import HASH, hash_of, template_of
from cloudwright.operator.engines.ownership import pod_from
from cloudwright.operator.engines.rolling import resolve
from cloudwright.operator.engines.templates import copy

NAME = "statefulset.kubernetes.io/pod-name"
INDEX = "apps.kubernetes.io/pod-index"


@dataclass(slots=True)
class Step:
    """Pods to make (ordinals), pods to delete, whether something is still under way."""

    create: list[int] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def replicas_of(owner: Object) -> int:
    """``spec.replicas``; absent means 1."""
    value = owner["spec"].get("replicas")
    return 1 if value is None else int(value)


def ordinals(owner: Object) -> range:
    """The ordinals that should exist."""
    start = int((owner["spec"].get("ordinals") or {}).get("start") or 0)
    return range(start, start + replicas_of(owner))


def ordinal_of(owner: Object, pod: Object) -> int:
    """The ordinal in a pod's name; -1 for one that is not named after the owner."""
    prefix, _, text = name_of(pod).rpartition("-")
    return int(text) if prefix == name_of(owner) and text.isdigit() else -1


def new_pod(owner: Object, ordinal: int, revision: Object) -> Object:
    """The pod of an ordinal, made of a revision."""
    name = f"{name_of(owner)}-{ordinal}"
    pod = pod_from(
        template_of(revision),
        owner,
        name=name,
        labels={NAME: name, INDEX: str(ordinal), HASH: hash_of(revision)},
    )
    spec = pod["spec"]
    spec["hostname"] = name
    spec["subdomain"] = owner["spec"].get("serviceName") or ""
    if not spec["subdomain"]:
        del spec["subdomain"]
    claims = {
        template["metadata"]["name"]: {
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(owner, template, ordinal)},
        }
        for template in owner["spec"].get("volumeClaimTemplates") or ()
    }
    if claims:
        others = [one for one in spec.get("volumes") or () if one.get("name") not in claims]
        spec["volumes"] = [*claims.values(), *others]
    return pod


def claim_name(owner: Object, template: Object, ordinal: int) -> str:
    """The name of an ordinal's claim."""
    return f"{template['metadata']['name']}-{name_of(owner)}-{ordinal}"


def claims(owner: Object, ordinal: int, pod: Object | None = None) -> list[Object]:
    """The claims of an ordinal, owned as the retention policy says."""
    found = []
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        metadata = copy(template["metadata"])
        selector = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
        metadata["labels"] = {**(metadata.get("labels") or {}), **selector}
        metadata["name"] = claim_name(owner, template, ordinal)
        metadata["namespace"] = namespace_of(owner)
        claim: Object = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": copy(template["spec"]),
        }
        references = claim_owners(owner, ordinal, pod)
        if references:
            claim["metadata"]["ownerReferences"] = references
        found.append(claim)
    return found


def claim_owners(owner: Object, ordinal: int, pod: Object | None) -> list[Object]:
    """Who must go before the claims of an ordinal go (``persistentVolumeClaimRetentionPolicy``)."""
    policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    found = []
    if policy.get("whenDeleted") == "Delete":
        found.append(owner_reference(owner, controller=False))
    if policy.get("whenScaled") == "Delete" and ordinal not in ordinals(owner) and pod is not None:
        found.append(owner_reference(pod, controller=False))
    return found


def step(owner: Object, owned: Sequence[Object], update_hash: str, now: datetime) -> Step:
    """What to do next. ``OrderedReady`` does one thing at a time and waits for health."""
    found = Step()
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    parallel = owner["spec"].get("podManagementPolicy") == "Parallel"
    by_ordinal = {ordinal_of(owner, pod): pod for pod in owned}
    wanted = ordinals(owner)
    for ordinal in wanted:
        pod = by_ordinal.get(ordinal)
        if pod is not None and podstate.is_terminal(pod) and not deleting(pod):
            found.delete.append(pod)  # made anew once it is gone
        elif pod is None:
            found.create.append(ordinal)
        elif deleting(pod) or not podstate.available(pod, wait, now):
            if not parallel:
                return found  # in its way; those after it wait
            continue
        else:
            continue
        if not parallel:
            return found
    surplus = [by_ordinal[one] for one in sorted(by_ordinal, reverse=True) if one not in wanted]
    if surplus and not _shrink(found, surplus, parallel):
        return found
    if found.create or found.delete:
        return found
    _roll(found, owner, by_ordinal, update_hash, now)
    return found


def _shrink(found: Step, surplus: Sequence[Object], parallel: bool) -> bool:
    """Delete pods beyond the wished number, highest first; False: wait for them."""
    if parallel:
        found.delete += [pod for pod in surplus if not deleting(pod)]
        return True
    if not deleting(surplus[0]):
        found.delete.append(surplus[0])
    return False


def _roll(
    found: Step, owner: Object, by_ordinal: dict[int, Object], update_hash: str, now: datetime
) -> None:
    strategy = owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return
    rolling = strategy.get("rollingUpdate") or {}
    partition = int(rolling.get("partition") or 0)
    share = rolling.get("maxUnavailable", 1)
    most = max(resolve(share, replicas_of(owner), up=True, default="0%"), 1)
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    wanted = ordinals(owner)
    lowest = wanted.start + partition
    down = sum(
        deleting(by_ordinal[one]) or not podstate.available(by_ordinal[one], wait, now)
        for one in wanted
        if one in by_ordinal
    )
    for ordinal in reversed(wanted):
        pod = by_ordinal.get(ordinal)
        if pod is None or ordinal < lowest:
            continue
        if labels_of(pod).get(HASH) != update_hash and not deleting(pod):
            fine = podstate.available(pod, wait, now)
            if fine and down >= most:
                return
            found.delete.append(pod)
            down += fine
        elif not podstate.available(pod, wait, now) and down >= most:
            return


def revision_for(owner: Object, ordinal: int, current: Object, update: Object) -> Object:
    """What a missing pod is made of: the update, except below the partition."""
    strategy = owner["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return update
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    return update if ordinal >= ordinals(owner).start + partition else current


def status_of(
    owner: Object, owned: Sequence[Object], current: Object, update: Object, now: datetime
) -> Object:
    """``StatefulSetStatus``; the update becomes the current revision once all pods are of it."""
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    alive = [pod for pod in owned if not podstate.is_terminal(pod)]
    there = [pod for pod in alive if not deleting(pod)]
    of = {
        hash_of(one): sum(labels_of(pod).get(HASH) == hash_of(one) for pod in there)
        for one in (current, update)
    }
    ready = sum(podstate.is_ready(pod) for pod in alive)
    old = owner.get("status") or {}
    status: Object = {
        "replicas": len(alive),
        "currentRevision": name_of(current),
        "updateRevision": name_of(update),
        "observedGeneration": generation(owner),
        "collisionCount": int(old.get("collisionCount") or 0),
        "availableReplicas": sum(podstate.available(pod, wait, now) for pod in alive),
    }
    counts = {
        "readyReplicas": ready,
        "currentReplicas": of[hash_of(current)],
        "updatedReplicas": of[hash_of(update)],
    }
    wished = replicas_of(owner)
    if of[hash_of(update)] == wished and ready == wished and len(alive) == wished:
        status["currentRevision"] = name_of(update)
        counts["currentReplicas"] = of[hash_of(update)]
    status.update({name: value for name, value in counts.items() if value})
    if old.get("conditions"):
        status["conditions"] = old["conditions"]
    return status


def available_in(owner: Object, owned: Sequence[Object], now: datetime) -> float | None:
    """Seconds until the next ready pod becomes available."""
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    times = [podstate.available_in(pod, wait, now) for pod in owned if podstate.is_active(pod)]
    return min((max(time, 0.0) for time in times if time is not None), default=None)
