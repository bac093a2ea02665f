"""Label selectors and labels inside of specs, in upstream's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.model import fields, names, selectors
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import mapping, members, wrong

_SET = ("In", "NotIn")
_EXISTENCE = ("Exists", "DoesNotExist")


def selector_errors(selector: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    """What is wrong with a ``LabelSelector``."""
    if selector is None:
        return []
    found: list[FieldError] = []
    for key, value in mapping(selector, "matchLabels").items():
        found += wrong(f"{path}.matchLabels", key, names.qualified_name_problems(key))
        found += wrong(f"{path}.matchLabels", value, names.label_value_problems(str(value)))
    for index, one in enumerate(members(selector, "matchExpressions")):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = one.get("operator", ""), members(one, "values")
        if operator in _SET:
            if not values:
                message = "must be specified when `operator` is 'In' or 'NotIn'"
                found.append(fields.required(f"{where}.values", message))
        elif operator in _EXISTENCE:
            if values:
                message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                found.append(fields.forbidden(f"{where}.values", message))
        else:
            message = "not a valid selector operator"
            found.append(fields.invalid(f"{where}.operator", operator, message))
        key = str(one.get("key") or "")
        found += wrong(f"{where}.key", key, names.qualified_name_problems(key))
        for at, value in enumerate(values):
            problems = names.label_value_problems(str(value))
            found += wrong(f"{where}.values[{at}]", value, problems)
    return found


def is_empty(selector: Mapping[str, Any]) -> bool:
    """Whether a ``LabelSelector`` selects everything."""
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether labels are selected; a selector that cannot be read has errors of its own."""
    if selector is None:
        return False
    try:
        return selectors.from_label_selector(selector).matches(labels)
    except ValueError:
        return True


def template_matches(
    selector: Mapping[str, Any] | None, template: Mapping[str, Any], path: str
) -> list[FieldError]:
    """The template's labels must be selected."""
    labels = mapping(mapping(template, "metadata"), "labels")
    if matches(selector, labels):
        return []
    message = "`selector` does not match template `labels`"
    shown = labels or None
    return [fields.invalid(f"{path}.metadata.labels", shown, message)]


def label_errors(labels: Mapping[str, Any], path: str) -> list[FieldError]:
    """What is wrong with labels."""
    found: list[FieldError] = []
    for key, value in labels.items():
        found += wrong(path, key, names.qualified_name_problems(key))
        found += wrong(path, value, names.label_value_problems(str(value)))
    return found
