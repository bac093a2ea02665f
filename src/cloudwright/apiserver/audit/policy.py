"""An audit policy (``audit.k8s.io/v1 Policy``): the first rule that matches says how much is kept.

Pure. The words and their meaning are upstream's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudwright._base.errors import UsageError

NONE, METADATA, REQUEST, RESPONSE = "None", "Metadata", "Request", "RequestResponse"
LEVELS = (NONE, METADATA, REQUEST, RESPONSE)
RECEIVED, STARTED, COMPLETE, PANIC = (
    "RequestReceived",
    "ResponseStarted",
    "ResponseComplete",
    "Panic",
)
STAGES = (RECEIVED, STARTED, COMPLETE, PANIC)
_READS = frozenset({"get", "list", "watch"})
_RULE_KEYS = frozenset(
    {
        *("level", "users", "userGroups", "verbs", "resources", "namespaces"),
        *("nonResourceURLs", "omitStages", "omitManagedFields"),
    }
)
_TOP_KEYS = frozenset(
    {"apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"}
)


class PolicyProblem(UsageError):
    """The policy cannot be used; the message names the field."""

    default_code = "CW3240"


@dataclass(frozen=True, slots=True)
class About:
    """What a policy looks at: who wants what."""

    user: str
    groups: tuple[str, ...]
    verb: str
    path: str = ""
    resource: bool = False
    group: str = ""
    plural: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """How much is kept of a request, and at which stages nothing is."""

    level: str
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    def keeps(self, stage: str) -> bool:
        """Whether the stage gets an event."""
        return self.level != NONE and stage not in self.omit_stages


@dataclass(frozen=True, slots=True)
class _Resources:
    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]

    def covers(self, about: About) -> bool:
        if about.group != self.group:
            return False
        if not self.resources:
            return True
        if self.names and about.name not in self.names:
            return False
        full = f"{about.plural}/{about.subresource}" if about.subresource else about.plural
        wanted = {full, "*"}
        if about.subresource:
            wanted |= {f"*/{about.subresource}", f"{about.plural}/*"}
        return any(one in wanted for one in self.resources)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    decision: Decision
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[_Resources, ...] = ()
    namespaces: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def matches(self, about: About) -> bool:
        """Whether it is about that."""
        if self.users and about.user not in self.users:
            return False
        if self.groups and not any(group in about.groups for group in self.groups):
            return False
        if self.verbs and about.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return self._matches_resource(about)
        if self.urls:
            return not about.resource and any(_url(spec, about.path) for spec in self.urls)
        return True

    def _matches_resource(self, about: About) -> bool:
        if not about.resource:
            return False
        if self.namespaces and about.namespace not in self.namespaces:
            return False
        return not self.resources or any(one.covers(about) for one in self.resources)

    def may_be_a_read(self) -> bool:
        """Whether a read can match it."""
        return not self.verbs or bool(_READS & set(self.verbs))


class Policy:
    """Rules in order; what matches none is not kept."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    @classmethod
    def of(cls, content: Any) -> Policy:
        """The policy in an object.

        Raises:
            PolicyProblem: it is none.
        """
        if not isinstance(content, dict) or content.get("kind") != "Policy":
            raise PolicyProblem("the audit policy is no object of kind Policy")
        if content.get("apiVersion") != "audit.k8s.io/v1":
            raise PolicyProblem(f'apiVersion: "{content.get("apiVersion")}" is not audit.k8s.io/v1')
        _only(content, _TOP_KEYS, "")
        stages = _stages(content, "omitStages")
        managed = bool(content.get("omitManagedFields"))
        rules = content.get("rules")
        if not isinstance(rules, list) or not rules:
            raise PolicyProblem("rules: at least one is required")
        return cls([_rule(rule, f"rules[{at}]", stages, managed) for at, rule in enumerate(rules)])

    def decide(self, about: About) -> Decision:
        """How much is kept of that request."""
        for rule in self._rules:
            if rule.matches(about):
                return rule.decision
        return _NOTHING

    def keeps_reads(self) -> bool:
        """Whether a successful read may have to be kept: then none may be answered unseen."""
        for rule in self._rules:
            if rule.may_be_a_read():
                if rule.decision.level != NONE:
                    return True
                if not (rule.users or rule.groups or rule.resources or rule.namespaces):
                    return False
        return False


