"""Which FlowSchema a request belongs to, and which flow of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cloudwright.apiserver.identity import Attributes, User
from cloudwright.model.objects import Object, name_of, uid_of

_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Schema:
    """A FlowSchema, ready to be asked."""

    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    rules: tuple[Object, ...]

    def matches(self, user: User, wanted: Attributes) -> bool:
        """Whether the request is of this schema."""
        return any(
            any(_is_subject(one, user) for one in rule.get("subjects") or ())
            and _is_wanted(rule, wanted)
            for rule in self.rules
        )

    def flow(self, user: User, wanted: Attributes) -> str:
        """What tells its flows apart."""
        if self.distinguisher == "ByUser":
            return user.name
        return wanted.namespace if self.distinguisher == "ByNamespace" else ""


def read(objects: Iterable[Object]) -> list[Schema]:
    """The schemas in the order they are tried."""
    found = [_schema(obj) for obj in objects]
    return sorted(found, key=lambda schema: (schema.precedence, schema.name))


def find(schemas: Sequence[Schema], user: User, wanted: Attributes) -> Schema | None:
    """The first schema that matches."""
    return next((schema for schema in schemas if schema.matches(user, wanted)), None)


def _schema(obj: Object) -> Schema:
    spec = obj["spec"]
    return Schema(
        name_of(obj),
        uid_of(obj),
        spec["priorityLevelConfiguration"]["name"],
        spec.get("matchingPrecedence") or 1000,
        (spec.get("distinguisherMethod") or {}).get("type", ""),
        tuple(spec.get("rules") or ()),
    )


def _is_subject(subject: dict[str, Any], user: User) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        name = subject["user"]["name"]
        return name in ("*", user.name)
    if kind == "Group":
        name = subject["group"]["name"]
        return name == "*" or name in user.groups
    account = subject["serviceAccount"]
    if account["name"] == "*":
        return user.name.startswith(f"{_ACCOUNT}{account['namespace']}:")
    return user.name == f"{_ACCOUNT}{account['namespace']}:{account['name']}"


def _is_wanted(rule: Object, wanted: Attributes) -> bool:
    if wanted.path is not None:
        return any(
            _listed(one["verbs"], wanted.verb) and _is_url(one["nonResourceURLs"], wanted.path)
            for one in rule.get("nonResourceRules") or ()
        )
    return any(_is_resource(one, wanted) for one in rule.get("resourceRules") or ())


def _is_resource(rule: Object, wanted: Attributes) -> bool:
    if not (
        _listed(rule["verbs"], wanted.verb)
        and _listed(rule["apiGroups"], wanted.group)
        and _listed(rule["resources"], wanted.full_resource)
    ):
        return False
    if not wanted.namespace:
        return bool(rule.get("clusterScope"))
    return _listed(rule.get("namespaces") or (), wanted.namespace)


def _listed(values: Sequence[str], value: str) -> bool:
    return "*" in values or value in values


def _is_url(urls: Sequence[str], path: str) -> bool:
    return any(
        url in ("*", path) or (url.endswith("/*") and path.startswith(url[:-1])) for url in urls
    )
