"""What every new platform has: a class for volumes of this machine, and one for its gateway.

Made once; whoever changes or deletes it afterwards has the last word.
"""

from __future__ import annotations

from cloudwright.client.client import Client
from cloudwright.client.errors import AlreadyExists
from cloudwright.model.objects import Object, annotations_of
from cloudwright.model.resources import (
    CUSTOM_RESOURCE_DEFINITION,
    INGRESS_CLASS,
    NAMESPACE,
    STORAGE_CLASS,
)

_MADE = "cloudwright.dev/defaults-made"
_SYSTEM = "cloudwright-system"
LOCAL: Object = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "local",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "cloudwright.dev/local",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}

GATEWAY: Object = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {
        "name": "cloudwright",
        "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"},
    },
    "spec": {"controller": "cloudwright.dev/gateway"},
}


async def all_of(client: Client, channel: str) -> None:
    """The defaults, and the Gateway API when a ``channel`` of it was asked for.

    Raises:
        CloudwrightError: they cannot be made.
    """
    await make(client)
    if channel:
        await gateway_api(client)


async def make(client: Client) -> None:
    """Make the defaults unless this platform had them before.

    Raises:
        CloudwrightError: they cannot be made.
    """
    system = await client.get(NAMESPACE, _SYSTEM)
    if _MADE in annotations_of(system):
        return
    for resource, wish in ((STORAGE_CLASS, LOCAL), (INGRESS_CLASS, GATEWAY)):
        try:
            await client.create(resource, wish)
        except AlreadyExists:
            continue  # a crash came between the writes
    patch = {"metadata": {"annotations": {_MADE: "1"}}}
    await client.patch(NAMESPACE, _SYSTEM, patch)


async def gateway_api(client: Client) -> None:
    """Make the definitions of the Gateway API that are missing; those that are there stay as they
    are, so that somebody may bring newer ones.

    Raises:
        CloudwrightError: one cannot be made.
    """
    from cloudwright.model import gateway

    for definition in gateway.definitions():
        try:
            await client.create(CUSTOM_RESOURCE_DEFINITION, definition)
        except AlreadyExists:
            continue
