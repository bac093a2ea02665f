"""An authorizer that asks a webhook (``SubjectAccessReview``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from cloudwright._base import logs
from cloudwright.apiserver.identity import Attributes, User
from cloudwright.apiserver.reviewing import Remembered, Reviewer, ReviewError, digest
from cloudwright.model import selectors

if TYPE_CHECKING:
    from cloudwright._base.clock import Clock
    from cloudwright.apiserver import cel

_log = logs.get("apiserver.authz")
_API_VERSION = "authorization.k8s.io/v1"
_TEXT_MAX = 10_000
"""Questions whose texts are longer than this together are not remembered."""


class Opinion(Enum):
    """What an authorizer thinks of a request."""

    ALLOW = "allow"
    DENY = "deny"
    NONE = "no opinion"


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """How one webhook is asked."""

    name: str = "default"
    authorized_seconds: float = 300.0
    unauthorized_seconds: float = 30.0
    deny_on_error: bool = False
    """Whether a webhook that gives no answer denies (``failurePolicy: Deny``)."""
    conditions: tuple[str, ...] = ()
    """CEL expressions over ``request``; only when all hold it is asked."""


class WebhookAuthorizer:
    """Asks one webhook."""

    def __init__(self, settings: WebhookSettings, reviewer: Reviewer, clock: Clock) -> None:
        self.settings = settings
        self._reviewer = reviewer
        self._known = Remembered(clock)
        self._programs = compiled(settings.conditions) if settings.conditions else []

    async def decide(self, user: User, wanted: Attributes) -> tuple[Opinion, str]:
        """What the webhook says, and why."""
        spec = described(user, wanted)
        on_error = Opinion.DENY if self.settings.deny_on_error else Opinion.NONE
        if self._programs:
            holds = self._holds(spec)
            if holds is not True:
                return (on_error if holds is None else Opinion.NONE), ""
        key = digest(spec)
        status = self._known.get(key)
        if status is None:
            review = {
                "kind": "SubjectAccessReview",
                "apiVersion": _API_VERSION,
                "metadata": {},
                "spec": spec,
            }
            try:
                status = await self._reviewer.ask(review)
            except ReviewError as error:
                _log.error("an access cannot be reviewed: %s", error.message)
                return on_error, ""
            if _size(user, wanted) <= _TEXT_MAX:
                allowed = bool(status.get("allowed"))
                settings = self.settings
                seconds = settings.authorized_seconds if allowed else settings.unauthorized_seconds
                self._known.keep(key, status, seconds)
        reason = str(status.get("reason") or "")
        if status.get("denied"):
            return Opinion.DENY, reason
        return (Opinion.ALLOW if status.get("allowed") else Opinion.NONE), reason

    def _holds(self, spec: Mapping[str, Any]) -> bool | None:
        """Whether all conditions hold; ``None``: one cannot be evaluated, and none is false."""
        from cloudwright.apiserver import cel

        failed = False
        for program in self._programs:
            try:
                if not program.evaluate({"request": spec}):
                    return False
            except cel.CelError as error:
                failed = True
                _log.warning("a matchCondition cannot be evaluated: %s", error.message)
        return None if failed else True


def compiled(conditions: Sequence[str]) -> list[cel.Program]:
    """The programs of match conditions.

    Raises:
        CelCompileError: one is no boolean expression over ``request``.
    """
    from cloudwright.apiserver import cel

    environment = cel.Environment({"request": _REQUEST})
    return [environment.compile(source, result="bool") for source in conditions]


def described(user: User, wanted: Attributes) -> dict[str, Any]:
    """The ``spec`` of a ``SubjectAccessReview``."""
    spec: dict[str, Any] = {}
    if wanted.path is not None:
        spec["nonResourceAttributes"] = {"path": wanted.path, "verb": wanted.verb}
    else:
        about: dict[str, Any] = {
            name: value
            for name, value in (
                ("namespace", wanted.namespace),
                ("verb", wanted.verb),
                ("group", wanted.group),
                ("version", "*"),
                ("resource", wanted.resource),
                ("subresource", wanted.subresource),
                ("name", wanted.name),
            )
            if value
        }
        requirements = _requirements(wanted.field_selector)
        if requirements:
            about["fieldSelector"] = {"requirements": requirements}
        spec["resourceAttributes"] = about
    spec["user"] = user.name
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra}
    if user.uid:
        spec["uid"] = user.uid
    return spec


def _requirements(selector: str) -> list[dict[str, Any]]:
    if not selector:
        return []
    try:
        found = selectors.parse_fields(selector).requirements
    except ValueError:  # whoever serves the request refuses it
        return []
    return [
        {
            "key": one.path,
            "operator": "NotIn" if one.operator == "!=" else "In",
            "values": [one.value],
        }
        for one in found
    ]


def _size(user: User, wanted: Attributes) -> int:
    extra = sum(len(key) + sum(map(len, values)) for key, values in user.extra)
    asked = sum(len(one) for one in wanted if isinstance(one, str))
    return len(user.name) + sum(map(len, user.groups)) + extra + asked


_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_SELECTOR = {
    "type": "object",
    "properties": {
        "rawSelector": _TEXT,
        "requirements": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"key": _TEXT, "operator": _TEXT, "values": _TEXTS},
            },
        },
    },
}
_ABOUT = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_REQUEST: dict[str, Any] = {
    "type": "object",
    "properties": {
        "resourceAttributes": {
            "type": "object",
            "x-plain-names": True,
            "properties": {
                **{name: _TEXT for name in _ABOUT},
                "fieldSelector": _SELECTOR,
                "labelSelector": _SELECTOR,
            },
        },
        "nonResourceAttributes": {"type": "object", "properties": {"path": _TEXT, "verb": _TEXT}},
        "user": _TEXT,
        "groups": _TEXTS,
        "extra": {"type": "object", "additionalProperties": _TEXTS},
        "uid": _TEXT,
    },
}
"""The variable ``request`` of a matchCondition: the spec of a ``SubjectAccessReview``."""
