"""Objects as ``meta.k8s.io/v1 Table``: the columns that ``kubectl get`` shows.

Cells of built-in kinds come from ``printing``; those of custom kinds from the JSONPaths of their
``additionalPrinterColumns``. Pure: ``now`` is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.apiserver import jsonpath, printing
from cloudwright.model import durations
from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import Resource

_NAME: dict[str, Any] = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": (
        "Name must be unique within a namespace. Is required when creating resources, although "
        "some resources may allow a client to request the generation of an appropriate name "
        "automatically. Name is primarily intended for creation idempotence and configuration "
        "definition. Cannot be updated. More info: "
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
    ),
    "priority": 0,
}
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def table(
    resource: Resource,
    columns: Sequence[Mapping[str, Any]] | None,
    objects: Sequence[Object],
    list_metadata: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """The table of ``objects``, one row each in their order; the caller adds each row's ``object``.

    ``columns`` are a CRD's ``additionalPrinterColumns``; ``None`` means the kind's own columns.
    """
    printer = None if columns is not None else printing.find(resource)
    if printer is not None:
        definitions = [_definition(column) for column in printer.columns]
        first: list[dict[str, Any]] = []
        rows = [
            {"cells": [*([name_of(o)] if printer.named else []), *printer.cells(o, now)]}
            for o in objects
        ]
    else:
        first = [_NAME]
        wanted = list(columns or (_AGE,))
        definitions = [_custom(column) for column in wanted]
        rows = [{"cells": [name_of(o), *_custom_cells(wanted, o, now)]} for o in objects]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(list_metadata),
        "columnDefinitions": [*first, *definitions],
        "rows": rows,
    }


def _definition(column: printing.Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _custom(column: Mapping[str, Any]) -> dict[str, Any]:
    # A date's cell holds the age as text, as kube-apiserver has it.
    return {
        "name": column["name"],
        "type": column["type"],
        "format": column.get("format", ""),
        "description": column.get("description")
        or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}",
        "priority": column.get("priority", 0),
    }


def _custom_cells(columns: Sequence[Mapping[str, Any]], obj: Object, now: datetime) -> list[Any]:
    cells: list[Any] = []
    for column in columns:
        try:
            found = jsonpath.find(str(column["jsonPath"]), obj)
        except jsonpath.JsonPathError:
            found = []
        cells.append(_cell(str(column["type"]), found, now))
    return cells


def _cell(kind: str, found: list[Any], now: datetime) -> Any:
    if not found or found[0] is None:
        return None
    value = found[0]
    if kind == "date":
        return age_of(str(value), now)
    if kind == "integer" and isinstance(value, int | float):
        return int(value)
    if kind in ("number", "integer"):
        return value if isinstance(value, int | float) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if len(found) > 1:
        return " ".join(printing.plain(v) for v in found)
    return printing.plain(value)


def age_of(moment: str, now: datetime) -> str:
    """How long ago ``moment`` was; ``<unknown>`` without one, ``<invalid>`` for other text."""
    if not moment:
        return "<unknown>"
    try:
        return durations.age((now - parse_rfc3339(moment)).total_seconds())
    except ValueError:
        return "<invalid>"
