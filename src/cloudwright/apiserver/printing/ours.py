"""What ``kubectl get`` shows of our own kinds. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudwright.apiserver.printing.common import NONE, Cells, age, spec_of, status_of
from cloudwright.model.objects import Object


def _micro_service(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    phase = status.get("phase") or "Pending"
    if obj["metadata"].get("deletionTimestamp"):
        phase = "Deleting"
    image = spec.get("image") or obj["metadata"]["name"]
    return [
        spec.get("version", ""),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        phase,
        status.get("url") or NONE,
        age(obj, now),
        status.get("version") or NONE,
        image,
        status.get("message", ""),
    ]


def _route(obj: Object, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    port = spec.get("port")
    return [
        ",".join(spec.get("hosts") or []) or "*",
        spec.get("pathPrefix") or spec.get("path") or "/",
        f"{spec.get('service', '')}{f':{port}' if port else ''}",
        age(obj, now),
    ]


CELLS: dict[tuple[str, str], Cells] = {
    ("platform.example.com", "MicroService"): _micro_service,
    ("cloudwright.dev", "Route"): _route,
}
COLUMNS = {
    "platform.example.com/MicroService": "Version Ready Status Route Age Serving+ Image+ Message+",
    "cloudwright.dev/Route": "Hosts Path Service Age",
}
"""Columns after ``Name``; ``+``: only with ``-o wide``."""
