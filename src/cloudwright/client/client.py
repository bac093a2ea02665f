"""The asynchronous client: Kubernetes verbs over any transport. Objects are plain JSON mappings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from cloudwright._base.errors import UnreachableError
from cloudwright.client import requests
from cloudwright.client.errors import Conflict, NotFound, from_reply, from_status
from cloudwright.client.transport import Request, Transport
from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.resources import Resource

PAGE = 500


@dataclass(frozen=True, slots=True)
class ObjectList:
    """One (whole) list and the resource version it stands for."""

    items: list[Object]
    resource_version: str
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK (ERROR is raised)."""

    type: str
    object: Object


class Client:
    """Verbs on one API. Raises ``client.errors`` for refusals, ``UnreachableError`` when nobody
    answers.
    """

    def __init__(self, transport: Transport, *, namespace: str = "default") -> None:
        self.transport = transport
        self.namespace = namespace

    async def _ask(self, request: Request, *, timeout: float | None = 60.0) -> Any:
        reply = await self.transport.request(request, timeout=timeout)
        if reply.status >= 400:
            raise from_reply(reply.status, reply.body)
        return orjson.loads(reply.body) if reply.body else {}

    def _space(self, resource: Resource, namespace: str | None) -> str:
        if not resource.namespaced:
            return ""
        return self.namespace if namespace is None else namespace

    async def get(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        subresource: str = "",
    ) -> Object:
        """One object. Raises NotFound."""
        space = self._space(resource, namespace)
        return dict(await self._ask(requests.read(resource, space, name, subresource)))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """Every object of a namespace (of all when ``namespace`` is empty), read page by page."""
        space = self._space(resource, namespace)
        items: list[Object] = []
        token = ""
        while True:
            query = requests.selection(label_selector, field_selector, PAGE, token)
            page = await self._ask(requests.read(resource, space, query=query))
            head = {"apiVersion": resource.api_version, "kind": resource.kind}
            items.extend({**head, **item} for item in page.get("items") or [])
            token = str(page["metadata"].get("continue", ""))
            if not token:
                return ObjectList(items, str(page["metadata"].get("resourceVersion", "")))

    async def create(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        subresource: str = "",
        name: str = "",
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Object:
        """Create ``obj`` (in its own namespace when it has one). Raises AlreadyExists, Invalid."""
        space = self._space(resource, namespace_of(obj) or namespace)
        query = [*_dry(dry_run), *([("fieldManager", field_manager)] if field_manager else [])]
        request = requests.write(
            "POST", resource, space, name, subresource, body=orjson.dumps(obj), query=query
        )
        return dict(await self._ask(request))

    async def update(
        self, resource: Resource, obj: Object, *, subresource: str = "", dry_run: bool = False
    ) -> Object:
        """Replace; with a ``resourceVersion`` in it, only that one. Raises Conflict, NotFound,
        Invalid.
        """
        request = requests.write(
            "PUT",
            resource,
            self._space(resource, namespace_of(obj) or None),
            name_of(obj),
            subresource,
            body=orjson.dumps(obj),
            query=_dry(dry_run),
        )
        return dict(await self._ask(request))

    async def update_status(self, resource: Resource, obj: Object) -> Object:
        """Replace the status."""
        return await self.update(resource, obj, subresource="status")

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: object,
        namespace: str | None = None,
        *,
        kind: str = "merge",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Patch; ``kind`` is ``merge``, ``json``, ``strategic`` or ``apply``."""
        request = requests.write(
            "PATCH",
            resource,
            self._space(resource, namespace),
            name,
            subresource,
            body=orjson.dumps(body),
            content_type=requests.PATCH_TYPES[kind],
            query=_dry(dry_run),
        )
        return dict(await self._ask(request))

    async def apply_server_side(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        field_manager: str,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Make ``obj``'s fields so and own them; what the manager applied before and does not now
        is given up. Say in ``obj`` only what is meant, with ``apiVersion``, ``kind`` and name.

        Raises Conflict (``causes`` name field and owner) unless ``force``, Invalid, Forbidden.
        """
        query = [*_dry(dry_run), ("fieldManager", field_manager)]
        if force:
            query.append(("force", "true"))
        request = requests.write(
            "PATCH",
            resource,
            self._space(resource, namespace_of(obj) or namespace),
            name_of(obj),
            subresource,
            body=orjson.dumps(obj),
            content_type=requests.PATCH_TYPES["apply"],
            query=query,
        )
        return dict(await self._ask(request))

    async def patch_status(
        self, resource: Resource, name: str, status: Object, namespace: str | None = None
    ) -> Object:
        """Merge ``status`` into the object's status."""
        body = {"status": status}
        return await self.patch(resource, name, body, namespace, subresource="status")

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        propagation: str = "",
        uid: str = "",
        missing_ok: bool = False,
    ) -> Object | None:
        """Delete; with ``uid`` only that very object. Raises NotFound (not with ``missing_ok``),
        Conflict.
        """
        options = requests.delete_options(
            grace_seconds=grace_seconds, propagation=propagation, uid=uid
        )
        request = requests.write(
            "DELETE", resource, self._space(resource, namespace), name, body=orjson.dumps(options)
        )
        try:
            return dict(await self._ask(request))
        except NotFound:
            if missing_ok:
                return None
            raise

    async def delete_collection(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = ""
    ) -> None:
        """Delete every object of a namespace that the selector matches."""
        query = requests.selection(label_selector)
        space = self._space(resource, namespace)
        await self._ask(requests.write("DELETE", resource, space, query=query))

    async def create_or_update(self, resource: Resource, obj: Object) -> Object:
        """Create, or merge-patch what differs into the existing object."""
        space = namespace_of(obj) or None
        for _ in range(5):
            try:
                return await self.patch(resource, name_of(obj), obj, space)
            except NotFound:
                try:
                    return await self.create(resource, obj)
                except Conflict:
                    continue
        return await self.patch(resource, name_of(obj), obj, space)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
    ) -> AsyncGenerator[WatchEvent]:
        """Events after ``resource_version`` until the server ends the watch. Raises Expired
        (list again).
        """
        query = requests.watching(resource_version, label_selector, field_selector, timeout_seconds)
        request = requests.read(resource, self._space(resource, namespace), query=query)
        async with self.transport.stream(request) as (status, chunks):
            if status >= 400:
                raise from_reply(status, b"".join([chunk async for chunk in chunks]))
            async with aclosing(lines(chunks)) as read:
                async for line in read:
                    event = _event(line)
                    if event["type"] == "ERROR":
                        raise from_status(event["object"])
                    yield WatchEvent(event["type"], event["object"])

    async def raw(self, path: str, query: requests.Query = ()) -> bytes:
        """The body of any path."""
        reply = await self.transport.request(
            Request("GET", path, query, {"accept": "application/json"}), timeout=60.0
        )
        if reply.status >= 400:
            raise from_reply(reply.status, reply.body)
        return reply.body

    async def server_version(self) -> Object:
        """``/version``."""
        return dict(orjson.loads(await self.raw("/version")))

    async def aclose(self) -> None:
        """Close the transport."""
        await self.transport.aclose()


async def lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Whole lines of a stream of chunks."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
    if rest.strip():
        yield rest


def _event(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnreachableError(
            "the API broke off in the middle of an event", cause=str(error)
        ) from error


def _dry(dry_run: bool) -> list[tuple[str, str]]:
    return [("dryRun", "All")] if dry_run else []
