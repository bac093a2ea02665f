"""Claims on devices (``resource.k8s.io``): kept for drivers and schedulers that use them."""

from __future__ import annotations

from cloudwright.model import resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, unchanged
from cloudwright.model.objects import Object


def _requests(spec: Object) -> None:
    for request in members(mapping(spec, "devices"), "requests"):
        wanted = [request["exactly"]] if isinstance(request.get("exactly"), dict) else []
        for one in [*wanted, *members(request, "firstAvailable")]:
            one["allocationMode"] = one.get("allocationMode") or "ExactCount"
            if one["allocationMode"] == "ExactCount":
                one["count"] = one.get("count") or 1


def _defaults(claim: Object) -> None:
    _requests(claim.setdefault("spec", {}))


def _template_defaults(template: Object) -> None:
    _requests(template.setdefault("spec", {}).setdefault("spec", {}))


def _check(claim: Object, old: Object | None) -> list[FieldError]:
    return unchanged(claim, old, "", "spec")


def _check_slice(piece: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(piece, "spec")
    was = old and mapping(old, "spec")
    return unchanged(spec, was, "spec", "driver") + unchanged(spec, was, "spec", "nodeName")


CLASS = KindSpec(resources.DEVICE_CLASS)
CLAIM = KindSpec(resources.RESOURCE_CLAIM, _defaults, _check, lambda _claim: {})
TEMPLATE = KindSpec(resources.RESOURCE_CLAIM_TEMPLATE, _template_defaults, _check)
SLICE = KindSpec(resources.RESOURCE_SLICE, check=_check_slice)
