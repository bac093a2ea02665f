"""The API for callers in the same process: a ``client.transport.Transport`` without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from cloudwright._base.errors import UnreachableError
from cloudwright.apiserver.core import Answer, ApiCore
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.replies import StreamReply
from cloudwright.client.transport import Reply, Request


class LocalTransport:
    """Calls the core as ``user``. ``timeout`` is a deadline in seconds."""

    def __init__(self, core: ApiCore, user: User) -> None:
        self._core = core
        self._user = user

    async def request(self, request: Request, *, timeout: float | None = None) -> Reply:
        """Ask and read the whole answer.

        Raises:
            UnreachableError: no answer in ``timeout`` seconds.
        """
        if timeout is None:
            return await self._whole(request)
        with anyio.move_on_after(timeout):
            return await self._whole(request)
        raise UnreachableError(f"no answer in {timeout} seconds: {request.method} {request.path}")

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Ask and read the answer's body as it comes."""
        answer = await self._ask(request)
        if isinstance(answer, StreamReply):
            try:
                yield answer.status, answer.body
            finally:
                await answer.close()
        else:
            yield answer.status, _once(answer.body)

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _ask(self, request: Request) -> Answer:
        core, user = self._core, self._user
        if core.audit is None:
            return await core.handle(request, user)
        return await core.audit.around(request, user, lambda: core.handle(request, user))

    async def _whole(self, request: Request) -> Reply:
        answer = await self._ask(request)
        if isinstance(answer, Reply):
            return answer
        try:
            body = b"".join([chunk async for chunk in answer.body])
        finally:
            await answer.close()
        return Reply(answer.status, answer.headers, body)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
