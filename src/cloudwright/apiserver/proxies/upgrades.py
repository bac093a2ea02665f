"""Proxied connections that change their protocol (WebSockets, SPDY, anything)."""

from __future__ import annotations

import anyio
from anyio.abc import ByteStream

from cloudwright._base import logs
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.proxies import exchange, targets
from cloudwright.apiserver.proxies.exchange import Exchange, Headers
from cloudwright.apiserver.proxies.targets import Target
from cloudwright.apiserver.streams.takeover import RawConnection, Upgrade, take_over
from cloudwright.client.transport import Request
from cloudwright.model.streams import PodStreams

_log = logs.get("apiserver")


def wanted(request: Request) -> str:
    """The protocol that a request asks to change to; empty: none."""
    named = [word.strip().lower() for word in request.headers.get("connection", "").split(",")]
    return request.headers.get("upgrade", "").strip() if "upgrade" in named else ""


async def carry(
    streams: PodStreams,
    target: Target,
    request: Request,
    path: str,
    headers: Headers,
    upgrade: Upgrade,
) -> None:
    """Ask the backend; when it agrees carry bytes both ways until one side ends.

    Raises:
        ApiError: 503, nobody answers, or 502, he does not change the protocol.
    """
    stream = await targets.connect(streams, target)
    made = Exchange(stream)
    try:
        head = await made.send(request, path, target.host, headers)
        if head.status != 101:
            # What else he says stays his secret: only a head can follow on this connection.
            message = f"unable to upgrade: the backend answered with status {head.status}"
            raise ApiError(502, "InternalError", message)
        answer = {name: value for name, value in head.headers if name not in exchange.FRAMING}
        connection = await take_over(upgrade, answer)
        try:
            await splice(connection, stream, made.surplus())
        finally:
            with anyio.CancelScope(shield=True):
                await connection.aclose()
    finally:
        await made.aclose()


async def splice(connection: RawConnection, stream: ByteStream, first: bytes) -> None:
    """Carry bytes both ways until one side ends; ``first`` came from the backend already."""
    try:
        async with anyio.create_task_group() as tasks:

            async def inward() -> None:
                while data := await connection.receive():
                    await stream.send(data)
                tasks.cancel_scope.cancel()  # the client is gone

            tasks.start_soon(inward)
            if first:
                await connection.send(first)
            while True:
                try:
                    data = await stream.receive()
                except anyio.EndOfStream:
                    break
                await connection.send(data)
            tasks.cancel_scope.cancel()
    except* (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as broken:
        _log.debug("a proxied connection ended", extra={"reason": str(broken.exceptions[0])})
