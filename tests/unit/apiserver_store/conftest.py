from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cloudwright._base.clock import ManualClock
from cloudwright.apiserver.store.interface import Store
from tests import etcd
from tests.unit.apiserver_store import kit

_numbers = itertools.count()


class Opener:
    """Opens the same store again and again, with settings that every kind has."""

    def __init__(self, directory: Path, endpoint: str | None) -> None:
        self.directory = directory
        self.endpoint = endpoint
        self.prefix = f"/test/{next(_numbers)}"
        self.clock = ManualClock()

    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[Any]:
        if self.endpoint is None:
            return kit.opened(self.directory, clock=self.clock, **settings)
        return self._etcd(settings)

    @asynccontextmanager
    async def _etcd(self, settings: dict[str, Any]) -> AsyncIterator[Store]:
        from cloudwright.apiserver.store.etcd.config import EtcdConfig
        from cloudwright.apiserver.store.etcd.store import open_etcd

        assert self.endpoint is not None
        more = {"request_seconds": 30.0, "start_seconds": 60.0, **settings}  # slow machines
        config = EtcdConfig((self.endpoint,), prefix=self.prefix, **more)
        async with open_etcd(config, self.clock) as store:
            yield store


@pytest.fixture(scope="package")
async def one_loop(anyio_backend: str) -> AsyncIterator[None]:
    """Keeps one event loop for all tests, as a process has: grpc's poller outlives each of them."""
    yield  # noqa: PT022 - the loop lives as long as this generator


@pytest.fixture(scope="session")
def one_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[etcd.Etcd]:
    with etcd.running(tmp_path_factory.mktemp("etcd")) as running:
        yield running


@pytest.fixture(params=["sqlite", "etcd"])
def a_store(request: pytest.FixtureRequest, tmp_path: Path, one_loop: None) -> Opener:
    if request.param == "sqlite":
        return Opener(tmp_path, None)
    return Opener(tmp_path, request.getfixturevalue("one_etcd").endpoint)
