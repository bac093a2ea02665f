"""Which nodes a pod may be on: node selector terms and taints. Pure; shared by the scheduler and
the DaemonSet controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def matches_term(term: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """Whether a node fulfils a ``NodeSelectorTerm``; an empty one matches nothing."""
    expressions = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if not expressions and not fields:
        return False
    names = {"metadata.name": name}
    return all(_matches(one, labels) for one in expressions) and all(
        _matches(one, names) for one in fields
    )


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(str(expression.get("key")))
    values = [str(entry) for entry in expression.get("values") or []]
    match expression.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            if value is None or not value.lstrip("+-").isdigit() or not values:
                return False
            bound = int(values[0])
            return int(value) > bound if operator == "Gt" else int(value) < bound
    return False


def tolerates(tolerations: Iterable[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Whether one of the tolerations matches the taint."""
    for toleration in tolerations:
        if toleration.get("effect") not in (None, "", taint.get("effect")):
            continue
        key = toleration.get("key") or ""
        exists = toleration.get("operator") == "Exists"
        if not key:
            if exists:
                return True
            continue
        same_value = (toleration.get("value") or "") == (taint.get("value") or "")
        if key == taint.get("key") and (exists or same_value):
            return True
    return False
