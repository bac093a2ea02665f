"""PersistentVolume: storage that can be claimed."""

from __future__ import annotations

import posixpath

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import affinity, volumes
from cloudwright.model.kinds.spec import KindSpec, mapping, one_of
from cloudwright.model.objects import Object

_POLICIES = ("Delete", "Recycle", "Retain")
_SOURCES = (
    *("hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs"),
    *("rbd", "quobyte", "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile"),
    *("vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO", "local"),
    *("storageos", "csi"),
)
_NEEDED = {
    "hostPath": ("path",),
    "nfs": ("server", "path"),
    "local": ("path",),
    "csi": ("driver", "volumeHandle"),
    "glusterfs": ("endpoints", "path"),
}


def _defaults(volume: Object) -> None:
    spec = volume.setdefault("spec", {})
    policy = spec.get("persistentVolumeReclaimPolicy") or "Retain"
    spec["persistentVolumeReclaimPolicy"] = policy
    spec.setdefault("volumeMode", "Filesystem")
    if isinstance(spec.get("hostPath"), dict):
        spec["hostPath"].setdefault("type", "")
    if isinstance(spec.get("iscsi"), dict):
        spec["iscsi"].setdefault("iscsiInterface", "default")


def _capacity_errors(spec: Object) -> list[FieldError]:
    capacity, path = mapping(spec, "capacity"), "spec.capacity"
    found = [] if capacity else [fields.required(path)]
    if "storage" not in capacity or len(capacity) > 1:
        found.append(fields.not_supported(path, spec.get("capacity"), ("storage",)))
    for name, value in capacity.items():
        found += volumes.positive_errors(value, f"{path}[{name}]")
    return found


def _source_errors(spec: Object) -> list[FieldError]:
    chosen = [name for name in _SOURCES if spec.get(name) is not None]
    if not chosen:
        return [fields.required("spec", "must specify a volume type")]
    message = "may not specify more than 1 volume type"
    found = [fields.forbidden(f"spec.{name}", message) for name in chosen[1:]]
    name, source = chosen[0], mapping(spec, chosen[0])
    found += [
        fields.required(f"spec.{name}.{key}")
        for key in _NEEDED.get(name, ())
        if not source.get(key)
    ]
    path = str(source.get("path") or "")
    if name in ("hostPath", "local", "nfs") and ".." in path.split("/"):
        found.append(fields.invalid(f"spec.{name}.path", path, "must not contain '..'"))
    if name == "nfs" and path and not path.startswith("/"):
        found.append(fields.invalid("spec.nfs.path", path, "must be an absolute path"))
    if name == "local" and not spec.get("nodeAffinity"):
        message = "Local volume requires node affinity"
        found.append(fields.required("spec.nodeAffinity", message))
    return found


def _check(volume: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(volume, "spec")
    found = volumes.access_mode_errors(spec, "spec") + _capacity_errors(spec)
    found += one_of(spec, "spec", "persistentVolumeReclaimPolicy", _POLICIES)
    if (required := mapping(spec, "nodeAffinity").get("required")) is not None:
        found += affinity.node_selector_errors(required, "spec.nodeAffinity.required")
    found += _source_errors(spec)
    host = str(mapping(spec, "hostPath").get("path") or ".")
    if posixpath.normpath(host) == "/" and spec["persistentVolumeReclaimPolicy"] == "Recycle":
        message = "may not be 'recycle' for a hostPath mount of '/'"
        found.append(fields.forbidden("spec.persistentVolumeReclaimPolicy", message))
    found += volumes.class_errors(spec.get("storageClassName"), "spec.storageClassName")
    found += one_of(spec, "spec", "volumeMode", volumes.MODES)
    if old is not None:
        found += _changes(spec, mapping(old, "spec"))
    return found


def _changes(spec: Object, was: Object) -> list[FieldError]:
    found: list[FieldError] = []
    if [spec.get(name) for name in _SOURCES] != [was.get(name) for name in _SOURCES]:
        message = "spec.persistentvolumesource is immutable after creation"
        found.append(fields.forbidden("spec.persistentvolumesource", message))
    if spec.get("volumeMode") != was.get("volumeMode"):
        message = "field is immutable"
        found.append(fields.invalid("volumeMode", spec.get("volumeMode"), message))
    before = was.get("nodeAffinity")
    if before is not None and spec.get("nodeAffinity") != before:
        message = "field is immutable, except for updating from beta label to GA"
        found.append(fields.invalid("nodeAffinity", spec.get("nodeAffinity"), message))
    return found


SPEC = KindSpec(
    resources.PERSISTENT_VOLUME,
    _defaults,
    _check,
    lambda _volume: {"phase": "Pending"},
    stamp="lastPhaseTransitionTime",
)
