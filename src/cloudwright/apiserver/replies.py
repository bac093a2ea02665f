"""What the core answers: a whole reply (``client.transport.Reply``) or a stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from cloudwright.client.transport import Reply

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class StreamReply:
    """An answer whose body comes over time (a watch, a log). ``body`` holds resources from its
    first item on: whoever iterates must end it with ``close`` when the client goes away.
    """

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]

    async def close(self) -> None:
        """Free what the body holds."""
        aclose = getattr(self.body, "aclose", None)
        if aclose is not None:
            await aclose()


def reply(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
    """``body`` (JSON already encoded) as a reply."""
    return Reply(status, {"content-type": JSON, **(headers or {})}, body)


def reply_json(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """``value`` encoded as JSON."""
    return reply(status, orjson.dumps(value), headers)
