"""The blocking client of the command line: standard library only, so that a verb starts in
milliseconds.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from cloudwright._base.errors import TimedOutError, UnreachableError
from cloudwright.client import requests
from cloudwright.client.credentials import Credential
from cloudwright.client.errors import from_reply, from_status
from cloudwright.client.kubeconfig import Access
from cloudwright.client.transport import Reply, Request
from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.resources import Resource

# A server that closed an idle connection answers the next request so, without having read it.
_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
Written = tuple[Object, list[str]]
"""What a write answers: the object, and the server's warnings."""


class BlockingClient:
    """Kubernetes verbs on one kept connection; streams get connections of their own."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._parts = urlsplit(access.server)
        self._kept: http.client.HTTPConnection | None = None
        self._context: Any = None

    # Carrying

    def connect(self, timeout: float | None = 30.0) -> http.client.HTTPConnection:
        """A new connection to the API (not yet opened)."""
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port or 80, timeout=timeout)
        credential = self._credential()
        if self._context is None:
            from cloudwright.client.transports.tls import context

            self._context = context(self.access, credential)
        if not self.access.proxy:
            return http.client.HTTPSConnection(
                host, port or 443, timeout=timeout, context=self._context
            )
        way = urlsplit(self.access.proxy)
        connection = http.client.HTTPSConnection(
            way.hostname or "", way.port or 3128, timeout=timeout, context=self._context
        )
        connection.set_tunnel(host, port or 443)
        return connection

    def _credential(self) -> Credential | None:
        """The credential in force of an access whose credentials change."""
        source = self.access.source
        return None if source is None else source.fresh() or source.obtain()

    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        own = {"user-agent": "cloudwright-cli", "accept": "application/json"}
        credential = self._credential()
        token = credential.token if credential is not None else self.access.token
        if token:
            own["authorization"] = f"Bearer {token}"
        return own

    def target(self, request: Request) -> str:
        """Path and query as they go on the wire."""
        path = self._parts.path.rstrip("/") + quote(request.path, safe="/:@~")
        return f"{path}?{urlencode(list(request.query))}" if request.query else path

    def request(self, request: Request, *, timeout: float = 60.0) -> Reply:
        """Send and read the whole answer; a kept connection that went stale is opened again once.

        Raises UnreachableError, TimedOutError.
        """
        for attempt in (0, 1):
            fresh = self._kept is None
            connection = self._kept or self.connect(timeout)
            self._kept = None
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            try:
                connection.request(
                    request.method,
                    self.target(request),
                    request.body or None,
                    {**self.headers(), **request.headers},
                )
                answer = connection.getresponse()
                reply = Reply(
                    answer.status,
                    {name.lower(): value for name, value in answer.getheaders()},
                    answer.read(),
                )
            except TimeoutError as error:
                connection.close()
                raise TimedOutError(f"the API did not answer within {timeout:g} s") from error
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if fresh or attempt or not isinstance(error, _STALE):
                    raise self._gone(error) from error
                continue
            if not answer.will_close:
                self._kept = connection
            return reply
        raise AssertionError("unreachable")

    def stream(self, request: Request, *, timeout: float | None = None) -> Iterator[bytes]:
        """The body as it comes, in chunks. Raises the API's errors, UnreachableError."""
        connection = self.connect(timeout or 30.0)
        try:
            connection.request(
                request.method,
                self.target(request),
                request.body or None,
                {**self.headers(), **request.headers},
            )
            answer = connection.getresponse()
            if answer.status >= 400:
                raise from_reply(answer.status, answer.read())
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            while chunk := answer.read1(65536):
                yield chunk
        except TimeoutError as error:
            raise TimedOutError("nothing came in time") from error
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from error
        finally:
            connection.close()

    def _gone(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"the API at {self.access.server} does not answer",
            cause=str(error) or type(error).__name__,
            hint="is the platform up? see `cloudwright status`, start it with `cloudwright up`",
        )

    def ask(self, request: Request, *, timeout: float = 60.0) -> Any:
        """The decoded answer. Raises the API's errors."""
        reply = self.request(request, timeout=timeout)
        if reply.status >= 400:
            raise from_reply(reply.status, reply.body)
        return json.loads(reply.body) if reply.body else {}

    def raw(self, path: str, query: requests.Query = ()) -> bytes:
        """The body of any path."""
        reply = self.request(Request("GET", path, query))
        if reply.status >= 400:
            raise from_reply(reply.status, reply.body)
        return reply.body

    # Verbs

    def get(
        self, resource: Resource, name: str, namespace: str = "", *, accept: str = ""
    ) -> Object:
        """One object (or its Table, by ``accept``)."""
        request = requests.read(resource, namespace, name, accept=accept or "application/json")
        return dict(self.ask(request))

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        accept: str = "",
        limit: int = 0,
    ) -> Object:
        """A whole list (or Table), pages put together."""
        token, whole = "", None
        part = "rows" if "as=Table" in accept else "items"
        while True:
            query = requests.selection(label_selector, field_selector, limit or 500, token)
            page = self.ask(
                requests.read(resource, namespace, query=query, accept=accept or "application/json")
            )
            if whole is None:
                whole = page
            else:
                whole[part] = (whole.get(part) or []) + (page.get(part) or [])
            token = str(page.get("metadata", {}).pop("continue", "") or "")
            if not token:
                if part == "items":  # lists of built-in kinds do not repeat their kind
                    head = {"apiVersion": resource.api_version, "kind": resource.kind}
                    whole["items"] = [{**head, **item} for item in whole.get("items") or []]
                return dict(whole)

    def write(
        self,
        method: str,
        resource: Resource,
        namespace: str,
        name: str = "",
        body: object = None,
        *,
        subresource: str = "",
        content_type: str = "application/json",
        query: Sequence[tuple[str, str]] = (),
    ) -> Written:
        """Any changing request; returns the answer and the server's warnings."""
        data = json.dumps(body).encode() if body is not None else b""
        request = requests.write(
            method,
            resource,
            namespace,
            name,
            subresource,
            body=data,
            content_type=content_type,
            query=query,
        )
        reply = self.request(request)
        if reply.status >= 400:
            raise from_reply(reply.status, reply.body)
        return dict(json.loads(reply.body)), warnings_of(reply.headers.get("warning", ""))

    def create(
        self, resource: Resource, obj: Object, namespace: str = "", **options: Any
    ) -> Object:
        """Create."""
        space = namespace_of(obj) or namespace if resource.namespaced else ""
        return self.write("POST", resource, space, body=obj, **options)[0]

    def update(self, resource: Resource, obj: Object, **options: Any) -> Object:
        """Replace."""
        return self.write("PUT", resource, namespace_of(obj), name_of(obj), body=obj, **options)[0]

    def patch(
        self,
        resource: Resource,
        name: str,
        body: object,
        namespace: str = "",
        *,
        kind: str = "merge",
        **options: Any,
    ) -> Object:
        """Patch; ``kind`` is ``merge``, ``json``, ``strategic`` or ``apply``."""
        content_type = requests.PATCH_TYPES[kind]
        return self.write(
            "PATCH", resource, namespace, name, body=body, content_type=content_type, **options
        )[0]

    def delete(self, resource: Resource, name: str, namespace: str = "", **options: Any) -> Object:
        """Delete; options as in ``requests.delete_options``."""
        body = requests.delete_options(**options)
        return self.write("DELETE", resource, namespace, name, body=body)[0]

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        accept: str = "",
        timeout: float | None = None,
    ) -> Iterator[Object]:
        """Events (``type``, ``object``) until the server ends the watch or ``timeout`` seconds
        of silence.
        """
        query = requests.watching(resource_version, label_selector, field_selector)
        request = requests.read(
            resource, namespace, query=query, accept=accept or "application/json"
        )
        rest = b""
        for chunk in self.stream(request, timeout=timeout):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(None, lines):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise from_status(event["object"])
                yield event

    def close(self) -> None:
        """Close the kept connection."""
        if self._kept is not None:
            self._kept.close()


def warnings_of(header: str) -> list[str]:
    """The texts of a ``Warning`` header (RFC 7234 §5.5: ``299 - "text"``, several by comma)."""
    found = re.findall(r'299 \S+ "((?:[^"\\]|\\.)*)"', header)
    return [text.replace('\\"', '"') for text in found]
