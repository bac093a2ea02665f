"""``metav1.Status``: how every failure, and some successes, look on the wire."""

from __future__ import annotations

from typing import Any

from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.replies import reply_json
from cloudwright.client.transport import Reply

# Upstream's Status has details then, even empty ones: paths, methods, patches.
EMPTY_DETAILS = frozenset({403, 404, 405, 422})


def failure(error: ApiError) -> dict[str, Any]:
    """``error`` as a Status object."""
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
    }
    if error.reason:  # upstream has none for errors that no one expected
        body["reason"] = error.reason
    if error.details or error.detailed or error.http_status in EMPTY_DETAILS:
        body["details"] = error.details
    body["code"] = error.http_status
    return body


def failure_reply(error: ApiError) -> Reply:
    """``error`` as a reply."""
    return reply_json(error.http_status, failure(error), error.headers)


def success(group: str, plural: str, name: str, uid: str) -> dict[str, Any]:
    """The Status that tells of a finished deletion."""
    details = {"name": name, "kind": plural, "uid": uid}
    if group:
        details["group"] = group
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
