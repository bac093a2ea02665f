"""What the query of a list or watch may say together (``metav1.ListOptions``). Pure."""

from __future__ import annotations

from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import invalid
from cloudwright.model import fields
from cloudwright.model.fields import FieldError

_MATCHES = ("Exact", "NotOlderThan")
_MATCH, _INITIAL = "resourceVersionMatch", "sendInitialEvents"


def check(call: Call) -> None:
    """Refuse parameters that do not go together.

    Raises:
        ApiError: 422, with a cause for each.
    """
    match, initial = call.query.get(_MATCH), call.query.get(_INITIAL)
    if not match and not initial:
        return
    found = _of_watch(call) if call.verb == "watch" else _of_list(call)
    if found:
        raise invalid("meta.k8s.io", "ListOptions", "", [error.as_cause() for error in found])


def _of_list(call: Call) -> list[FieldError]:
    query = call.query
    match, version = query.get(_MATCH), query.get("resourceVersion")
    found: list[FieldError] = []
    if match:
        if not version:
            message = f"{_MATCH} is forbidden unless resourceVersion is provided"
            found.append(fields.forbidden(_MATCH, message))
        found += _with_continue(call)
        if match not in _MATCHES:
            found.append(fields.not_supported(_MATCH, match, (*_MATCHES, "")))
        if match == "Exact" and version == "0":
            message = f'{_MATCH} "exact" is forbidden for resourceVersion "0"'
            found.append(fields.forbidden(_MATCH, message))
    if query.get(_INITIAL):
        found.append(fields.forbidden(_INITIAL, f"{_INITIAL} is forbidden for list"))
    return found


def _of_watch(call: Call) -> list[FieldError]:
    match, initial = call.query.get(_MATCH), call.query.get(_INITIAL)
    found: list[FieldError] = []
    if initial and match != "NotOlderThan":
        message = f"{_INITIAL} requires setting {_MATCH} to NotOlderThan"
        found.append(fields.forbidden(_MATCH, message))
    if match:
        if not initial:
            message = f"{_MATCH} is forbidden for watch unless {_INITIAL} is provided"
            found.append(fields.forbidden(_MATCH, message))
        if match != "NotOlderThan":
            found.append(fields.not_supported(_MATCH, match, ("NotOlderThan",)))
        found += _with_continue(call)
    return found


def _with_continue(call: Call) -> list[FieldError]:
    if not call.query.get("continue"):
        return []
    return [fields.forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided")]
