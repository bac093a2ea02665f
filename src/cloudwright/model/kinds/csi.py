"""What CSI drivers tell of themselves, and which volume is attached where."""

from __future__ import annotations

from cloudwright.model import fields, names, quantities, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import labels
from cloudwright.model.kinds.spec import (
    KindSpec,
    mapping,
    members,
    one_of,
    positive,
    unchanged,
    wrong,
)
from cloudwright.model.objects import Object

_NAME_MAX = 63
_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLES = ("Persistent", "Ephemeral")


def driver_name_errors(name: str, path: str) -> list[FieldError]:
    """The name of a CSI driver: a DNS name of at most 63 characters."""
    if not name:
        return [fields.required(path)]
    found = [fields.too_long(path, _NAME_MAX)] if len(name) > _NAME_MAX else []
    return found + wrong(path, name, names.dns_subdomain_problems(name.lower()))


def _driver_defaults(driver: Object) -> None:
    spec = driver.setdefault("spec", {})
    spec.setdefault("attachRequired", True)
    for key in ("podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"):
        spec.setdefault(key, False)
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _check_driver(driver: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(driver, "spec")
    found = one_of(spec, "spec", "fsGroupPolicy", _GROUP_POLICIES)
    for mode in members(spec, "volumeLifecycleModes"):
        if mode not in _LIFECYCLES:
            found.append(fields.not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLES))
    audiences: set[str] = set()
    for index, request in enumerate(members(spec, "tokenRequests")):
        path, audience = f"spec.tokenRequests[{index}]", str(request.get("audience") or "")
        if audience in audiences:
            found.append(fields.duplicate(f"{path}.audience", audience))
        audiences.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            message = "may not specify a duration less than 10 minutes"
            found.append(fields.invalid(f"{path}.expirationSeconds", seconds, message))
    was = old and mapping(old, "spec")
    if was is not None and spec.get("attachRequired") != was.get("attachRequired"):
        value, message = spec.get("attachRequired"), "field is immutable"
        found.append(fields.invalid("spec.attachedRequired", value, message))
    return found + unchanged(spec, was, "spec", "volumeLifecycleModes")


def _check_node(node: Object, old: Object | None) -> list[FieldError]:
    found: list[FieldError] = []
    before = {d.get("name"): d for d in members(mapping(old or {}, "spec"), "drivers")}
    seen: set[str] = set()
    for index, driver in enumerate(members(mapping(node, "spec"), "drivers")):
        path, name = f"spec.drivers[{index}]", str(driver.get("name") or "")
        found += driver_name_errors(name, f"{path}.name")
        if not driver.get("nodeID"):
            found.append(fields.required(f"{path}.nodeID"))
        found += positive(mapping(driver, "allocatable"), f"{path}.allocatable", "count")
        for at, key in enumerate(members(driver, "topologyKeys")):
            problems = names.qualified_name_problems(str(key))
            found += wrong(f"{path}.topologyKeys[{at}]", key, problems)
        if name in seen:
            found.append(fields.duplicate(f"{path}.name", name))
        seen.add(name)
        was = before.get(name)
        if was is not None and _fixed(was) != _fixed(driver):
            found.append(fields.invalid(path, driver, "field is immutable"))
    return found


def _fixed(driver: Object) -> Object:
    return {key: value for key, value in driver.items() if key != "allocatable"}


def _check_capacity(capacity: Object, old: Object | None) -> list[FieldError]:
    found = labels.selector_errors(capacity.get("nodeTopology"), "nodeTopology")
    name = str(capacity.get("storageClassName") or "")
    found += wrong("storageClassName", name, names.dns_subdomain_problems(name))
    for key in ("capacity", "maximumVolumeSize"):
        value = capacity.get(key)
        if value is not None and not quantities.problems(value) and quantities.parse(value) < 0:
            message = "must be greater than or equal to 0"
            found.append(fields.invalid(key, value, message))
    for key in ("nodeTopology", "storageClassName"):
        found += unchanged(capacity, old, "", key)
    return found


def _check_attachment(attachment: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(attachment, "spec")
    if old is not None:
        return unchanged(attachment, old, "", "spec")
    attacher = str(spec.get("attacher") or "")
    found = driver_name_errors(attacher, "spec.attacher")
    source = mapping(spec, "source")
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if name is None and inline is None:
        message = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        found.append(fields.required("spec.source", message))
    elif name is not None and inline is not None:
        message = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        found.append(fields.forbidden("spec.source", message))
    elif name == "":
        message = "must specify non empty persistentVolumeName"
        found.append(fields.required("spec.source.persistentVolumeName", message))
    node = str(spec.get("nodeName") or "")
    return found + wrong("spec.nodeName", node, names.dns_subdomain_problems(node))


DRIVER = KindSpec(resources.CSI_DRIVER, _driver_defaults, _check_driver)
NODE = KindSpec(resources.CSI_NODE, check=_check_node)
CAPACITY = KindSpec(resources.CSI_STORAGE_CAPACITY, check=_check_capacity)
ATTACHMENT = KindSpec(
    resources.VOLUME_ATTACHMENT,
    check=_check_attachment,
    initial_status=lambda _a: {"attached": False},
)
