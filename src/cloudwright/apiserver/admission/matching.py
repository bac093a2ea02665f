"""Whether a rule of ``admissionregistration.k8s.io/v1`` is about a review. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cloudwright.apiserver.admission.review import Review
from cloudwright.model import selectors
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

Labels = Mapping[str, str]
Siblings = Callable[[Resource], Iterable[Resource]]
"""The other served versions of the same objects."""

REGISTRATION = "admissionregistration.k8s.io"
_CONFIGURATIONS = frozenset(
    {
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    }
)


def exempt(review: Review) -> bool:
    """Whether no webhook and no policy may see it: a bad one could not be removed again."""
    resource = review.resource
    return resource.group == REGISTRATION and resource.plural in _CONFIGURATIONS


@dataclass(frozen=True, slots=True)
class Rule:
    """``RuleWithOperations`` (with ``resourceNames`` where it is a ``NamedRule…``)."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: frozenset[str]
    scope: str
    names: frozenset[str]

    def matches(self, resource: Resource, review: Review) -> bool:
        """Whether the rule names this operation on this resource."""
        return (
            ("*" in self.operations or review.operation in self.operations)
            and ("*" in self.groups or resource.group in self.groups)
            and ("*" in self.versions or resource.version in self.versions)
            and self._scope(resource)
            and self._resource(resource.plural, review.subresource)
            and (not self.names or review.name in self.names)
        )

    def _scope(self, resource: Resource) -> bool:
        if self.scope == "*":
            return True
        # A Namespace counts as cluster-scoped here, although it is about one.
        return (self.scope == "Namespaced") == resource.namespaced

    def _resource(self, plural: str, subresource: str) -> bool:
        wanted = self.resources
        if subresource:
            return not wanted.isdisjoint(
                {"*/*", f"{plural}/*", f"*/{subresource}", f"{plural}/{subresource}"}
            )
        return not wanted.isdisjoint({"*", "*/*", plural})


def rule_of(raw: Mapping[str, Any]) -> Rule:
    """A rule as it is written."""
    return Rule(
        frozenset(raw.get("operations") or ()),
        frozenset(raw.get("apiGroups") or ()),
        frozenset(raw.get("apiVersions") or ()),
        frozenset(raw.get("resources") or ()),
        str(raw.get("scope") or "*"),
        frozenset(raw.get("resourceNames") or ()),
    )


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a webhook or policy says of the requests it is about (``MatchResources``)."""

    rules: tuple[Rule, ...]
    excluded: tuple[Rule, ...]
    namespaces: selectors.LabelSelector | None
    """``None``: any namespace."""
    objects: selectors.LabelSelector | None
    exact: bool
    """``matchPolicy: Exact``."""

    def target(self, review: Review, siblings: Siblings) -> Resource | None:
        """The version in which the rule wants to see the objects; ``None``: not its business."""
        found = _first(self.rules, review.resource, review)
        if found is None and not self.exact:
            for other in siblings(review.resource):
                found = _first(self.rules, other, review)
                if found is not None:
                    break
        if found is None or _first(self.excluded, found, review) is not None:
            return None
        return found

    def selects(self, review: Review, namespace_labels: Labels | None) -> bool:
        """Whether the selectors match; ``namespace_labels`` are of the request's namespace."""
        if self.namespaces is not None and not self._namespace(review, namespace_labels):
            return False
        if self.objects is None:
            return True
        return any(
            obj is not None and self.objects.matches(labels_of(obj))
            for obj in (review.obj, review.old)
        )

    def _namespace(self, review: Review, labels: Labels | None) -> bool:
        assert self.namespaces is not None
        if review.resource.plural == "namespaces" and not review.resource.group:
            shown = review.obj if review.obj is not None else review.old
            return self.namespaces.matches(labels_of(shown or {}))
        if not review.resource.namespaced:
            return True
        return self.namespaces.matches(labels or {})


def constraints_of(raw: Mapping[str, Any], *, rules: str = "rules") -> Constraints:
    """The constraints of a webhook, or of a policy's ``matchConstraints``."""
    return Constraints(
        tuple(rule_of(rule) for rule in raw.get(rules) or ()),
        tuple(rule_of(rule) for rule in raw.get("excludeResourceRules") or ()),
        _selector(raw.get("namespaceSelector")),
        _selector(raw.get("objectSelector")),
        raw.get("matchPolicy") == "Exact",
    )


def labels_of(obj: Object) -> Labels:
    """The labels of an object."""
    return (obj.get("metadata") or {}).get("labels") or {}


def _first(rules: Iterable[Rule], resource: Resource, review: Review) -> Resource | None:
    return resource if any(rule.matches(resource, review) for rule in rules) else None


def _selector(raw: Mapping[str, Any] | None) -> selectors.LabelSelector | None:
    return selectors.from_label_selector(dict(raw)) if raw else None
