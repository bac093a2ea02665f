"""Event: what happened to an object, in both of its API groups."""

from __future__ import annotations

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, unchanged, wrong
from cloudwright.model.objects import Object, namespace_of

_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
_UNSET = ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount")
_WORDS = {"deprecatedFirstTimestamp": "firstTimestamp", "deprecatedLastTimestamp": "lastTimestamp"}
_WORDS |= {"deprecatedCount": "count"}
_KEPT = (
    *("regarding", "reason", "note", "deprecatedSource", "deprecatedFirstTimestamp"),
    *("deprecatedLastTimestamp", "deprecatedCount", "type", "eventTime", "action", "related"),
    *("reportingController", "reportingInstance"),
)


def _namespace_errors(about: Object, own: str, *, new: bool) -> list[FieldError]:
    space = str(about.get("namespace") or "")
    allowed = {"default", "kube-system"} if new else {"default", ""}
    if (space == own) if space and not new else (space or own in allowed):
        return []
    message = "does not match event.namespace"
    return [fields.invalid("involvedObject.namespace", space, message)]


def _legacy_errors(event: Object, about: Object, text: str, reporter: str) -> list[FieldError]:
    """What both groups ask of an event; those with an ``eventTime`` must tell who saw what."""
    own = namespace_of(event)
    if not event.get("eventTime"):
        return _namespace_errors(about, own, new=False)
    found = _namespace_errors(about, own, new=True)
    who = str(event.get(reporter) or "")
    if not who:
        found.append(fields.required(reporter))
    found += wrong(reporter, who, names.qualified_name_problems(who))
    words = {
        "message": text,
        **{key: str(event.get(key) or "") for key in _LIMITS if key != "message"},
    }
    for key in ("reportingInstance", "action", "reason", "message"):
        if not words[key] and key != "message":
            found.append(fields.required(key))
        if len(words[key]) > _LIMITS[key]:
            message = f"can have at most {_LIMITS[key]} characters"
            found.append(fields.invalid(key, "", message))
    return found


def _check(event: Object, _old: Object | None) -> list[FieldError]:
    about, text = mapping(event, "involvedObject"), str(event.get("message") or "")
    return _legacy_errors(event, about, text, "reportingComponent")


def _check_v1(event: Object, old: Object | None) -> list[FieldError]:
    about, text = mapping(event, "regarding"), str(event.get("note") or "")
    found = _legacy_errors(event, about, text, "reportingController")
    if old is not None:
        for key in _KEPT:
            found += unchanged(event, old, "", key)
        return found
    if not event.get("eventTime"):
        found.append(fields.required("eventTime"))
    if event.get("type") not in ("Normal", "Warning"):
        value = str(event.get("type") or "")
        found.append(fields.invalid("type", "", f"has invalid value: {value}"))
    for key in _UNSET:
        if event.get(key):
            found.append(fields.invalid(_WORDS[key], "", "needs to be unset"))
    source = mapping(event, "deprecatedSource")
    if source.get("component") or source.get("host"):
        found.append(fields.invalid("source", "", "needs to be unset"))
    series = event.get("series")
    if series is not None and (series.get("count") or 0) < 2:
        found.append(fields.invalid("series.count", "", "should be at least 2"))
    return found


SPEC = KindSpec(resources.EVENT, check=_check)
SPEC_V1 = KindSpec(resources.EVENT_V1, check=_check_v1)
