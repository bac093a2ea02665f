"""Roles and bindings, arranged so that a decision takes microseconds. Pure.

For each user and namespace the rules that apply are collected once, and for each (verb, group,
resource) it is kept whether all names, some or none are allowed. Any change forgets all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudwright.apiserver.authz.rules import PolicyRule, rules_of
from cloudwright.apiserver.identity import Attributes, User, Verdict

GROUP = "rbac.authorization.k8s.io"
ACCOUNT = "system:serviceaccount:"
_GRANTS_MAX = 4096
_ANSWERS_MAX = 1024
Subject = tuple[str, str]
"""``("User", name)`` or ``("Group", name)``; a service account is a user."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A RoleBinding, or a ClusterRoleBinding (without a namespace)."""

    namespace: str
    name: str
    role_kind: str
    role: str
    subjects: tuple[tuple[Subject, str], ...]
    """Each with how it is described."""

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Binding:
        """The binding in an object."""
        metadata, reference = obj["metadata"], obj.get("roleRef") or {}
        namespace = str(metadata.get("namespace") or "")
        return cls(
            namespace,
            str(metadata["name"]),
            str(reference.get("kind") or ""),
            str(reference.get("name") or ""),
            tuple(_subjects(obj.get("subjects") or (), namespace)),
        )

    def describe(self, subject: str) -> str:
        """What authorization reasons call it."""
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        name = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f'{kind} "{name}" of {self.role_kind} "{self.role}" to {subject}'


def _subjects(entries: Any, namespace: str) -> Iterator[tuple[Subject, str]]:
    for entry in entries:
        kind, name = str(entry.get("kind") or ""), str(entry.get("name") or "")
        if kind == "ServiceAccount":
            space = str(entry.get("namespace") or namespace)
            if space:
                yield ("User", f"{ACCOUNT}{space}:{name}"), f'ServiceAccount "{name}/{space}"'
        elif kind in ("User", "Group"):
            yield (kind, name), f'{kind} "{name}"'


@dataclass(slots=True)
class _Answer:
    """What is known of one (verb, group, resource): who allows every name, who some."""

    every: str | None = None
    some: dict[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str | None:
        """The description of the binding that allows it."""
        return self.every if self.every is not None else self.some.get(name)


@dataclass(slots=True)
class _Grants:
    """The rules that apply to one user in one namespace, and what was derived of them."""

    rules: list[tuple[PolicyRule, str]]
    errors: list[str]
    answers: dict[tuple[str, str, str], _Answer] = field(default_factory=dict)


class Index:
    """Every role and binding of the cluster."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], tuple[PolicyRule, ...]] = {}
        self._bindings: dict[str, Binding] = {}
        self._by_subject: dict[Subject, dict[str, dict[str, str]]] = {}
        self._grants: dict[tuple[str, tuple[str, ...], str], _Grants] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def put(self, key: str, obj: Mapping[str, Any]) -> None:
        """Add or replace the role or binding under the store key ``key``."""
        self._grants.clear()
        metadata = obj["metadata"]
        if "roleRef" in obj:
            self._unbind(key)
            self._bind(key, Binding.of(obj))
        else:
            self._roles[str(metadata.get("namespace") or ""), str(metadata["name"])] = rules_of(obj)

    def drop(self, key: str) -> None:
        """Remove what is under ``key`` (``/GROUP/PLURAL/NAMESPACE/NAME``)."""
        self._grants.clear()
        _, _, plural, namespace, name = key.split("/", 4)
        if plural in ("roles", "clusterroles"):
            self._roles.pop((namespace, name), None)
        else:
            self._unbind(key)

    def _bind(self, key: str, binding: Binding) -> None:
        self._bindings[key] = binding
        for subject, description in binding.subjects:
            spaces = self._by_subject.setdefault(subject, {})
            spaces.setdefault(binding.namespace, {}).setdefault(key, description)

    def _unbind(self, key: str) -> None:
        binding = self._bindings.pop(key, None)
        for subject, _ in binding.subjects if binding else ():
            spaces = self._by_subject.get(subject, {})
            found = spaces.get(binding.namespace, {}) if binding else {}
            found.pop(key, None)
            if not found and binding:
                spaces.pop(binding.namespace, None)
            if not spaces:
                self._by_subject.pop(subject, None)

    def decide(self, user: User, wanted: Attributes) -> Verdict:
        """Whether a rule allows it; the reason names the binding, or what could not be read."""
        grants = self._of(user, wanted.namespace)
        if wanted.path is not None:
            found = next(
                (by for rule, by in grants.rules if rule.matches_url(wanted.verb, wanted.path)),
                None,
            )
        else:
            found = self._answer(grants, wanted).of(wanted.name)
        if found is not None:
            return Verdict(True, f"RBAC: allowed by {found}")
        return Verdict(False, f"RBAC: {_aggregate(grants.errors)}" if grants.errors else "")

    def rights(self, user: User, namespace: str) -> tuple[tuple[PolicyRule, ...], str]:
        """``(rules, what went wrong)`` of a user in a namespace."""
        grants = self._of(user, namespace)
        return tuple(rule for rule, _ in grants.rules), _aggregate(grants.errors)

    def role(self, kind: str, name: str, namespace: str) -> tuple[PolicyRule, ...] | None:
        """The rules of a role that a binding in ``namespace`` names."""
        if kind not in ("Role", "ClusterRole"):
            return None
        return self._roles.get((namespace if kind == "Role" else "", name))

    def _of(self, user: User, namespace: str) -> _Grants:
        key = (user.name, user.groups, namespace)
        found = self._grants.get(key)
        if found is None:
            if len(self._grants) >= _GRANTS_MAX:
                self._grants.clear()
            found = self._grants[key] = self._collect(user, namespace)
        return found

    def _collect(self, user: User, namespace: str) -> _Grants:
        grants = _Grants([], [])
        subjects = [("User", user.name), *(("Group", group) for group in user.groups)]
        for space in ("", namespace) if namespace else ("",):
            bound: dict[str, str] = {}
            for subject in subjects:
                for key, description in self._by_subject.get(subject, {}).get(space, {}).items():
                    bound.setdefault(key, description)
            for key in sorted(bound):
                self._add(grants, self._bindings[key], bound[key])
        return grants

    def _add(self, grants: _Grants, binding: Binding, subject: str) -> None:
        rules = self.role(binding.role_kind, binding.role, binding.namespace)
        if rules is None:
            what = f"{binding.role_kind.lower()}.{GROUP}"
            grants.errors.append(f'{what} "{binding.role}" not found')
            return
        by = binding.describe(subject)
        grants.rules += [(rule, by) for rule in rules]

    @staticmethod
    def _answer(grants: _Grants, wanted: Attributes) -> _Answer:
        full = wanted.full_resource
        key = (wanted.verb, wanted.group, full)
        found = grants.answers.get(key)
        if found is not None:
            return found
        found = _Answer()
        for rule, by in grants.rules:
            if not rule.matches(wanted.verb, wanted.group, full, wanted.subresource):
                continue
            if not rule.names:
                found.every = by
                break
            for name in rule.names:
                found.some.setdefault(name, by)
        if len(grants.answers) >= _ANSWERS_MAX:
            grants.answers.clear()
        grants.answers[key] = found
        return found


def _aggregate(errors: list[str]) -> str:
    """Several errors as Go's aggregate writes them."""
    unique = list(dict.fromkeys(errors))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]" if unique else ""
