"""What the core answers: a whole reply (``client.transport.Reply``) or a stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from cloudwright.client.transport import Reply

if TYPE_CHECKING:
    from cloudwright.apiserver.registry import Served
    from cloudwright.apiserver.selection import Selection
    from cloudwright.model.objects import Object

JSON = "application/json"


class WatchPlan(Protocol):
    """A watch for a server that fans events out itself: what comes first, then what it sees."""

    served: Served
    chosen: Selection
    render: Callable[[Object], bytes] | None
    """``None``: plain objects."""
    encode: Callable[[bytes], bytes] | None
    """What makes a line of what the client wants; ``None``: it takes JSON."""
    prefix: str
    """Store prefix of what is watched."""
    bookmarks: bool
    initial_end: bool
    """Tell by a bookmark when every object that exists was sent."""
    from_memory: bool
    """It begins with every object of the prefix as it is now, in plain form."""
    after: int
    """After ``beginning``: everything up to this revision was sent."""

    @property
    def topic(self) -> Hashable:
        """Equal for watches that see the same lines of a prefix."""

    def encode_by(self, encode: Callable[[bytes], bytes]) -> None:
        """The client takes no JSON. To be said before ``beginning``."""

    def seconds_left(self) -> float:
        """How long it may go on; 0: it ended, or failed, in ``beginning``."""

    def beginning(self) -> AsyncGenerator[bytes, None]:
        """What exists and what happened until now; returns without having waited when nothing
        was published since its last item.
        """


@dataclass(frozen=True, slots=True)
class StreamReply:
    """An answer whose body comes over time (a watch, a log). ``body`` holds resources from its
    first item on: whoever iterates must end it with ``close`` when the client goes away.
    """

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]
    watch: WatchPlan | None = None
    """The same in two halves, for a server with its own fan-out."""

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
