"""Policy rules: what one allows, which rules cover which, and how they are shown. Pure.

The semantics are RBAC's (``rbac.authorization.k8s.io/v1 PolicyRule``): ``*`` is everything, a
subresource is ``pods/log``, ``*/scale`` is that subresource of everything, a path that ends in
``*`` is a prefix.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudwright.apiserver.identity import Attributes

ALL = "*"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> PolicyRule:
        """The rule in an object."""
        keys = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(tuple(map(str, rule.get(key) or ())) for key in keys))

    def matches(self, verb: str, group: str, full: str, subresource: str) -> bool:
        """Whether it speaks of the verb on the resource; ``names`` may narrow it."""
        if not (ALL in self.verbs or verb in self.verbs):
            return False
        if not (ALL in self.groups or group in self.groups):
            return False
        resources = self.resources
        if ALL in resources or full in resources:
            return True
        return bool(subresource) and f"*/{subresource}" in resources

    def matches_url(self, verb: str, path: str) -> bool:
        """Whether it allows the verb on a path that is no resource."""
        if not (ALL in self.verbs or verb in self.verbs):
            return False
        return any(_url_covers(url, path) for url in self.urls)

    def allows(self, wanted: Attributes) -> bool:
        """Whether it allows that."""
        if wanted.path is not None:
            return self.matches_url(wanted.verb, wanted.path)
        named = not self.names or wanted.name in self.names
        return named and self.matches(
            wanted.verb, wanted.group, wanted.full_resource, wanted.subresource
        )

    def as_object(self) -> dict[str, list[str]]:
        """As the API shows it."""
        found: dict[str, list[str]] = {"verbs": list(self.verbs)}
        for key, values in (
            ("apiGroups", self.groups),
            ("resources", self.resources),
            ("resourceNames", self.names),
            ("nonResourceURLs", self.urls),
        ):
            if values:
                found[key] = list(values)
        return found

    def __str__(self) -> str:
        """As escalation messages show it."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{key}:{quoted(values)}" for key, values in parts if values) + "}"


EVERYTHING = (PolicyRule((ALL,), (ALL,), (ALL,)), PolicyRule((ALL,), urls=(ALL,)))


def rules_of(role: Mapping[str, Any]) -> tuple[PolicyRule, ...]:
    """The rules of a Role or ClusterRole."""
    return tuple(PolicyRule.of(rule) for rule in role.get("rules") or ())


def quoted(values: Iterable[str]) -> str:
    """A list of texts as Go's ``%q`` writes it: ``["a" "b"]``."""
    return "[" + " ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"


def missing(owned: Sequence[PolicyRule], granted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The smallest parts of ``granted`` that no rule of ``owned`` covers."""
    return [
        part
        for rule in granted
        for part in broken_down(rule)
        if not any(_covers(owner, part) for owner in owned)
    ]


def broken_down(rule: PolicyRule) -> list[PolicyRule]:
    """Rules with one verb, one group, one resource and one name, or one verb and one path."""
    named: list[tuple[str, ...]] = [(name,) for name in rule.names]
    parts = [
        PolicyRule((verb,), (group,), (resource,), name)
        for group in rule.groups
        for resource in rule.resources
        for verb in rule.verbs
        for name in named or [()]
    ]
    return parts + [PolicyRule((verb,), urls=(url,)) for url in rule.urls for verb in rule.verbs]


def compacted(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Rules of one resource (and name) put together, verbs side by side; others as they are."""
    kept: list[PolicyRule] = []
    verbs: dict[PolicyRule, list[str]] = {}
    for rule in rules:
        simple = len(rule.groups) == len(rule.resources) == 1
        if simple and len(rule.names) <= 1 and not rule.urls:
            about = PolicyRule((), rule.groups, rule.resources, rule.names)
            verbs.setdefault(about, []).extend(rule.verbs)
        else:
            kept.append(rule)
    kept += [
        PolicyRule(tuple(found), about.groups, about.resources, about.names)
        for about, found in verbs.items()
    ]
    return kept


def _covers(owner: PolicyRule, part: PolicyRule) -> bool:
    """Whether ``owner`` allows all of ``part``, which was broken down."""
    if not _has(owner.verbs, part.verbs) or not _has(owner.groups, part.groups):
        return False
    if owner.names and not (part.names and set(part.names) <= set(owner.names)):
        return False
    return all(_resource_covers(owner.resources, one) for one in part.resources) and all(
        any(_url_covers(url, one) for url in owner.urls) for one in part.urls
    )


def _has(owned: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return ALL in owned or set(wanted) <= set(owned)


def _resource_covers(owned: tuple[str, ...], wanted: str) -> bool:
    if ALL in owned or wanted in owned:
        return True
    _, slash, subresource = wanted.partition("/")
    return bool(slash) and f"*/{subresource}" in owned


def _url_covers(url: str, path: str) -> bool:
    return url == path or (url.endswith(ALL) and path.startswith(url.rstrip(ALL)))
