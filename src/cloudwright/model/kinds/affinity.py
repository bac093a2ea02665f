"""Node selectors with terms, as affinities of pods, volumes and devices have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import members, wrong

_SET, _NONE, _ORDER = ("In", "NotIn"), ("Exists", "DoesNotExist"), ("Gt", "Lt")


def node_selector_errors(selector: Mapping[str, Any], path: str) -> list[FieldError]:
    """What is wrong with a ``NodeSelector``."""
    terms = members(selector, "nodeSelectorTerms")
    if not terms:
        message = "must have at least one node selector term"
        return [fields.required(f"{path}.nodeSelectorTerms", message)]
    found: list[FieldError] = []
    for index, term in enumerate(terms):
        found += node_term_errors(term, f"{path}.nodeSelectorTerms[{index}]")
    return found


def node_term_errors(term: Mapping[str, Any], path: str) -> list[FieldError]:
    """What is wrong with a ``NodeSelectorTerm``."""
    found: list[FieldError] = []
    for index, one in enumerate(members(term, "matchExpressions")):
        found += _requirement_errors(one, f"{path}.matchExpressions[{index}]")
    return found


def _requirement_errors(one: Mapping[str, Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    operator, values = one.get("operator", ""), members(one, "values")
    if operator in _SET:
        if not values:
            message = "must be specified when `operator` is 'In' or 'NotIn'"
            found.append(fields.required(f"{path}.values", message))
    elif operator in _NONE:
        if values:
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(fields.forbidden(f"{path}.values", message))
    elif operator in _ORDER:
        if len(values) != 1:
            message = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            found.append(fields.required(f"{path}.values", message))
    else:
        message = "not a valid selector operator"
        found.append(fields.invalid(f"{path}.operator", operator, message))
    key = str(one.get("key") or "")
    return found + wrong(f"{path}.key", key, names.qualified_name_problems(key))
