"""Which kinds a server serves (classic discovery: ``/api``, ``/apis``, their resource lists)."""

from __future__ import annotations

from typing import Any

import orjson

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.client.client import Client
from cloudwright.client.errors import NotFound
from cloudwright.model.conditions import is_true
from cloudwright.model.objects import Object
from cloudwright.model.resources import BUILT_IN, CUSTOM_RESOURCE_DEFINITION, Resource

_LOG = logs.get("operator.discovery")
_NEEDED = {"list", "watch", "delete"}


async def discover(client: Client) -> list[Resource]:
    """Every kind that can be listed, watched and deleted, in its group's preferred version.

    A group that does not answer is left out with a warning, as an aggregated API may be down. An
    API without discovery (our core called in the same process) is known: the built-in kinds and
    what its CustomResourceDefinitions say.

    Raises:
        CloudwrightError: the core group or the list of groups cannot be read.
    """
    try:
        groups = await _read(client, "/apis")
    except NotFound:
        definitions = await client.list(CUSTOM_RESOURCE_DEFINITION)
        known = [one for one in BUILT_IN if set(one.verbs) >= _NEEDED]
        return [*known, *(r for d in definitions.items if (r := defined(d)) is not None)]
    found = _resources("", "v1", await _read(client, "/api/v1"))
    for group in groups.get("groups") or []:
        version = str(group["preferredVersion"]["version"])
        try:
            listed = await _read(client, f"/apis/{group['name']}/{version}")
        except CloudwrightError as error:
            _LOG.warning("group %s/%s does not answer: %s", group["name"], version, error)
            continue
        found += _resources(str(group["name"]), version, listed)
    return found


def defined(definition: Object) -> Resource | None:
    """The kind of an established CustomResourceDefinition, in its stored version."""
    spec = definition["spec"]
    entries = (definition.get("status") or {}).get("conditions")
    served = [version for version in spec["versions"] if version.get("served")]
    if not served or not is_true(entries, "Established"):
        return None
    version = next((v for v in served if v.get("storage")), served[0])
    names = spec["names"]
    return Resource(
        str(spec["group"]),
        str(version["name"]),
        str(names["kind"]),
        str(names["plural"]),
        str(names.get("singular") or str(names["kind"]).lower()),
        spec.get("scope") == "Namespaced",
        subresources=frozenset(version.get("subresources") or {}),
    )


async def _read(client: Client, path: str) -> dict[str, Any]:
    return dict(orjson.loads(await client.raw(path)))


def _resources(group: str, version: str, listed: dict[str, Any]) -> list[Resource]:
    entries = listed.get("resources") or []
    below: dict[str, set[str]] = {}
    for entry in entries:
        name, _, sub = str(entry["name"]).partition("/")
        if sub:
            below.setdefault(name, set()).add(sub)
    return [
        Resource(
            group,
            version,
            str(entry["kind"]),
            str(entry["name"]),
            str(entry.get("singularName") or ""),
            bool(entry["namespaced"]),
            subresources=frozenset(below.get(str(entry["name"]), set())),
        )
        for entry in entries
        if "/" not in entry["name"] and set(entry.get("verbs") or []) >= _NEEDED
    ]
