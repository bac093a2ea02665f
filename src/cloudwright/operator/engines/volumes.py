"""Which PersistentVolume a claim gets, and what becomes of a volume whose claim is gone.

Source: kubernetes ``pkg/controller/volume/persistentvolume`` (``pv_controller.go``, ``index.go``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudwright.model.local_volumes import DATA, PROVISIONED, PROVISIONER
from cloudwright.model.objects import (
    Object,
    annotations_of,
    deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from cloudwright.model.quantities import parse
from cloudwright.model.selectors import from_label_selector
from cloudwright.operator.engines.templates import copy

BOUND = "pv.kubernetes.io/bind-completed"
BY_US = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
WANTED = "volume.kubernetes.io/storage-provisioner"


def phase(obj: Mapping[str, Any]) -> str:
    """``status.phase``."""
    return str((obj.get("status") or {}).get("phase") or "")


def class_of(obj: Mapping[str, Any]) -> str:
    """The class of a claim or volume; empty: none."""
    beta = annotations_of(obj).get("volume.beta.kubernetes.io/storage-class")
    return str(beta or (obj.get("spec") or {}).get("storageClassName") or "")


def size_of(claim: Mapping[str, Any]) -> Any:
    """The storage that a claim asks for."""
    resources = (claim.get("spec") or {}).get("resources") or {}
    return (resources.get("requests") or {}).get("storage", "0")


def belongs(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """Whether the volume is (or is meant to be) bound to this claim."""
    reference = (volume.get("spec") or {}).get("claimRef") or {}
    named = reference.get("name") == name_of(claim)
    placed = reference.get("namespace") == namespace_of(claim)
    return bool(named and placed and reference.get("uid") in (None, "", uid_of(claim)))


def best(claim: Object, volumes: Sequence[Object]) -> Object | None:
    """The volume to bind: one reserved for the claim, else the smallest that is large enough."""
    wanted = str(claim["spec"].get("volumeName") or "")
    if wanted:
        found = next((one for one in volumes if name_of(one) == wanted), None)
        free = found is not None and not (found["spec"].get("claimRef") or {})
        return found if found is not None and (free or belongs(found, claim)) else None
    reserved = [one for one in volumes if belongs(one, claim) and not deleting(one)]
    if reserved:
        return reserved[0]
    fitting = [one for one in volumes if _fits(claim, one)]
    return min(
        fitting,
        key=lambda one: (parse(one["spec"]["capacity"]["storage"]), name_of(one)),
        default=None,
    )


def _fits(claim: Object, volume: Object) -> bool:
    spec, wish = volume.get("spec") or {}, claim["spec"]
    if spec.get("claimRef") or deleting(volume) or phase(volume) not in ("Available", ""):
        return False
    if class_of(volume) != class_of(claim):
        return False
    if (spec.get("volumeMode") or "Filesystem") != (wish.get("volumeMode") or "Filesystem"):
        return False
    if not set(wish.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    selector = wish.get("selector")
    if selector is not None and not from_label_selector(selector).matches(labels_of(volume)):
        return False
    return parse((spec.get("capacity") or {}).get("storage", "0")) >= parse(size_of(claim))


def bound_volume(volume: Object, claim: Object) -> Object:
    """The volume with a reference to the claim."""
    changed = copy(volume)
    before = changed["spec"].get("claimRef") or {}
    if not before:
        annotations = {**annotations_of(changed), BY_US: "yes"}
        changed["metadata"]["annotations"] = annotations
    changed["spec"]["claimRef"] = {
        **before,
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
    }
    return changed


def bound_claim(claim: Object, volume: Object) -> Object:
    """The claim with the name of its volume."""
    changed = copy(claim)
    annotations = {**annotations_of(changed), BOUND: "yes"}
    if not changed["spec"].get("volumeName"):
        annotations[BY_US] = "yes"
    changed["metadata"]["annotations"] = annotations
    changed["spec"]["volumeName"] = name_of(volume)
    return changed


def claim_status(claim: Object, volume: Object | None) -> Object:
    """The status of a claim: bound to ``volume``, pending without one, lost when it vanished."""
    status = copy(claim.get("status") or {})
    if volume is not None:
        status["phase"] = "Bound"
        status["accessModes"] = list(volume["spec"].get("accessModes") or ())
        status["capacity"] = dict(volume["spec"].get("capacity") or {})
    elif annotations_of(claim).get(BOUND):
        status["phase"] = "Lost"
    else:
        status["phase"] = "Pending"
    return status


def waits(storage_class: Mapping[str, Any] | None) -> bool:
    """Whether volumes of the class are only bound once a pod needs them."""
    mode = (storage_class or {}).get("volumeBindingMode")
    return bool(mode == "WaitForFirstConsumer")


def provisioned(claim: Object, storage_class: Object, directory: str, node: str) -> Object:
    """A new volume for the claim: a directory of ``node``."""
    name = f"pvc-{uid_of(claim)}"
    field = {
        "key": "kubernetes.io/hostname",
        "operator": "In",
        "values": [node],
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": {PROVISIONED: PROVISIONER},
            "finalizers": [DATA],
        },
        "spec": {
            "capacity": {"storage": size_of(claim)},
            "accessModes": list(claim["spec"].get("accessModes") or ()),
            "volumeMode": claim["spec"].get("volumeMode") or "Filesystem",
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": name_of(storage_class),
            "mountOptions": list(storage_class.get("mountOptions") or ()),
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                "apiVersion": "v1",
                "namespace": namespace_of(claim),
                "name": name_of(claim),
                "uid": uid_of(claim),
            },
            "local": {"path": f"{directory}/{name}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [field]}]}},
        },
    }


def volume_phase(volume: Object, claim: Object | None) -> str:
    """``Available``, ``Bound`` or ``Released``."""
    if not (volume["spec"].get("claimRef") or {}).get("uid"):
        return "Available"
    if claim is None or uid_of(claim) != volume["spec"]["claimRef"]["uid"]:
        return "Released"
    return "Bound" if claim["spec"].get("volumeName") == name_of(volume) else "Available"


def users(claim: Object, pods: Sequence[Object]) -> list[Object]:
    """The pods of the namespace that mount the claim."""
    wanted = name_of(claim)
    found = []
    for pod in pods:
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            named = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            generated = f"{name_of(pod)}-{volume.get('name')}" if volume.get("ephemeral") else None
            if wanted in (named, generated):
                found.append(pod)
                break
    return found
