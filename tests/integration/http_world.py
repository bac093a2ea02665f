"""A real API server in the test's own event loop, and clients of it in threads."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from cloudwright._base.clock import SystemClock
from cloudwright._base.paths import Paths
from cloudwright.apiserver import bootstrap, identities, tls
from cloudwright.apiserver.authn import TokenFile
from cloudwright.apiserver.authz import ChainAuthorizer
from cloudwright.apiserver.config import CoreConfig, StoreConfig
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.server import FaceConfig, Serving, serve
from cloudwright.apiserver.store.sqlite import open_store
from cloudwright.model.streams import PodStreams

TIMEOUT = 60.0
ROOT_CA = "kube-root-ca.crt"
"""A ConfigMap that the server itself puts into every namespace."""
MAPS = "/api/v1/namespaces/default/configmaps"


@dataclass
class Answered:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class World:
    """One server; ``ask`` speaks as an administrator unless told otherwise."""

    def __init__(self, serving: Serving, core: ApiCore, pki: tls.Pki, tokens: TokenFile) -> None:
        self.serving = serving
        self.core = core
        self.pki = pki
        self.tokens = tokens
        self.admin = self.context(pki.client("admin", "admin", ["system:masters"]))

    def context(self, pair: tls.Pair | None, *, alpn: str = "http/1.1") -> ssl.SSLContext:
        """TLS that trusts the server and shows the pair's certificate."""
        made = ssl.create_default_context(cadata=self.pki.ca.certificate_pem.decode())
        made.set_alpn_protocols([alpn])
        if pair is not None:
            made.load_cert_chain(pair.certificate_file, pair.key_file)
        return made

    async def ask(
        self, method: str, path: str, body: Any = None, *,
        context: ssl.SSLContext | None = None, **headers: str,
    ) -> Answered:  # fmt: skip
        """One request on a connection of its own."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            sent.setdefault("content-type", "application/json")
        return await to_thread.run_sync(self._ask, method, path, data, sent, context or self.admin)

    def _ask(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str],
        context: ssl.SSLContext,
    ) -> Answered:  # fmt: skip
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.serving.port, timeout=TIMEOUT, context=context
        )
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            lower = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, lower, answer.read())
        finally:
            connection.close()

    async def create(self, name: str, **data: str) -> Any:
        """A new ConfigMap."""
        answer = await self.ask("POST", MAPS, {"metadata": {"name": name}, "data": data})
        assert answer.status == 201, answer.body
        return answer.json

    async def change(self, name: str, **data: str) -> Any:
        """Other data for a ConfigMap."""
        body = {"metadata": {"name": name}, "data": data}
        answer = await self.ask("PUT", f"{MAPS}/{name}", body)
        assert answer.status == 200, answer.body
        return answer.json

    async def metric(self, name: str, *having: str) -> float:
        """The sum of a metric's samples that have these texts."""
        lines = (await self.ask("GET", "/metrics")).body.decode().splitlines()
        found = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return sum(
            float(line.rpartition(" ")[2]) for line in found if all(text in line for text in having)
        )

    async def until_metric(self, value: float, name: str, *having: str) -> None:
        """Wait until the metric has the value."""
        with anyio.fail_after(TIMEOUT):
            while await self.metric(name, *having) != value:
                await anyio.sleep(0.02)

    @contextmanager
    def raw(self, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
        """A connection for bytes."""
        plain = socket.create_connection(("127.0.0.1", self.serving.port), timeout=TIMEOUT)
        with (context or self.admin).wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            yield secure

    @asynccontextmanager
    async def watch(
        self, path: str, *, buffer: int = 0, context: ssl.SSLContext | None = None
    ) -> AsyncIterator[Lines]:
        """An open watch; ``buffer``: bytes that the socket may hold unread."""
        opened = await to_thread.run_sync(self._open, path, buffer, context or self.admin)
        try:
            yield opened
        finally:
            opened.close()

    def _open(self, path: str, buffer: int, context: ssl.SSLContext) -> Lines:
        plain = socket.socket()
        if buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        plain.settimeout(TIMEOUT)
        plain.connect(("127.0.0.1", self.serving.port))
        secure = context.wrap_socket(plain, server_hostname="127.0.0.1")
        head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"
        secure.sendall(head.encode())
        answer = http.client.HTTPResponse(secure)
        answer.begin()
        return Lines(secure, answer)


def _is_root_ca(event: Any) -> bool:
    return event["object"].get("metadata", {}).get("name") == ROOT_CA


class Lines:
    """The lines of a streamed answer."""

    def __init__(self, secure: ssl.SSLSocket, answer: http.client.HTTPResponse) -> None:
        self.answer = answer
        self._secure = secure

    async def next(self) -> Any:
        """The next event; ``None`` at the orderly end."""
        while line := await to_thread.run_sync(self.answer.readline):
            event = json.loads(line)
            if not _is_root_ca(event):
                return event
        return None

    async def rest(self) -> list[Any]:
        """Every further event, up to the orderly end."""
        text = await to_thread.run_sync(self.answer.read)
        events = [json.loads(line) for line in text.splitlines()]
        return [event for event in events if not _is_root_ca(event)]

    def close(self) -> None:
        self.answer.close()
        self._secure.close()


@asynccontextmanager
async def world(
    directory: Path,
    *,
    face: dict[str, Any] | None = None,
    core: dict[str, Any] | None = None,
    streams: PodStreams | None = None,
) -> AsyncIterator[World]:
    """A served API with ``FaceConfig`` and ``CoreConfig`` as given."""
    paths = Paths.find(str(directory))
    pki = tls.Pki(paths.pki)
    paths.database.parent.mkdir(parents=True, exist_ok=True)
    async with open_store(StoreConfig(paths.database), SystemClock()) as store:
        authorizer = ChainAuthorizer(store)
        async with (
            bootstrap.running(store, authorizer, config=CoreConfig(**(core or {}))) as made,
            identities.running(made, paths, pki.ca.certificate_pem) as known,
            serve(
                made,
                FaceConfig(port=0, **(face or {})),
                pki=pki,
                authenticator=known.authenticator,
                authorizer=authorizer,
                streams=streams,
            ) as serving,
        ):
            yield World(serving, made, pki, TokenFile.of(paths))
