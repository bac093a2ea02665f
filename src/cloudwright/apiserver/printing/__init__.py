"""What ``kubectl get`` shows of each built-in kind, as kube-apiserver's printers have it.

Columns are data (``columns.json.gz``, written by ``scripts/generate_columns.py``, read when a kind
is first shown); cells are code, one file for each neighbourhood of kinds. Pure.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from cloudwright.apiserver.printing import control, core, networking, ours, workloads
from cloudwright.apiserver.printing.common import Cells, plain
from cloudwright.model.resources import Resource

__all__ = ["Column", "Printer", "find", "plain"]

_CELLS = {**core.CELLS, **workloads.CELLS, **networking.CELLS, **control.CELLS, **ours.CELLS}
_EVENTS = frozenset({("", "Event"), ("events.k8s.io", "Event")})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``priority`` 1: only with ``-o wide``."""

    name: str
    type: str
    format: str
    priority: int
    description: str


@dataclass(frozen=True, slots=True)
class Printer:
    """All columns of a kind and the cells of an object."""

    columns: tuple[Column, ...]
    cells: Cells
    named: bool
    """Whether the first column is the object's name, which ``cells`` leaves out."""


@lru_cache(maxsize=128)
def find(resource: Resource) -> Printer | None:
    """The printer of a built-in kind."""
    key = (resource.group, resource.kind)
    cells = _CELLS.get(key)
    if cells is None:
        return None
    named = key not in _EVENTS and key not in networking.NAMED
    return Printer(_columns(f"{resource.group}/{resource.kind}"), cells, named)


def _columns(key: str) -> tuple[Column, ...]:
    if key in ours.COLUMNS:
        name = _columns("/ConfigMap")[0]
        words = ours.COLUMNS[key].split()
        return (name, *(_own(word) for word in words))
    # Read anew for each kind: tables are asked for seldom, and of few kinds.
    data = (files("cloudwright.apiserver.printing") / "columns.json.gz").read_bytes()
    rows = json.loads(gzip.decompress(data))[key]
    return tuple(Column(*row) for row in rows)


def _own(word: str) -> Column:
    name = word.rstrip("+").replace("_", " ")
    return Column(name, "string", "", int(word.endswith("+")), name)
