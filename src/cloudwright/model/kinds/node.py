"""Node: a machine that runs pods. It tells of itself, so its creator sets the status too."""

from __future__ import annotations

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, one_of
from cloudwright.model.objects import Object

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def _check(node: Object, old: Object | None) -> list[FieldError]:
    found: list[FieldError] = []
    spec = mapping(node, "spec")
    for index, taint in enumerate(members(spec, "taints")):
        path = f"spec.taints[{index}]"
        if not taint.get("key"):
            found.append(fields.required(f"{path}.key"))
        found += one_of(taint, path, "effect", _EFFECTS)
    before = mapping(old or {}, "spec").get("podCIDR")
    if before and spec.get("podCIDR") != before:
        found.append(fields.forbidden("spec.podCIDR", "may not be changed once set"))
    return found


SPEC = KindSpec(resources.NODE, check=_check, keep_status=True)
