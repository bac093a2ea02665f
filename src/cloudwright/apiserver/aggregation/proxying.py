"""One request to a foreign API server and its answer: whole, as a stream, or as a connection."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

import anyio

from cloudwright.apiserver.aggregation.connecting import (
    Dialer,
    ForeignError,
    Target,
    front_headers,
)
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.proxies import exchange, upgrades
from cloudwright.apiserver.proxies.door import ProxyDoor
from cloudwright.apiserver.proxies.exchange import Exchange, Headers
from cloudwright.apiserver.proxies.passing import as_mapping, rest
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.streams.takeover import Upgrade, take_over
from cloudwright.client.transport import Reply, Request

WHOLE_MAX = 1 << 20
"""Answers up to this size are read whole; longer ones, and those of no known size, are streams."""


def unavailable(message: str = "service unavailable") -> Reply:
    """503 in plain text, as upstream's aggregator says it."""
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return Reply(503, headers, f"{message}\n".encode())


async def answer(
    dialer: Dialer, target: Target, request: Request, user: User
) -> Reply | StreamReply | ProxyDoor:
    """What the foreign server says to ``request`` by ``user``.

    Raises:
        ForeignError: it cannot be reached, or ends the connection.
    """
    if upgrades.wanted(request):
        return ProxyDoor(partial(_carry, dialer, target, request, user))
    return await send(dialer, target, request, user)


async def send(dialer: Dialer, target: Target, request: Request, user: User) -> Reply | StreamReply:
    """Like ``answer``, for a request that asks for no other protocol."""
    made = Exchange(await dialer.connect(target))
    passed_on = False
    try:
        head = await made.send(request, _path(request), _host(target), _headers(request, user))
        headers = exchange.returned(head.headers)
        length = head.get("content-length")
        if request.method == "HEAD" or head.status in (204, 304) or length == "0":
            return Reply(head.status, as_mapping(headers), b"")
        shown = as_mapping([pair for pair in headers if pair[0] != "content-length"])
        if length.isascii() and length.isdigit() and int(length) <= WHOLE_MAX:
            body = await made.whole()
            return Reply(head.status, shown, body)
        passed_on = True
        return StreamReply(head.status, shown, rest(made, b""))
    except (ApiError, ConnectionError) as error:
        raise ForeignError(str(error)) from error
    finally:
        if not passed_on:
            await made.aclose()


async def _carry(
    dialer: Dialer, target: Target, request: Request, user: User, upgrade: Upgrade
) -> None:
    """Ask for the other protocol; then carry bytes both ways until one side ends.

    Raises:
        ApiError: 502, the foreign server does not change the protocol.
        ForeignError: it cannot be reached.
    """
    stream = await dialer.connect(target)
    made = Exchange(stream)
    try:
        headers = _headers(request, user, upgrades.wanted(request))
        head = await made.send(request, _path(request), _host(target), headers)
        if head.status != 101:
            message = f"unable to upgrade: the server answered with status {head.status}"
            raise ApiError(502, "InternalError", message)
        shown = {name: value for name, value in head.headers if name not in exchange.FRAMING}
        connection = await take_over(upgrade, shown)
        try:
            await upgrades.splice(connection, stream, made.surplus())
        finally:
            with anyio.CancelScope(shield=True):
                await connection.aclose()
    finally:
        await made.aclose()


def _headers(request: Request, user: User, upgrade: str = "") -> Headers:
    kept = exchange.forwarded(request.headers, upgrade=upgrade)
    # Plain, so that it can be packed as the client wants it.
    kept = [(name, value) for name, value in kept if name != "accept-encoding"]
    return [*kept, *front_headers(user)]


def _host(target: Target) -> str:
    return f"{target.host}:{target.port}"


def _path(request: Request) -> str:
    if not request.query:
        return request.path
    query = "&".join(f"{quote(key, safe='')}={quote(v, safe='')}" for key, v in request.query)
    return f"{request.path}?{query}"
