"""Small words that cells of many kinds are made of. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model import durations
from cloudwright.model.objects import Object

Cells = Callable[[Object, datetime], list[Any]]
"""The cells of an object, without its name."""
NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"


def plain(value: Any) -> str:
    """A value as text: strings as they are, everything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def since(moment: str | None, now: datetime) -> str:
    """The age in kubectl's short form, ``<unknown>`` when there is no moment."""
    if not moment:
        return "<unknown>"
    return durations.age((now - parse_rfc3339(moment)).total_seconds())


def age(obj: Object, now: datetime) -> str:
    """The object's age."""
    return since(obj.get("metadata", {}).get("creationTimestamp"), now)


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A ``LabelSelector`` or a plain map as text; ``<none>`` when it is empty."""
    selector = selector or {}
    if "matchLabels" in selector or "matchExpressions" in selector:
        parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
        for one in selector.get("matchExpressions") or []:
            values = ",".join(one.get("values") or [])
            parts.append(
                {
                    "In": f"{one['key']} in ({values})",
                    "NotIn": f"{one['key']} notin ({values})",
                    "Exists": one["key"],
                    "DoesNotExist": f"!{one['key']}",
                }.get(one.get("operator", ""), one["key"])
            )
    else:
        parts = [f"{k}={v}" for k, v in sorted(selector.items())]
    return ",".join(parts) or NONE


def spec_of(obj: Object) -> dict[str, Any]:
    """``spec``, never ``None``."""
    return obj.get("spec") or {}


def status_of(obj: Object) -> dict[str, Any]:
    """``status``, never ``None``."""
    return obj.get("status") or {}


def deleting(obj: Object) -> bool:
    """Whether the object is being deleted."""
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def condition(obj: Object, kind: str) -> str | None:
    """The status of a condition, if it is there."""
    for one in status_of(obj).get("conditions") or []:
        if one.get("type") == kind:
            return str(one.get("status"))
    return None


def containers_of(template: Mapping[str, Any] | None) -> tuple[str, str]:
    """Names and images of a template's containers."""
    containers = ((template or {}).get("spec") or {}).get("containers") or []
    names = ",".join(str(c.get("name", "")) for c in containers)
    return names, ",".join(str(c.get("image", "")) for c in containers)


def few(items: Sequence[str], shown: int = 3) -> str:
    """The first of many, and how many more there are."""
    if len(items) > shown:
        return f"{','.join(items[:shown])} + {len(items) - shown} more..."
    return ",".join(items) or NONE


def truth(value: bool | None) -> str:
    """A boolean as Go's printers write it."""
    return UNSET if value is None else str(bool(value))
