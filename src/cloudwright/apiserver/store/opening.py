"""Which store: the embedded one, or an etcd that runs elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloudwright._base.clock import Clock
from cloudwright._base.errors import UsageError
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.store.interface import Store
from cloudwright.apiserver.store.sqlite import open_store

EMBEDDED = "sqlite"


@asynccontextmanager
async def open_any(where: str, embedded: StoreConfig, clock: Clock) -> AsyncIterator[Store]:
    """Open the store that ``where`` names: ``sqlite`` (as ``embedded`` says), or ``etcd://…`` (see
    ``etcd.config.parse``). What etcd needs is imported only then.

    Raises:
        UsageError: there is no such store, or a package for it is missing.
        StoreError: it cannot be opened.
    """
    if where == EMBEDDED:
        async with open_store(embedded, clock) as store:
            yield store
        return
    from cloudwright.apiserver.store.etcd import config as etcd_config

    config = etcd_config.parse(where)
    try:
        from cloudwright.apiserver.store.etcd.store import open_etcd
    except ImportError as error:
        raise UsageError(
            f"a store on etcd needs packages that are not installed: {error}",
            hint="pip install 'cloudwright[etcd]'",
        ) from error
    async with open_etcd(config, clock) as remote:
        yield remote
