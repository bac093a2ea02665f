"""Namespace. Its finalizer and phase are the API server's own business."""

from __future__ import annotations

from cloudwright.model import names, resources
from cloudwright.model.kinds.spec import KindSpec
from cloudwright.model.objects import Object

OWN_LABEL = "kubernetes.io/metadata.name"


def _defaults(namespace: Object) -> None:
    metadata = namespace["metadata"]
    name = metadata.get("name")
    if name and not metadata.get("generateName"):  # a made-up one is labelled late, by nobody
        labels = metadata.get("labels")
        if labels is None:
            labels = metadata["labels"] = {}
        labels[OWN_LABEL] = name


SPEC = KindSpec(
    resources.NAMESPACE,
    _defaults,
    initial_status=lambda _namespace: {"phase": "Active"},
    name_problems=names.dns_label_problems,
)
