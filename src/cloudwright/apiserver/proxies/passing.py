"""A request for a ``proxy`` subresource: who may, whom it is for, and the way of the answer."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from anyio import to_thread

from cloudwright.apiserver.admission import connects
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.proxies import exchange, links, nodes, targets, upgrades
from cloudwright.apiserver.proxies.door import PATH, ProxyDoor
from cloudwright.apiserver.proxies.exchange import Exchange, Head, Headers
from cloudwright.apiserver.proxies.targets import Target
from cloudwright.apiserver.replies import StreamReply
from cloudwright.client.transport import Reply
from cloudwright.model.streams import PodStreams

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

WHOLE_MAX = 64 * 1024
"""Answers whose length is known and at most this are given whole."""
PAGE_MAX = 2 * 1024 * 1024
"""HTML pages larger than this keep their links as they are."""


async def serve(
    core: ApiCore, call: Call, streams: PodStreams | None
) -> Reply | StreamReply | ProxyDoor:
    """Pass a request on, if its user may.

    Raises:
        ApiError: 400, 403, 404, 501, or 503 where nobody answers.
    """
    await core.authorize(call)
    await connects.admit(core, call)
    prefix, path = _split(call.request.path)
    if not path and call.request.method in ("GET", "HEAD") and not upgrades.wanted(call.request):
        # A page's own relative links only work below a path that ends so.
        query = f"?{_query(call)}" if call.request.query else ""
        return Reply(301, {"location": f"{prefix}/{query}"}, b"")
    if call.plural == "nodes":
        return await nodes.answer(core, call, path, streams)
    if streams is None:
        message = "no node is attached to this API server: it reaches no pods"
        raise ApiError(501, "NotImplemented", message)
    target = await targets.find(core, call)
    wanted = path or "/"
    if call.request.query:
        wanted += f"?{_query(call)}"
    headers = _headers(call, prefix + path)
    if upgrade := upgrades.wanted(call.request):
        headers += exchange.forwarded(call.request.headers, upgrade=upgrade)
        carry = partial(upgrades.carry, streams, target, call.request, wanted, headers)
        return ProxyDoor(carry)
    headers += exchange.forwarded(call.request.headers)
    return await _exchanged(streams, target, call, wanted, headers, prefix)


async def _exchanged(
    streams: PodStreams,
    target: Target,
    call: Call,
    wanted: str,
    headers: Headers,
    prefix: str,
) -> Reply | StreamReply:
    made = Exchange(await targets.connect(streams, target))
    passed_on = False
    try:
        head = await made.send(call.request, wanted, target.host, headers)
        found = await _answer(made, head, call, prefix, target)
        passed_on = isinstance(found, StreamReply)
        return found
    finally:
        if not passed_on:
            await made.aclose()


async def _answer(
    made: Exchange, head: Head, call: Call, prefix: str, target: Target
) -> Reply | StreamReply:
    headers = exchange.returned(head.headers)
    hosts = frozenset({target.host, call.request.headers.get("host", "")})
    headers = [
        (name, links.rewritten(value, prefix, hosts) if name == "location" else value)
        for name, value in headers
    ]
    length = head.get("content-length")
    if call.request.method == "HEAD" or head.status in (204, 304) or length == "0":
        return Reply(head.status, as_mapping(headers), b"")
    headers = [(name, value) for name, value in headers if name != "content-length"]
    known = int(length) if length.isascii() and length.isdigit() else None
    is_page = head.get("content-type").partition(";")[0].strip().lower() == "text/html"
    if is_page and not head.get("location") and (known is None or known <= PAGE_MAX):
        return await _page(made, head.status, headers, prefix, hosts)
    if known is not None and known <= WHOLE_MAX:
        try:
            body = await made.whole()
        except ConnectionError as error:
            raise targets.unreachable(str(error)) from error
        return Reply(head.status, as_mapping(headers), body)
    return StreamReply(head.status, as_mapping(headers), rest(made, b""))


async def _page(
    made: Exchange, status: int, headers: Headers, prefix: str, hosts: frozenset[str]
) -> Reply | StreamReply:
    """An HTML page with its links rewritten; one that is too large, or packed in a way that we do
    not know, as it is.
    """
    parts, size = [], 0
    body_parts = made.body()
    try:
        async for part in body_parts:
            parts.append(part)
            size += len(part)
            if size > PAGE_MAX:
                break
    except ConnectionError as error:
        raise targets.unreachable(str(error)) from error
    body = b"".join(parts)
    packed = next((value for name, value in headers if name == "content-encoding"), "")
    text = _unpacked(body, packed.strip().lower()) if size <= PAGE_MAX else None
    if size > PAGE_MAX:
        return StreamReply(status, as_mapping(headers), rest(made, body))
    if text is None:
        return Reply(status, as_mapping(headers), body)
    headers = [(name, value) for name, value in headers if name != "content-encoding"]
    # Latin-1 keeps every byte, and tags are ASCII in all encodings that pages use.
    page = text.decode("latin-1")
    # In a thread: a large page takes seconds, in which other requests must go on.
    changed = await to_thread.run_sync(links.page, page, prefix, hosts)
    return Reply(status, as_mapping(headers), changed.encode("latin-1"))


def _unpacked(body: bytes, packed: str) -> bytes | None:
    if packed in ("", "identity"):
        return body
    if packed != "gzip":
        return None
    reader = zlib.decompressobj(31)
    try:
        found = reader.decompress(body, PAGE_MAX)
    except zlib.error:
        return None
    return found if reader.eof and not reader.unconsumed_tail else None


async def rest(made: Exchange, first: bytes) -> AsyncGenerator[bytes, None]:
    """``first`` and what comes after it; closes the exchange at the end."""
    try:
        if first:
            yield first
        async for part in made.body():
            yield part
    finally:
        await made.aclose()


def as_mapping(headers: Headers) -> dict[str, str]:
    """One value for each name. Repeated ones are joined, but for cookies, which cannot be: each
    gets its name in another case, which is the same name.
    """
    found: dict[str, str] = {}
    cases = map("".join, product(*zip("set-cookie", "SET-COOKIE", strict=True)))
    for name, value in headers:
        if name == "set-cookie":
            spelled = next((case for case in cases if case not in found), None)
            if spelled is not None:
                found[spelled] = value
        else:
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _split(path: str) -> tuple[str, str]:
    """``(/api/v1/…/proxy, the rest as it was written)``."""
    match = PATH.match(path)
    assert match is not None, "only asked for proxied paths"
    return match[0], path[match.end() :]


def _query(call: Call) -> str:
    return urlencode(call.request.query)


def _headers(call: Call, path: str) -> Headers:
    """What tells the backend how it was reached."""
    host: Mapping[str, str] = call.request.headers
    return [
        ("x-forwarded-uri", path),
        ("x-forwarded-host", host.get("host", "")),
        ("x-forwarded-proto", "https"),
    ]
