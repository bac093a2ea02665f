"""The asynchronous transport over HTTPS (aiohttp): for an operator beside a real API server."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from anyio import Lock, to_thread
from yarl import URL

from cloudwright._base.errors import UnreachableError
from cloudwright.client.credentials import Credential, Source
from cloudwright.client.errors import from_reply
from cloudwright.client.kubeconfig import Access
from cloudwright.client.transport import Reply, Request
from cloudwright.client.transports.tls import context

_UNAUTHORIZED = 401


class HttpsTransport:
    """Implements ``client.transport.Transport``. Open it inside a running event loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._root = access.server.rstrip("/")
        self._tls = context(access) if access.server.startswith("https") else None
        self._credential = Credential(token=access.token)
        self._obtaining = Lock()
        # Connections are kept and used again; a watch holds one for as long as it lasts.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"user-agent": "cloudwright"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def _authorize(self) -> None:
        """Have a credential that is in force."""
        source = self._access.source
        if source is None:
            return
        kept = source.fresh()
        found = kept if kept is not None else await self._obtain(source)
        if found == self._credential:
            return
        if found.certificate != self._credential.certificate:
            self._tls = context(self._access, found)
        self._credential = found

    async def _obtain(self, source: Source) -> Credential:
        async with self._obtaining:
            kept = source.fresh()
            return kept if kept is not None else await to_thread.run_sync(source.obtain)

    def _url(self, request: Request) -> URL:
        text = self._root + quote(request.path, safe="/:@~")
        if request.query:
            text += "?" + urlencode(list(request.query))
        return URL(text, encoded=True)

    def _headers(self, request: Request) -> dict[str, str]:
        headers = dict(request.headers)
        if self._credential.token:
            headers["authorization"] = f"Bearer {self._credential.token}"
        return headers

    def _arguments(self, request: Request, timeout: float | None) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "method": request.method,
            "url": self._url(request),
            "headers": self._headers(request),
            "data": request.body or None,
            "timeout": aiohttp.ClientTimeout(total=timeout),
            "allow_redirects": False,
        }
        return {**arguments, **self._route()}

    def _route(self) -> dict[str, Any]:
        route: dict[str, Any] = {}
        if self._tls is not None:
            route["ssl"] = self._tls
        if self._access.server_name:
            route["server_hostname"] = self._access.server_name
        if self._access.proxy:
            route["proxy"] = self._access.proxy
        return route

    def _refused(self) -> bool:
        """After a 401: whether another credential may do better."""
        if self._access.source is None:
            return False
        self._access.source.refused()
        return True

    async def request(self, request: Request, *, timeout: float | None = None) -> Reply:
        """Send and read the whole answer. A credential that is not accepted is obtained again
        once. Raises UnreachableError.
        """
        await self._authorize()
        reply = await self._send(request, timeout)
        if reply.status == _UNAUTHORIZED and self._refused():
            await self._authorize()
            reply = await self._send(request, timeout)
        return reply

    async def _send(self, request: Request, timeout: float | None) -> Reply:
        try:
            async with self._session.request(**self._arguments(request, timeout)) as answer:
                body = await answer.read()
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, headers, body)
        except (aiohttp.ClientError, ssl.SSLError, TimeoutError, OSError) as error:
            raise self._gone(error) from error

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Send and read the answer's body as it comes. Raises UnreachableError, also half-way."""
        await self._authorize()
        try:
            async with self._session.request(**self._arguments(request, None)) as answer:
                if answer.status == _UNAUTHORIZED:
                    self._refused()  # whoever follows asks again
                yield answer.status, self._chunks(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._gone(error) from error

    @asynccontextmanager
    async def websocket(
        self, request: Request, protocols: Sequence[str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket with one of the subprotocols. Raises the API's errors,
        UnreachableError.
        """
        await self._authorize()
        try:
            async with self._session.ws_connect(
                self._url(request),
                protocols=protocols,
                headers=self._headers(request),
                max_msg_size=0,
                **self._route(),
            ) as socket:
                yield socket
        except aiohttp.WSServerHandshakeError as error:
            raise from_reply(error.status, b"") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._gone(error) from error

    async def _chunks(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._gone(error) from error

    def _gone(self, error: Exception) -> UnreachableError:
        cause = str(error) or type(error).__name__
        return UnreachableError(
            f"the API at {self._access.server} does not answer",
            cause=cause,
            hint="is the platform up? see `cloudwright status`",
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()
