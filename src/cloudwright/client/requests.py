"""Requests of the Kubernetes API as values: the one builder that every transport shares (no
I/O).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudwright.client.transport import Request
from cloudwright.model.resources import Resource

PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

Query = Sequence[tuple[str, str]]


def read(
    resource: Resource,
    namespace: str = "",
    name: str = "",
    subresource: str = "",
    *,
    query: Query = (),
    accept: str = "application/json",
) -> Request:
    """Get an object, or list when ``name`` is empty."""
    path = resource.path(namespace, name, subresource)
    return Request("GET", path, query, {"accept": accept})


def write(
    method: str,
    resource: Resource,
    namespace: str,
    name: str = "",
    subresource: str = "",
    *,
    body: bytes = b"",
    content_type: str = "application/json",
    query: Query = (),
) -> Request:
    """Create (POST), update (PUT), patch (PATCH) or delete (DELETE)."""
    headers = {"accept": "application/json"}
    if body:
        headers["content-type"] = content_type
    return Request(method, resource.path(namespace, name, subresource), query, headers, body)


def selection(
    label_selector: str = "", field_selector: str = "", limit: int = 0, token: str = ""
) -> list[tuple[str, str]]:
    """The query of a list."""
    pairs = [
        ("labelSelector", label_selector),
        ("fieldSelector", field_selector),
        ("limit", str(limit) if limit else ""),
        ("continue", token),
    ]
    return [(key, value) for key, value in pairs if value]


def watching(
    resource_version: str,
    label_selector: str = "",
    field_selector: str = "",
    timeout_seconds: int = 0,
) -> list[tuple[str, str]]:
    """The query of a watch from ``resource_version`` on, with bookmarks."""
    query = [("watch", "1"), ("allowWatchBookmarks", "true")]
    if resource_version:
        query.append(("resourceVersion", resource_version))
    if timeout_seconds:
        query.append(("timeoutSeconds", str(timeout_seconds)))
    return query + selection(label_selector, field_selector)


def delete_options(
    *,
    grace_seconds: int | None = None,
    propagation: str = "",
    uid: str = "",
    resource_version: str = "",
    dry_run: bool = False,
) -> dict[str, Any]:
    """A ``metav1.DeleteOptions``."""
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if grace_seconds is not None:
        options["gracePeriodSeconds"] = grace_seconds
    if propagation:
        options["propagationPolicy"] = propagation
    preconditions = {"uid": uid, "resourceVersion": resource_version}
    if any(preconditions.values()):
        options["preconditions"] = {k: v for k, v in preconditions.items() if v}
    if dry_run:
        options["dryRun"] = ["All"]
    return options


def header(headers: Mapping[str, str], name: str) -> str:
    """A header's value, or the empty string."""
    return headers.get(name, headers.get(name.title(), ""))
