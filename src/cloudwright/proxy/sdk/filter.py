"""The base class of filters."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, ClassVar

from cloudwright.proxy.sdk.declaration import Budget, Match
from cloudwright.proxy.sdk.messages import Reply, Request, Response


class Filter:
    """One filter: declares what it is for, and defines the hooks that it needs.

    A hook that a class does not define costs nothing: the proxy does not ask. Each hook may be an
    ``async def``. There is one instance for each version of the file; hooks never run at the
    same time, so plain attributes are safe to use (an ``async`` hook gives way at its ``await``).
    """

    name: ClassVar[str] = ""
    """In metrics and errors; without one, the class's name in kebab case."""
    match: ClassVar[Match | list[Match]] = Match()
    """Which requests; decided in the proxy, before anything is sent here. Default: all."""
    timeout_ms: ClassVar[int] = 50
    """How long one hook may take. Then the request goes on, or is refused, as ``on_error`` says."""
    on_error: ClassVar[str] = "bypass"
    """``bypass``: a filter that fails is left out; ``refuse``: its request is answered 500."""
    order: ClassVar[int] = 0
    """Filters run in this order, lowest first (then by name); responses in the reverse order."""
    budget: ClassVar[Budget] = Budget()
    """How many failures until the proxy stops asking for a while."""

    tick_s: float = 0.0
    """How often ``on_tick`` is called, in seconds; 0: never."""
    settings: dict[str, Any]
    """``settings`` of the file ``NAME.yaml`` beside the filter, empty without one."""

    def start(self) -> None:
        """Called once before the first request: open files, read ``self.settings``."""

    def stop(self) -> None:
        """Called once when this version is replaced or removed."""

    def on_tick(self) -> Awaitable[None] | None:
        """Called every ``tick_s`` seconds, whether there are requests or not."""

    def on_request(self, request: Request) -> Reply | Awaitable[Reply | None] | None:
        """The request's head has arrived. Change it in place, or return ``respond(…)``."""

    def on_response(
        self, request: Request, response: Response
    ) -> Reply | Awaitable[Reply | None] | None:
        """The answer's head has arrived. Change it in place, or return ``respond(…)``."""

    def on_request_body(
        self, request: Request, chunk: bytes, last: bool
    ) -> bytes | Awaitable[bytes | None] | None:
        """A piece of the request's body, at most 64 KiB; returns what goes on in its place.

        ``None`` leaves it as it is, ``b""`` holds it back (to be sent with a later piece). The
        last call has ``last`` set, and may have an empty chunk.
        """

    def on_response_body(
        self, request: Request, chunk: bytes, last: bool
    ) -> bytes | Awaitable[bytes | None] | None:
        """A piece of the answer's body; as ``on_request_body``."""


HOOKS = {
    "request": "on_request",
    "response": "on_response",
    "request_body": "on_request_body",
    "response_body": "on_response_body",
}
"""The wire's name of each hook, and the method."""
