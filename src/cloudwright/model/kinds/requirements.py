"""What a container asks of its node: names and amounts of resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cloudwright.model import fields, names, quantities
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import mapping, wrong

_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})
_HUGE = "hugepages-"
_FULL = re.compile(r".+/.+")


def errors(given: Mapping[str, Any], path: str) -> list[FieldError]:
    """What is wrong with ``resources``."""
    limits, requests = mapping(given, "limits"), mapping(given, "requests")
    found: list[FieldError] = []
    for name, value in limits.items():
        found += _amount_errors(name, value, f"{path}.limits[{name}]")
    for name, value in requests.items():
        found += _amount_errors(name, value, f"{path}.requests[{name}]")
        found += _pair_errors(name, value, limits.get(name), path)
    asked = {*limits, *requests}
    if any(name.startswith(_HUGE) for name in asked) and not asked & {"cpu", "memory"}:
        found.append(fields.forbidden(path, "HugePages require cpu or memory"))
    return found


def _may_be_less(name: str) -> bool:
    """Whether a container may ask for less than its limit."""
    return "/" not in name and not name.startswith(_HUGE)


def _amount_errors(name: str, value: Any, path: str) -> list[FieldError]:
    found = _name_errors(name, path)
    problems = quantities.problems(value)
    if problems:
        return found + wrong(path, value, problems)
    amount = quantities.parse(value)
    if amount < 0:
        message = "must be greater than or equal to 0"
        found.append(fields.invalid(path, value, message))
    if "/" in name and amount % 1:
        found.append(fields.invalid(path, value, "must be an integer"))
    if name.startswith(_HUGE):
        found += _huge_errors(name, amount, value, path)
    return found


def _name_errors(name: str, path: str) -> list[FieldError]:
    problems = names.qualified_name_problems(name)
    if problems:
        return wrong(path, name, problems)
    if name in _STANDARD or name.startswith(_HUGE) or _FULL.fullmatch(name):
        return []
    return [
        fields.invalid(path, name, "must be a standard resource type or fully qualified"),
        fields.invalid(path, name, "must be a standard resource for containers"),
    ]


def _huge_errors(name: str, amount: Decimal, value: Any, path: str) -> list[FieldError]:
    size = name.removeprefix(_HUGE)
    if quantities.problems(size) or not size:
        return []
    step = quantities.parse(size)
    if step > 0 and amount > 0 and amount % step == 0:
        return []
    message = f"{value} is not positive integer multiple of {name}"
    return [fields.invalid(path, value, message)]


def _pair_errors(name: str, request: Any, limit: Any, path: str) -> list[FieldError]:
    if limit is None:
        if _may_be_less(name):
            return []
        message = "Limit must be set for non overcommitable resources"
        return [fields.required(f"{path}.limits", message)]
    if quantities.problems(request) or quantities.problems(limit):
        return []
    asked, most = quantities.parse(request), quantities.parse(limit)
    if asked != most and not _may_be_less(name):
        message = f"must be equal to {name} limit of {limit}"
        return [fields.invalid(f"{path}.requests", request, message)]
    if asked > most:
        message = f"must be less than or equal to {name} limit of {limit}"
        return [fields.invalid(f"{path}.requests", request, message)]
    return []
