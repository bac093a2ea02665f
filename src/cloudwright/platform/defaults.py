"""What every new platform has: a storage class that makes volumes on this machine.

Made once; whoever changes or deletes it afterwards has the last word.
"""

from __future__ import annotations

from cloudwright.client.client import Client
from cloudwright.client.errors import AlreadyExists
from cloudwright.model.objects import Object, annotations_of
from cloudwright.model.resources import NAMESPACE, STORAGE_CLASS

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


async def make(client: Client) -> None:
    """Make the defaults unless this platform had them before.

    Raises:
        CloudwrightError: they cannot be made.
    """
    system = await client.get(NAMESPACE, _SYSTEM)
    if _MADE in annotations_of(system):
        return
    try:
        await client.create(STORAGE_CLASS, LOCAL)
    except AlreadyExists:
        pass  # a crash came between the two writes
    patch = {"metadata": {"annotations": {_MADE: "1"}}}
    await client.patch(NAMESPACE, _SYSTEM, patch)
