"""PersistentVolumeClaim: a wish for storage."""

from __future__ import annotations

from cloudwright.model import fields, quantities, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import volumes
from cloudwright.model.kinds.spec import KindSpec, mapping
from cloudwright.model.objects import Object

_FIXED = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
    "bound claims"
)


def _defaults(claim: Object) -> None:
    volumes.claim_defaults(claim.setdefault("spec", {}))


def _begin(claim: Object) -> None:
    """A source of data is told under both of its names, as upstream does."""
    spec = claim["spec"]
    if spec.get("dataSource") is not None and spec.get("dataSourceRef") is None:
        spec["dataSourceRef"] = dict(spec["dataSource"])
    elif spec.get("dataSourceRef") is not None and spec.get("dataSource") is None:
        reference = dict(spec["dataSourceRef"])
        known = {("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")}
        if (reference.get("apiGroup") or "", reference.get("kind")) in known:
            spec["dataSource"] = reference


def _check(claim: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(claim, "spec")
    found = volumes.claim_errors(spec, "spec")
    if old is None:
        return found
    was = mapping(old, "spec")
    bound = mapping(old, "status").get("phase") == "Bound"
    before, after = _fixed(was, bound), _fixed(spec, bound)
    if not was.get("volumeName"):
        before.pop("volumeName", None)
        after.pop("volumeName", None)
    if "storageClassName" not in was:  # a default may be given later
        after.pop("storageClassName", None)
    if before != after:
        found.append(fields.forbidden("spec", _FIXED))
    found += _size_errors(spec, was)
    return found


def _fixed(spec: Object, bound: bool) -> Object:
    kept = {key: value for key, value in spec.items() if key != "volumeAttributesClassName"}
    if bound:
        kept["resources"] = {
            key: value for key, value in mapping(spec, "resources").items() if key != "requests"
        }
    return kept


def _size_errors(spec: Object, was: Object) -> list[FieldError]:
    new = mapping(mapping(spec, "resources"), "requests").get("storage")
    old = mapping(mapping(was, "resources"), "requests").get("storage")
    if new is None or old is None or quantities.problems(new):
        return []
    if quantities.parse(new) < quantities.parse(old):
        path = "spec.resources.requests.storage"
        message = "field can not be less than status.capacity"
        return [fields.forbidden(path, message)]
    return []


SPEC = KindSpec(
    resources.PERSISTENT_VOLUME_CLAIM,
    _defaults,
    _check,
    lambda _claim: {"phase": "Pending"},
    begin=_begin,
)
