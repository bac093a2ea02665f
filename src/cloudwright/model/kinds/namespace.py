"""Namespace. Its finalizer and phase are the API server's own business."""

from __future__ import annotations

from cloudwright.model import names, resources
from cloudwright.model.kinds.spec import KindSpec

SPEC = KindSpec(
    resources.NAMESPACE,
    initial_status=lambda _namespace: {"phase": "Active"},
    name_problems=names.dns_label_problems,
)
