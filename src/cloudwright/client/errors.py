"""The API's refusals, as the exit-code family of ``_base.errors``; each carries the
``metav1.Status``.

    ApiError (CloudwrightError)
    ├─ NotFound (NotFoundError)              404
    ├─ AlreadyExists (ConflictError)         409 reason AlreadyExists
    ├─ Conflict (ConflictError)              409
    ├─ Invalid (UsageError)                  422, 400; ``causes`` by field path
    ├─ Unauthorized, Forbidden (NotAllowedError)   401, 403
    ├─ Expired                               410: list again
    └─ TooManyRequests                       429: later
"""

from __future__ import annotations

from typing import Any

from cloudwright._base.errors import (
    CloudwrightError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    UsageError,
)

Status = dict[str, Any]


class ApiError(CloudwrightError):
    """The API refused a request. ``status`` is the ``metav1.Status`` it sent."""

    default_code = "CW2000"

    def __init__(self, status: Status, *, hint: str | None = None) -> None:
        message = str(status.get("message") or status.get("reason") or "the API refused")
        super().__init__(message, hint=hint)
        self.status = status

    @property
    def http_status(self) -> int:
        """The HTTP status code."""
        return int(self.status.get("code", 500))

    @property
    def causes(self) -> list[dict[str, str]]:
        """``details.causes``: ``field``, ``reason``, ``message``."""
        return list((self.status.get("details") or {}).get("causes") or [])


class NotFound(ApiError, NotFoundError):
    """No such object or resource (404)."""

    default_code = "CW2404"


class AlreadyExists(ApiError, ConflictError):
    """An object of that name exists (409)."""

    default_code = "CW2408"


class Conflict(ApiError, ConflictError):
    """The object has changed meanwhile (409)."""

    default_code = "CW2409"


class Invalid(ApiError, UsageError):
    """The object or the request is not valid (422, 400)."""

    default_code = "CW2422"


class Unauthorized(ApiError, NotAllowedError):
    """No valid credentials (401)."""

    default_code = "CW2401"


class Forbidden(ApiError, NotAllowedError):
    """Not enough rights (403)."""

    default_code = "CW2403"


class Expired(ApiError):
    """The resource version is gone (410): list again."""

    default_code = "CW2410"


class TooManyRequests(ApiError):
    """Not now (429)."""

    default_code = "CW2429"


_BY_CODE: dict[int, type[ApiError]] = {
    400: Invalid, 401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Expired,
    422: Invalid, 429: TooManyRequests,
}  # fmt: skip


def from_status(status: Status) -> ApiError:
    """The error that a ``metav1.Status`` of a failure stands for."""
    code = int(status.get("code", 500))
    if code == 409 and status.get("reason") == "AlreadyExists":
        return AlreadyExists(status)
    return _BY_CODE.get(code, ApiError)(status)


def from_reply(code: int, body: bytes) -> ApiError:
    """The error of an answer with status ``code``; the body may be anything."""
    import json

    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = body[:300].decode(errors="replace").strip()
        status = {"code": code, "message": text or f"HTTP {code}"}
    return from_status({"code": code, **status})
