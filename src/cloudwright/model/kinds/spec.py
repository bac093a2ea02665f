"""What the rules of one kind look like, and the pieces that most kinds share. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, copied, name_of
from cloudwright.model.resources import Resource

Defaults = Callable[[Object], None]
Check = Callable[[Object, Object | None], list[FieldError]]
Problems = Callable[[str], list[str]]
IMMUTABLE = "field is immutable"


def _no_defaults(_obj: Object) -> None:
    """A kind without defaults."""


def _no_keeping(_new: Object, _old: Object) -> None:
    """A kind whose updates are what they say."""


def _no_check(_obj: Object, _old: Object | None) -> list[FieldError]:
    return []


@dataclass(frozen=True, slots=True)
class KindSpec:
    """The rules of one built-in kind, beyond its schema and ``metadata``.

    The object has been checked against the schema: fields have the right types, required ones
    are there, nulls are gone.
    """

    resource: Resource
    defaults: Defaults = _no_defaults
    """Fills in what upstream's defaulting fills in; changes the object."""
    check: Check = _no_check
    """What is wrong with an object (with defaults); the second is the old one of an update."""
    initial_status: Callable[[Object], Object] | None = None
    """The status of a new object, when the kind has one at birth."""
    keep_status: bool = False
    """A creator may set the status (a Node tells of itself)."""
    name_problems: Problems = names.dns_subdomain_problems
    stamp: str = ""
    """The field of a new object's status that says since when it is so."""
    begin: Defaults = _no_defaults
    """What the server writes into a new object, after its defaults."""
    late: bool = False
    """``begin`` is for the server to call, once it knows whose the other fields are: what it writes
    is nobody's.
    """
    keep: Callable[[Object, Object], None] = _no_keeping
    """What an update keeps of the old object, or counts: ``keep(new, old)``."""

    def prepare_create(self, obj: Object, now: datetime) -> None:
        """Fill in defaults and the first status; drop a status that a user may not set."""
        if "status" in self.resource.subresources and not self.keep_status:
            obj.pop("status", None)
        self.defaults(obj)
        if not self.late:
            self.begin(obj)
        if self.initial_status is not None:
            obj["status"] = self.initial_status(obj)
        elif "status" in self.resource.subresources:
            obj.setdefault("status", {})
        if self.stamp:
            obj["status"][self.stamp] = rfc3339(now)

    def prepare_update(self, new: Object, old: Object) -> None:
        """Fill in defaults, and what is kept of the old object."""
        self.defaults(new)
        self.keep(new, old)

    def validate(self, obj: Object, old: Object | None) -> list[FieldError]:
        """Everything that is wrong, by field path, in document order.

        An update of nothing but metadata and status is always fine: an object from before a rule
        was made can still be labelled, reported on and deleted.
        """
        if old is None:
            name = name_of(obj)
            found = wrong("metadata.name", name, self.name_problems(name)) if name else []
            return found + self.check(obj, None)
        if _content(obj) == _content(old):
            return []
        before = old
        if self.defaults is not _no_defaults:
            before = copied(old)
            self.defaults(before)  # it may be older than a default
            if _content(obj) == _content(before):
                return []
        return self.check(obj, before)


def _content(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def wrong(path: str, value: object, problems: Iterable[str]) -> list[FieldError]:
    """One ``Invalid`` for each problem."""
    return [fields.invalid(path, value, problem) for problem in problems]


def members(obj: Mapping[str, Any], name: str) -> list[Any]:
    """The list at ``name``; empty when there is none."""
    return list(obj.get(name) or ())


def mapping(obj: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object at ``name``; empty when there is none."""
    return obj.get(name) or {}


def unchanged(
    new: Mapping[str, Any], old: Mapping[str, Any] | None, path: str, name: str
) -> list[FieldError]:
    """``path.name`` may not change after creation."""
    if old is None or new.get(name) == old.get(name):
        return []
    return [fields.invalid(f"{path}.{name}".lstrip("."), new.get(name), IMMUTABLE)]


def whole(value: object) -> bool:
    """Whether it is a whole number (JSON's true is not one)."""
    return isinstance(value, int) and not isinstance(value, bool)


def not_negative(obj: Mapping[str, Any], path: str, *keys: str) -> list[FieldError]:
    """Each of these numbers, where given, is zero or more."""
    message = "must be greater than or equal to 0"
    return [
        fields.invalid(f"{path}.{key}".lstrip("."), obj[key], message)
        for key in keys
        if whole(obj.get(key)) and obj[key] < 0
    ]


def positive(obj: Mapping[str, Any], path: str, *keys: str) -> list[FieldError]:
    """Each of these numbers, where given, is one or more."""
    return [
        fields.invalid(f"{path}.{key}", obj[key], "must be greater than 0")
        for key in keys
        if whole(obj.get(key)) and obj[key] <= 0
    ]


def one_of(obj: Mapping[str, Any], path: str, key: str, allowed: Iterable[str]) -> list[FieldError]:
    """The text at ``key``, where given, is one of ``allowed``."""
    choices = tuple(allowed)
    value = obj.get(key)
    if value is None or value in choices:
        return []
    return [fields.not_supported(f"{path}.{key}".lstrip("."), value, choices)]


def repeated(entries: Iterable[Mapping[str, Any]], path: str, key: str) -> list[FieldError]:
    """No two entries have the same value at ``key``."""
    seen: set[Any] = set()
    found = []
    for index, entry in enumerate(entries):
        value = entry.get(key)
        if value is not None and value in seen:
            found.append(fields.duplicate(f"{path}[{index}].{key}", value))
        seen.add(value)
    return found
