"""The objects that every cluster begins with, as somebody would create them; and creating them.

Only for who writes or checks ``seeds.json.gz``: a start plants that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

from cloudwright.apiserver import calls, encoding, writes
from cloudwright.apiserver.admission import priorities
from cloudwright.apiserver.authz import policy, reconcile, upkeep
from cloudwright.apiserver.flow import defaults
from cloudwright.apiserver.identity import ADMINISTRATORS, User
from cloudwright.apiserver.seeds.seed import NOW, UID, Seed
from cloudwright.client.transport import Request
from cloudwright.model import resources
from cloudwright.model.objects import Object, namespace_of, uid_of
from cloudwright.model.resources import Resource

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", "cloudwright-system")
_USER = User("system:apiserver", (ADMINISTRATORS,))


def everything() -> Iterator[tuple[Resource, Object]]:
    """Each object with its resource, in the order in which they are to be made."""
    for name in NAMESPACES:
        yield (
            resources.NAMESPACE,
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name},
            },
        )
    roles = policy.everything() + upkeep.customs({})
    reconcile.complete(roles)
    for role in roles:
        yield upkeep.BY_KIND[role["kind"]], role
    for found in priorities.classes():
        yield resources.PRIORITY_CLASS, found
    for level in defaults.levels():
        yield resources.PRIORITY_LEVEL_CONFIGURATION, level
    for schema in defaults.schemas():
        yield resources.FLOW_SCHEMA, schema


async def make(core: ApiCore) -> list[Seed]:
    """Create everything in the store of ``core`` in the usual way; what came of it, as seeds.

    Raises:
        ApiError: one cannot be created.
    """
    found = []
    for resource, wish in everything():
        path = resource.path(namespace_of(wish))
        query = (("fieldManager", "kube-apiserver"),)
        call = calls.parse(
            Request("POST", path, query, {}, orjson.dumps(wish)), _USER, core.registry
        )
        record = (await writes.create(core, call, wish)).record
        found.append(Seed(record.key, _masked(encoding.decode(record.value), record.value)))
    return found


def packed(seeds: list[Seed]) -> bytes:
    """The content of the file, before it is compressed."""
    return b"".join(b"%b\t%b\n" % (seed.key.encode(), seed.value) for seed in seeds)


def _masked(obj: Object, value: bytes) -> bytes:
    metadata = obj["metadata"]
    value = value.replace(uid_of(obj).encode(), UID)
    value = value.replace(metadata["creationTimestamp"].encode(), NOW)
    revision = b'"resourceVersion":"%b"' % metadata["resourceVersion"].encode()
    return value.replace(revision, b'"resourceVersion":""', 1)
