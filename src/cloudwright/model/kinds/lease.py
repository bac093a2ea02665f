"""Lease: who leads, and until when (``coordination.k8s.io/v1``)."""

from __future__ import annotations

from cloudwright.model import resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, not_negative, positive
from cloudwright.model.objects import Object


def _check(lease: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(lease, "spec")
    found = positive(spec, "spec", "leaseDurationSeconds")
    return found + not_negative(spec, "spec", "leaseTransitions")


SPEC = KindSpec(resources.LEASE, check=_check)