_NOTHING = Decision(NONE)
DEFAULT: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": [RECEIVED],
    "rules": [
        {"level": NONE, "verbs": sorted(_READS)},
        {"level": NONE, "userGroups": ["system:nodes"]},
        {
            "level": NONE,
            "users": [
                *("system:kube-scheduler", "system:apiserver"),
                *("system:cloudwright:operator", "system:cloudwright:mesh"),
            ],
        },
        {
            "level": NONE,
            "resources": [
                {"group": "", "resources": ["events"]},
                {"group": "events.k8s.io", "resources": ["events"]},
                {"group": "coordination.k8s.io", "resources": ["leases"]},
                {"group": "authorization.k8s.io"},
            ],
        },
        {
            "level": METADATA,
            "resources": [
                {"group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"]},
                {"group": "authentication.k8s.io"},
            ],
        },
        {"level": REQUEST, "omitManagedFields": True},
    ],
}
"""What people change, with what they sent, but never a secret's content."""


def _rule(rule: Any, path: str, stages: frozenset[str], managed: bool) -> Rule:
    if not isinstance(rule, dict):
        raise PolicyProblem(f"{path}: must be an object")
    _only(rule, _RULE_KEYS, f"{path}.")
    level = rule.get("level")
    if level not in LEVELS:
        raise PolicyProblem(f"{path}.level: {level!r} is not one of {', '.join(LEVELS)}")
    urls = _texts(rule, "nonResourceURLs", path)
    for url in urls:
        if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
            message = "must begin with '/', and '*' may only stand at its end"
            raise PolicyProblem(f"{path}.nonResourceURLs: {url!r} {message}")
    resources = tuple(
        _resources(entry, f"{path}.resources[{at}]")
        for at, entry in enumerate(rule.get("resources") or ())
    )
    namespaces = _texts(rule, "namespaces", path)
    if urls and (resources or namespaces):
        message = "rules cannot apply to both regular resources and non-resource URLs"
        raise PolicyProblem(f"{path}.nonResourceURLs: {message}")
    own = rule.get("omitManagedFields")
    decision = Decision(
        str(level),
        stages | _stages(rule, f"{path}.omitStages"),
        managed if own is None else bool(own),
    )
    return Rule(
        decision,
        _texts(rule, "users", path),
        _texts(rule, "userGroups", path),
        _texts(rule, "verbs", path),
        resources,
        namespaces,
        urls,
    )


def _resources(entry: Any, path: str) -> _Resources:
    if not isinstance(entry, dict):
        raise PolicyProblem(f"{path}: must be an object")
    _only(entry, frozenset({"group", "resources", "resourceNames"}), f"{path}.")
    found = _texts(entry, "resources", path)
    names = _texts(entry, "resourceNames", path)
    if names and not found:
        raise PolicyProblem(f"{path}.resourceNames: using resourceNames requires resources")
    return _Resources(str(entry.get("group") or ""), found, names)


def _only(given: Mapping[str, Any], known: frozenset[str], path: str) -> None:
    for key in given:
        if key not in known:
            raise PolicyProblem(f"{path}{key}: unknown field")


def _texts(given: Mapping[str, Any], key: str, path: str) -> tuple[str, ...]:
    found = given.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise PolicyProblem(f"{path}.{key}: must be a list of texts")
    return tuple(found)


def _stages(given: Mapping[str, Any], path: str) -> frozenset[str]:
    found = frozenset(_texts(given, "omitStages", path.rpartition(".")[0]))
    wrong = found - set(STAGES)
    if wrong:
        raise PolicyProblem(f"{path}: {min(wrong)!r} is not one of {', '.join(STAGES)}")
    return found


def _url(spec: str, path: str) -> bool:
    if spec in ("*", path):
        return True
    return spec.endswith("*") and path.startswith(spec[:-1])
