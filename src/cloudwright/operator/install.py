"""Installs the definitions of our own kinds on a foreign API server."""

from __future__ import annotations

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import TimedOutError
from cloudwright.client.client import Client
from cloudwright.client.errors import AlreadyExists
from cloudwright.model.conditions import is_true
from cloudwright.model.crds import definition
from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import CUSTOM_RESOURCE_DEFINITION, MICRO_SERVICE, ROUTE

_LOG = logs.get("operator")
_PATIENCE = 30.0


async def install(client: Client) -> None:
    """Create or update them, and wait until they are served.

    Raises:
        CloudwrightError: the server refuses.
        TimedOutError: they are not established in half a minute.
    """
    for resource in (MICRO_SERVICE, ROUTE):
        wish = definition(resource)
        await _put(client, wish)
        with anyio.move_on_after(_PATIENCE):
            await _established(client, name_of(wish))
            continue
        raise TimedOutError(f"{name_of(wish)} is not served yet")


async def _put(client: Client, wish: Object) -> None:
    try:
        await client.create(CUSTOM_RESOURCE_DEFINITION, wish)
        _LOG.info("installed %s", name_of(wish))
    except AlreadyExists:
        patch = {"spec": wish["spec"]}
        await client.patch(CUSTOM_RESOURCE_DEFINITION, name_of(wish), patch)


async def _established(client: Client, name: str) -> None:
    selector = f"metadata.name={name}"
    while True:
        found = await client.list(CUSTOM_RESOURCE_DEFINITION, field_selector=selector)
        if any(_serves(item) for item in found.items):
            return
        events = client.watch(
            CUSTOM_RESOURCE_DEFINITION,
            resource_version=found.resource_version,
            field_selector=selector,
        )
        async for event in events:
            if event.type == "MODIFIED" and _serves(event.object):
                return


def _serves(item: Object) -> bool:
    return is_true((item.get("status") or {}).get("conditions"), "Established")
