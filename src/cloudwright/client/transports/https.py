"""The asynchronous transport over HTTPS (aiohttp): for an operator beside a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from cloudwright._base.errors import UnreachableError
from cloudwright.client.kubeconfig import Access
from cloudwright.client.transport import Reply, Request
from cloudwright.client.transports.tls import context


class HttpsTransport:
    """Implements ``client.transport.Transport``. Open it inside a running event loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        connector = aiohttp.TCPConnector(ssl=context(access), limit=0)
        headers = {"user-agent": "cloudwright"}
        if access.token:
            headers["authorization"] = f"Bearer {access.token}"
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)

    def _arguments(self, request: Request, timeout: float | None) -> dict[str, Any]:
        url = URL(f"{self._access.server.rstrip('/')}{request.path}").with_query(
            list(request.query)
        )
        return {
            "method": request.method,
            "url": url,
            "headers": dict(request.headers),
            "data": request.body or None,
            "timeout": aiohttp.ClientTimeout(total=timeout),
        }

    async def request(self, request: Request, *, timeout: float | None = None) -> Reply:
        """Send and read the whole answer. Raises UnreachableError."""
        try:
            async with self._session.request(**self._arguments(request, timeout)) as answer:
                body = await answer.read()
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, headers, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._gone(error) from error

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Send and read the answer's body as it comes. Raises UnreachableError, also half-way."""
        try:
            async with self._session.request(**self._arguments(request, None)) as answer:
                yield answer.status, self._chunks(answer)
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
