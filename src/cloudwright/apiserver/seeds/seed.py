"""Objects in their stored form, and how they get into a store."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from cloudwright._base.clock import rfc3339
from cloudwright.apiserver import encoding
from cloudwright.apiserver.store.interface import Compare, Template, Txn, Write
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

FILE = Path(__file__).with_name("seeds.json.gz")
UID, NOW = b"@uid@", b"@now@"
"""Stand in the file for what each object gets when it is planted."""
_REVISION = b'"resourceVersion":"'


@dataclass(frozen=True, slots=True)
class Seed:
    """One object: its key in the store, and its JSON without revision, time and id."""

    key: str
    value: bytes

    def decoded(self) -> Object:
        """The object; its id and times are no real ones."""
        return encoding.decode(self.value)

    def template(self, uid: str, now: str) -> Template:
        """The object ready to be stored."""
        value = self.value.replace(UID, uid.encode()).replace(NOW, now.encode())
        at = value.index(_REVISION) + len(_REVISION)
        return Template(value[:at], value[at:])


def load() -> list[Seed]:
    """Every seed, in the order in which they are to be made. Read anew at each call."""
    lines = gzip.decompress(FILE.read_bytes()).splitlines()
    pairs = (line.partition(b"\t") for line in lines)
    return [Seed(key.decode(), value) for key, _, value in pairs]


async def plant(core: ApiCore, seeds: Iterable[Seed]) -> None:
    """Store new objects, in few commits. One that somebody else made meanwhile stays as it is.

    Raises:
        StoreError: the store cannot be written.
    """
    now = rfc3339(core.clock.now())
    async with anyio.create_task_group() as tasks:
        for seed in seeds:
            template = seed.template(str(uuid.uuid4()), now)
            txn = Txn((Compare(seed.key, 0),), Write(seed.key, template))
            tasks.start_soon(core.store.commit, txn)
