"""The ``log`` subresource: its query parameters, and the answer as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.apiserver.calls import Query
from cloudwright.apiserver.errors import bad_request
from cloudwright.apiserver.replies import StreamReply
from cloudwright.model.streams import PodStreams


def options(query: Query) -> dict[str, Any]:
    """The keyword arguments of ``PodStreams.logs``.

    Raises:
        ApiError: 400, a parameter is wrong or two exclude each other.
    """
    since_time = query.get("sinceTime") or None
    if since_time is not None:
        try:
            parse_rfc3339(since_time)
        except ValueError:
            raise bad_request(f'sinceTime="{since_time}" is not an RFC 3339 time') from None
        if query.get("sinceSeconds"):
            raise bad_request("at most one of sinceTime and sinceSeconds may be given")
    since = query.whole("sinceSeconds")
    if since == 0:
        raise bad_request("sinceSeconds must be greater than 0")
    limit = query.whole("limitBytes")
    if limit == 0:
        raise bad_request("limitBytes must be greater than 0")
    return {
        "container": query.get("container") or None,
        "follow": query.flag("follow"),
        "previous": query.flag("previous"),
        "since_seconds": float(since) if since is not None else None,
        "since_time": since_time,
        "tail_lines": query.whole("tailLines"),
        "timestamps": query.flag("timestamps"),
        "limit_bytes": limit,
    }


async def answer(streams: PodStreams, namespace: str, pod: str, query: Query) -> StreamReply:
    """The log as ``text/plain``. The first chunk is waited for (unless following), so that a
    failure is still an error answer.

    Raises:
        ApiError: 400, see ``options``.
        CloudwrightError: the log cannot be read.
    """
    wanted = options(query)
    chunks = streams.logs(namespace, pod, **wanted)
    headers = {"content-type": "text/plain"}
    if wanted["follow"]:
        return StreamReply(200, headers, _with(b"", chunks))
    try:
        first = await anext(chunks)
    except StopAsyncIteration:
        first = b""
    return StreamReply(200, headers, _with(first, chunks))


async def _with(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    if first:
        yield first
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
