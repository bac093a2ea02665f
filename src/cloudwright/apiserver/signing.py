"""What a write of a CertificateSigningRequest does beside storing it: who asks, who decided when.

The requester is whoever sends the request, whatever it says; decisions come only through the
subresource ``approval``, and what came of them through ``status``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.special import Special
from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import certificate_signing_request as rules
from cloudwright.model.objects import Object

_DECISIONS = ("Approved", "Denied")
_PATH = "status.conditions"


class SigningRequestWrite(Special):
    """A new request, a decision, or a certificate."""

    def __init__(self, call: Call, new: Object, old: Object | None, now: datetime) -> None:
        self._errors: list[FieldError] = []
        if old is None:
            _requester(new.setdefault("spec", {}), call)
            return
        if call.subresource not in ("approval", "status"):
            return
        conditions = _conditions(new)
        _stamp(conditions, _conditions(old), rfc3339(now))
        if call.subresource == "approval":
            for name in [name for name in new if name not in ("metadata", "status")]:
                del new[name]
            kept = {
                name: value for name, value in old.items() if name not in ("metadata", "status")
            }
            new.update(kept)
            new["status"] = {**(old.get("status") or {}), "conditions": conditions}
        else:
            self._decided_elsewhere(conditions, _conditions(old))
        self._errors += rules.status_errors(new)

    def _decided_elsewhere(self, conditions: list[Any], before: list[Any]) -> None:
        for kind in _DECISIONS:
            given = [one for one in conditions if one.get("type") == kind]
            had = [one for one in before if one.get("type") == kind]
            if len(given) > len(had):
                message = f"updates may not add a condition of type {kind!r}"
                self._errors.append(fields.forbidden(_PATH, message.replace("'", '"')))
            elif len(given) < len(had):
                message = f"updates may not remove a condition of type {kind!r}"
                self._errors.append(fields.forbidden(_PATH, message.replace("'", '"')))
            else:
                for at, one in zip(given, had, strict=True):
                    at.clear()
                    at.update(one)

    def errors(self) -> Sequence[FieldError]:
        """What is wrong with the decisions."""
        return self._errors


def _requester(spec: Object, call: Call) -> None:
    for name in ("username", "uid", "groups", "extra"):
        spec.pop(name, None)
    user = call.user
    spec["username"] = user.name
    if user.uid:
        spec["uid"] = user.uid
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {name: list(values) for name, values in user.extra}


def _conditions(obj: Object) -> list[Any]:
    found = (obj.get("status") or {}).get("conditions") or []
    return [one for one in found if isinstance(one, dict)]


def _stamp(conditions: list[Any], before: list[Any], now: str) -> None:
    """Say since when each condition is as it is, where nobody says it."""
    for one in conditions:
        one["lastUpdateTime"] = one.get("lastUpdateTime") or now
        if not one.get("lastTransitionTime"):
            since = now
            for was in before:
                same = (was.get("type"), was.get("status")) == (one.get("type"), one.get("status"))
                if same and was.get("lastTransitionTime"):
                    since = was["lastTransitionTime"]
                    break
            one["lastTransitionTime"] = since
