"""What foreign API servers serve, in the forms of our discovery and OpenAPI documents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.aggregation.aggregator import Foreign

_COPIED = ("shortNames", "categories")


def resources(foreign: Foreign) -> list[dict[str, Any]]:
    """The resources of a group and version, as aggregated discovery has them."""
    found: dict[str, dict[str, Any]] = {}
    for one in foreign.found.resources:
        name, _, sub = str(one.get("name") or "").partition("/")
        kind = {
            "group": str(one.get("group") or foreign.group),
            "version": str(one.get("version") or foreign.version),
            "kind": str(one.get("kind") or ""),
        }
        shown: dict[str, Any] = {"responseKind": kind, "verbs": list(one.get("verbs") or ())}
        scope = "Namespaced" if one.get("namespaced") else "Cluster"
        entry = found.setdefault(name, {"resource": name, "scope": scope})
        if sub:
            entry.setdefault("subresources", []).append({"subresource": sub, **shown})
            continue
        entry |= {**shown, "singularResource": str(one.get("singularName") or "")}
        entry |= {key: list(one[key]) for key in _COPIED if one.get(key)}
    return list(found.values())


def aggregated(foreign: Foreign) -> dict[str, Any]:
    """One version of a group in aggregated discovery; what is gone stays, as stale."""
    freshness = "Current" if foreign.found.available else "Stale"
    return {
        "version": foreign.version,
        "resources": resources(foreign),
        "freshness": freshness,
    }


def priority(foreign: Foreign) -> tuple[int, int]:
    """``(groupPriorityMinimum, versionPriority)``."""
    spec = foreign.obj["spec"]
    return int(spec.get("groupPriorityMinimum") or 0), int(spec.get("versionPriority") or 0)


def merged_v2(document: Object, foreign: Iterable[Foreign]) -> Object:
    """Our Swagger document with the paths and definitions of the foreign ones.

    A definition that both have is ours; foreign servers share the types of ``meta/v1`` with us.
    """
    paths, definitions = dict(document["paths"]), dict(document["definitions"])
    for one in foreign:
        mine = _under(one.found.v2.get("paths") or {}, one)
        paths |= dict(mine)
        for name, schema in (one.found.v2.get("definitions") or {}).items():
            definitions.setdefault(name, schema)
    return {**document, "paths": paths, "definitions": definitions}


def _under(paths: Mapping[str, Any], foreign: Foreign) -> Iterator[tuple[str, Any]]:
    root = f"/apis/{foreign.group}/{foreign.version}/"
    return ((path, item) for path, item in paths.items() if path.startswith(root))
