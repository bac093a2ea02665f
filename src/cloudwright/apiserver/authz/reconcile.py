"""What a role or binding must become so that it grants at least what is expected. Pure.

As ``kubectl auth reconcile`` and kube-apiserver at its start: missing rules, subjects, labels and
annotations are added, what an administrator added stays, and an object with the annotation
``rbac.authorization.kubernetes.io/autoupdate: "false"`` is left alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from cloudwright.apiserver.authz.policy import AUTOUPDATE
from cloudwright.apiserver.authz.rules import PolicyRule, missing, rules_of
from cloudwright.model import selectors
from cloudwright.model.objects import Object, annotations_of, labels_of, name_of

Rules = list[dict[str, Any]]


def reconciled(existing: Object, expected: Object) -> Object | None:
    """The object to write in place of ``existing``, or ``None`` when it will do."""
    if annotations_of(existing).get(AUTOUPDATE) == "false":
        return None
    if _will_do(existing, expected):
        return None
    new = copy.deepcopy(existing)
    for part in ("labels", "annotations"):
        merged = {**(expected["metadata"].get(part) or {}), **(new["metadata"].get(part) or {})}
        if merged:
            new["metadata"][part] = merged
    if "roleRef" in expected:
        _add_subjects(new, expected)
    else:
        _add_rules(new, expected)
    return None if new == existing else new


def _will_do(existing: Object, expected: Object) -> bool:
    """The quick yes: it is just as expected, perhaps with more labels."""
    parts = ("rules", "subjects", "aggregationRule")
    if any((existing.get(part) or None) != (expected.get(part) or None) for part in parts):
        return False
    return all(
        (expected["metadata"].get(part) or {}).items()
        <= (existing["metadata"].get(part) or {}).items()
        for part in ("labels", "annotations")
    )


def rebound(existing: Object, expected: Object) -> bool:
    """Whether it is a binding to another role, which only a new object can change."""
    if "roleRef" not in expected or annotations_of(existing).get(AUTOUPDATE) == "false":
        return False
    return bool(existing.get("roleRef") != expected["roleRef"])


def _add_subjects(new: Object, expected: Object) -> None:
    held = new.get("subjects") or []
    lacking = [subject for subject in expected.get("subjects") or () if subject not in held]
    if lacking:
        new["subjects"] = [*held, *lacking]


def _add_rules(new: Object, expected: Object) -> None:
    lacking = missing(rules_of(new), rules_of(expected))
    if lacking:
        new["rules"] = [*(new.get("rules") or ()), *(rule.as_object() for rule in lacking)]
    wanted = (expected.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
    if not wanted:
        new.pop("aggregationRule", None)
        return
    held = (new.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
    more = [selector for selector in wanted if selector not in held]
    if more:
        new["aggregationRule"] = {"clusterRoleSelectors": [*held, *more]}


def aggregated(roles: Mapping[str, Object]) -> dict[str, Rules]:
    """The rules that aggregating ClusterRoles must have and do not, by name.

    ``roles`` has every ClusterRole by name. Roles that gather other gathering roles need another
    round once the first was written.
    """
    found: dict[str, Rules] = {}
    for name, role in roles.items():
        chosen = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
        if not chosen:
            continue
        gathered = _gathered(name, chosen, roles)
        if gathered == (role.get("rules") or []):
            continue
        if list(rules_of({"rules": gathered})) != list(rules_of(role)):
            found[name] = gathered
    return found


def complete(objects: Iterable[Object]) -> None:
    """Fill the rules of aggregating ClusterRoles in, in place, before they are first written."""
    roles = {name_of(obj): obj for obj in objects if obj["kind"] == "ClusterRole"}
    while lacking := aggregated(roles):
        for name, rules in lacking.items():
            roles[name]["rules"] = copy.deepcopy(rules)


def _gathered(name: str, chosen: Iterable[Any], roles: Mapping[str, Object]) -> Rules:
    found: dict[PolicyRule, dict[str, Any]] = {}
    for entry in chosen:
        selector = selectors.from_label_selector(entry)
        for other in sorted(roles):
            if other != name and selector.matches(labels_of(roles[other])):
                for rule in roles[other].get("rules") or ():
                    found.setdefault(PolicyRule.of(rule), rule)
    return list(found.values())
