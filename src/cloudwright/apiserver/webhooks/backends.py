"""From a Service to a pod that stands behind it, and to a byte stream into that pod."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import anyio
from anyio.abc import ByteStream

from cloudwright.apiserver import encoding
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Store
from cloudwright.apiserver.webhooks.errors import WebhookError
from cloudwright.model import streams
from cloudwright.model.objects import Object
from cloudwright.model.streams import PodStreams


class Backends(Protocol):
    """Opens a byte stream to a port of a Service."""

    async def connect(self, namespace: str, service: str, port: int) -> ByteStream:
        """A stream to one ready backend.

        Raises:
            WebhookError: there is no such Service or port, or nothing stands behind it.
        """


class StoredBackends:
    """Backends as the store's Services and Endpoints tell them.

    With ``streams`` (a node is attached) the stream goes into the pod itself, so that it also
    works where the API server has no route into the pod network; else to the endpoint's address.
    """

    def __init__(self, store: Store, pods: Callable[[], PodStreams | None]) -> None:
        self._store = store
        self._pods = pods
        self._turn = 0

    async def connect(self, namespace: str, service: str, port: int) -> ByteStream:
        """A stream to one ready backend, in turn."""
        found = await self._object("services", namespace, service)
        name = _port_name(found, service, port)
        endpoints = await self._object("endpoints", namespace, service)
        choices = [
            (address, int(entry["port"]))
            for subset in endpoints.get("subsets") or ()
            for entry in subset.get("ports") or ()
            if entry.get("name", "") == name
            for address in subset.get("addresses") or ()
        ]
        if not choices:
            raise WebhookError(f'no endpoints available for service "{service}"')
        self._turn += 1
        address, target = choices[self._turn % len(choices)]
        pods, reference = self._pods(), address.get("targetRef") or {}
        if pods is not None and reference.get("kind") == "Pod":
            stream = await pods.connect(namespace, str(reference["name"]), target)
            return PodStream(stream)
        try:
            return await anyio.connect_tcp(str(address["ip"]), target)
        except OSError as error:
            raise WebhookError(f"dial tcp {address['ip']}:{target}: {error}") from error

    async def _object(self, plural: str, namespace: str, name: str) -> Object:
        record = await self._store.get(f"{storage_of('', plural)}{namespace}/{name}")
        if record is None:
            raise WebhookError(f'{plural} "{name}" not found')
        return encoding.decode(record.value)


def _port_name(service: Mapping[str, Any], name: str, port: int) -> str:
    for entry in (service.get("spec") or {}).get("ports") or ():
        if entry.get("port") == port:
            return str(entry.get("name") or "")
    raise WebhookError(f'no service port {port} found for service "{name}"')


class PodStream(ByteStream):
    """A pod's stream with anyio's manners."""

    def __init__(self, stream: streams.ByteStream) -> None:
        self._stream = stream
        self._left = b""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Some bytes."""
        data = self._left or await self._stream.receive()
        if not data:
            raise anyio.EndOfStream
        self._left = data[max_bytes:]
        return data[:max_bytes]

    async def send(self, item: bytes) -> None:
        """Send all of ``item``."""
        await self._stream.send(bytes(item))

    async def send_eof(self) -> None:
        """End the sending half."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close both halves."""
        await self._stream.aclose()
