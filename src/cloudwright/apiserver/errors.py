"""What can go wrong in the API server. Every error becomes a ``metav1.Status`` (``status.py``).

CloudwrightError
├─ ApiError                 an answer ≥ 400: ``code`` (HTTP) and ``reason`` (metav1.StatusReason)
└─ StoreError               the store cannot serve (500)
   ├─ StoreFullError        no space left on the device (507); retry after space was freed
   ├─ StoreCorruptError     the file fails its integrity check (refuses to open)
   ├─ StoreBusyError        another process holds the file (refuses to open)
   ├─ StoreUnreachableError a store elsewhere does not answer (503); try again
   ├─ StoreOverloadedError  too many writes wait already (429); try again
   ├─ CompactedError        the asked revision is no longer kept (410 Expired)
   └─ SlowWatcherError      a watcher did not keep up and was ended (410 Expired)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudwright._base.errors import CloudwrightError

Cause = dict[str, str]
"""``metav1.StatusCause``: ``reason``, ``message``, ``field``."""


class ApiError(CloudwrightError):
    """An answer ≥ 400. ``details`` is ``metav1.StatusDetails``; given, it is shown even empty."""

    default_code = "CW3000"

    def __init__(
        self,
        http_status: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.http_status = http_status
        self.reason = reason
        self.details = details or {}
        self.detailed = details is not None
        self.headers = headers or {}


class StoreError(CloudwrightError):
    """The store cannot serve."""

    default_code = "CW3100"


class StoreFullError(StoreError):
    """No space left on the device; nothing of the failed write is kept."""

    default_code = "CW3101"


class StoreCorruptError(StoreError):
    """The database file fails its integrity check."""

    default_code = "CW3102"


class StoreBusyError(StoreError):
    """Another process holds the database file."""

    default_code = "CW3103"


class StoreUnreachableError(StoreError):
    """A store on other machines does not answer; what became of a write may not be known."""

    default_code = "CW3107"


class StoreOverloadedError(StoreError):
    """Too many writes wait for the disk already."""

    default_code = "CW3106"


class CompactedError(StoreError):
    """The asked revision is older than what is kept."""

    default_code = "CW3104"

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")
        self.asked = asked
        self.oldest = oldest


class SlowWatcherError(StoreError):
    """A watcher's queue ran over."""

    default_code = "CW3105"


def _details(group: str, kind: str, name: str, causes: Sequence[Cause] = ()) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    if causes:
        details["causes"] = list(causes)
    return details


def qualified(plural: str, group: str) -> str:
    """``plural`` or ``plural.group``, as messages name a resource."""
    return f"{plural}.{group}" if group else plural


def bad_request(message: str, *, hint: str | None = None, causes: Sequence[Cause] = ()) -> ApiError:
    """400: the request cannot be understood; ``causes`` say which fields."""
    details = {"causes": list(causes)} if causes else None
    return ApiError(400, "BadRequest", message, details=details, hint=hint)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    """401: no or wrong credentials."""
    return ApiError(401, "Unauthorized", message)


def forbidden(group: str, plural: str, name: str, message: str) -> ApiError:
    """403: known who, not allowed."""
    quoted = f' "{name}"' if name else ""
    return ApiError(
        403,
        "Forbidden",
        f"{qualified(plural, group)}{quoted} is forbidden: {message}",
        details=_details(group, plural, name),
    )


def not_found(group: str, plural: str, name: str) -> ApiError:
    """404: no such object."""
    return ApiError(
        404,
        "NotFound",
        f'{qualified(plural, group)} "{name}" not found',
        details=_details(group, plural, name),
    )


def no_such_path() -> ApiError:
    """404: nothing is served under this path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def no_such_method() -> ApiError:
    """405: the path is served, but not with this method."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, details={})


def method_not_allowed(method: str, what: str) -> ApiError:
    """405: the resource has no such verb."""
    return ApiError(
        405, "MethodNotAllowed", f"the server does not allow {method} on the resource {what}"
    )


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """409: an object of this name exists."""
    return ApiError(
        409,
        "AlreadyExists",
        f'{qualified(plural, group)} "{name}" already exists',
        details=_details(group, plural, name),
    )


def conflict(group: str, plural: str, name: str, message: str) -> ApiError:
    """409: somebody else changed the object in between, or a precondition does not hold."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {message}',
        details=_details(group, plural, name),
    )


MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def expired(message: str) -> ApiError:
    """410: the resource version or continue token is too old; list again."""
    return ApiError(410, "Expired", message)


def unsupported_media_type(message: str) -> ApiError:
    """415: the body's content type is not understood here."""
    return ApiError(415, "UnsupportedMediaType", message)


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: the object breaks rules; one cause per field."""
    # A message says everything once, even where the causes repeat it, as upstream's do.
    shown = list(dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in causes))
    text = shown[0] if len(shown) == 1 else "[" + ", ".join(shown) + "]"
    return ApiError(
        422,
        "Invalid",
        f'{qualified(kind, group)} "{name}" is invalid: {text}',
        details=_details(group, kind, name, causes),
    )


def too_large(limit: int) -> ApiError:
    """413: the body or object is larger than the server takes."""
    return ApiError(413, "RequestEntityTooLarge", f"limit is {limit} bytes")


def revision_problem(text: str) -> str:
    """What is wrong with a ``resourceVersion`` that is no number, in upstream's words."""
    syntax = f'strconv.ParseUint: parsing "{text}": invalid syntax'
    return f'resourceVersion: Invalid value: "{text}": {syntax}'


def version_too_large(asked: int, newest: int) -> ApiError:
    """504: a revision that this store has not reached (it may have been put back)."""
    message = f"Too large resource version: {asked}, current: {newest}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    details = {"causes": causes, "retryAfterSeconds": 1}
    headers = {"retry-after": "1"}
    return ApiError(504, "Timeout", f"Timeout: {message}", details=details, headers=headers)


def from_store(error: StoreError) -> ApiError:
    """The answer that tells of a store's failure."""
    if isinstance(error, CompactedError | SlowWatcherError):
        return expired(error.message)
    if isinstance(error, StoreOverloadedError):
        details = {"retryAfterSeconds": 1}
        headers = {"retry-after": "1"}
        return ApiError(429, "TooManyRequests", error.message, details=details, headers=headers)
    if isinstance(error, StoreUnreachableError):
        headers = {"retry-after": "1"}
        return ApiError(503, "ServiceUnavailable", error.message, headers=headers, hint=error.hint)
    if isinstance(error, StoreFullError):
        return ApiError(507, "InternalError", error.message, hint=error.hint)
    return ApiError(500, "InternalError", error.message, hint=error.hint)
