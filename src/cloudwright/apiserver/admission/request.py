"""``AdmissionRequest`` as webhooks and CEL expressions see it. Pure."""

from __future__ import annotations

from typing import Any

from cloudwright.apiserver.admission.review import Review
from cloudwright.model.resources import Resource


def describe(review: Review, wanted: Resource) -> dict[str, Any]:
    """The request without its objects and uid; ``wanted`` is the version that the rule named."""
    origin, user = review.resource, review.user
    info: dict[str, Any] = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    extra = getattr(user, "extra", None)
    if extra:
        info["extra"] = {key: list(values) for key, values in dict(extra).items()}
    request: dict[str, Any] = {
        "kind": _kind(wanted),
        "resource": _resource(wanted),
        "requestKind": _kind(origin),
        "requestResource": _resource(origin),
        "operation": review.operation,
        "userInfo": info,
        "dryRun": review.dry_run,
        "options": None if review.operation == "CONNECT" else _options(review),
    }
    if review.subresource:
        request["subResource"] = request["requestSubResource"] = review.subresource
    if review.name:
        request["name"] = review.name
    if review.namespace:
        request["namespace"] = review.namespace
    return request


def _options(review: Review) -> dict[str, Any]:
    """``CreateOptions``, ``UpdateOptions`` or ``DeleteOptions`` (of ``meta.k8s.io/v1``)."""
    found: dict[str, Any] = {
        "kind": f"{review.operation.capitalize()}Options",
        "apiVersion": "meta.k8s.io/v1",
    }
    given = dict(review.query)
    if review.dry_run:
        found["dryRun"] = ["All"]
    for name in ("fieldManager", "fieldValidation", "propagationPolicy"):
        if given.get(name):
            found[name] = given[name]
    return found


def _kind(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _resource(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}
