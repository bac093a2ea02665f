"""A core on a fresh store, and short words to talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import orjson

from cloudwright._base.clock import Clock, ManualClock
from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.config import CoreConfig, StoreConfig
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.identity import ADMINISTRATORS, AdministratorsOnly, Authorizer, User
from cloudwright.apiserver.local import LocalTransport
from cloudwright.apiserver.store.sqlite import SqliteStore, open_store
from cloudwright.client.transport import Reply, Request

ADMIN = User("admin", (ADMINISTRATORS,))
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


class Api:
    """Talks JSON with a core as one user."""

    def __init__(self, core: ApiCore, user: User = ADMIN) -> None:
        self.core = core
        self.transport = LocalTransport(core, user)

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Reply:
        pairs = tuple((name.rstrip("_"), str(value)) for name, value in query.items())
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return await self.transport.request(Request(method, path, pairs, headers or {}, data))

    async def ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200, **more: Any
    ) -> Any:
        reply = await self.raw(method, path, body, **more)
        decoded = orjson.loads(reply.body)
        assert reply.status == status, decoded
        return decoded

    async def get(self, path: str, *, status: int = 200, **query: Any) -> Any:
        return await self.ask("GET", path, status=status, **query)

    async def create(self, path: str, body: Any, *, status: int = 201, **query: Any) -> Any:
        return await self.ask("POST", path, body, status=status, **query)

    async def update(self, path: str, body: Any, *, status: int = 200, **query: Any) -> Any:
        return await self.ask("PUT", path, body, status=status, **query)

    async def patch(
        self, path: str, body: Any, kind: str = MERGE, *, status: int = 200, **query: Any
    ) -> Any:
        return await self.ask(
            "PATCH", path, body, status=status, headers={"content-type": kind}, **query
        )

    async def delete(self, path: str, body: Any = None, *, status: int = 200, **query: Any) -> Any:
        return await self.ask("DELETE", path, body, status=status, **query)

    @asynccontextmanager
    async def watch(self, path: str, **query: Any) -> AsyncIterator[Lines]:
        pairs = (("watch", "1"), *((name.rstrip("_"), str(v)) for name, v in query.items()))
        async with self.transport.stream(Request("GET", path, pairs)) as (status, chunks):
            assert status == 200, [chunk async for chunk in chunks]
            yield Lines(chunks)


class Lines:
    """Watch events one at a time."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._waiting: list[Any] = []

    async def next(self) -> Any:
        """The next event; fails the test when there is none within seconds."""
        with anyio.fail_after(5):
            while not self._waiting:
                chunk = await anext(self._chunks)
                self._waiting = [orjson.loads(line) for line in chunk.splitlines()]
        return self._waiting.pop(0)

    async def rest(self) -> list[Any]:
        """Every event until the server ends the watch."""
        with anyio.fail_after(5):
            async for chunk in self._chunks:
                self._waiting += [orjson.loads(line) for line in chunk.splitlines()]
        return self._waiting


@asynccontextmanager
async def serving(
    directory: Path,
    *,
    clock: Clock | None = None,
    config: CoreConfig | None = None,
    authorizer: Authorizer | None = None,
    admission: Sequence[Any] = (),
    **store: Any,
) -> AsyncIterator[Api]:
    clock = clock or ManualClock()
    async with opened(directory, clock=clock, **store) as opened_store:
        core = await bootstrap.start(
            opened_store,
            authorizer or AdministratorsOnly(),
            config=config,
            clock=clock,
            admission=admission,
        )
        yield Api(core)


@asynccontextmanager
async def opened(
    directory: Path, *, clock: Clock | None = None, **store: Any
) -> AsyncIterator[SqliteStore]:
    config = StoreConfig(directory / "store.db", **store)
    async with open_store(config, clock or ManualClock()) as opened_store:
        yield opened_store


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "image": "app:1"}], **spec},
    }


def deployment(name: str, replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]},
            },
        },
    }
