"""One request and its answer through the filters of a file, with the host's own engine."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cloudwright.proxy.host import wire
from cloudwright.proxy.host.engine import Call, Engine
from cloudwright.proxy.host.entry import Entry
from cloudwright.proxy.host.limits import Limit
from cloudwright.proxy.host.source import load, stop
from cloudwright.proxy.sdk.messages import Reply, Request, Response, head_of, text_of
from cloudwright.proxy.testing.matching import matches

PIECE = 64 * 1024
Body = bytes | list[bytes]


@dataclass
class Outcome:
    """What became of a request."""

    matched: bool
    request: Request
    """As the backend would get it."""
    request_body: bytes
    status: int
    """Of the answer that the client gets."""
    headers: dict[str, str]
    body: bytes
    answered: bool
    """Whether a filter gave the answer, not the backend."""
    failures: list[str] = field(default_factory=list)
    """``FILTER: file:line: reason`` of each hook that failed."""
    nanoseconds: int = 0
    """Time in hooks."""


class Filters:
    """The filters of one file. Use it as a context; only in the main thread."""

    def __init__(self, path: Path) -> None:
        """Load and start them.

        Raises:
            SourceError: the file gives no filters.
        """
        self.entries = load(path, 1)
        for number, entry in enumerate(self.entries, 1):
            entry.id = number
        self._names = {entry.id: entry.name for entry in self.entries}
        self._limit = Limit()
        self._engine = Engine(self._limit)

    def __enter__(self) -> Filters:
        """They are started already."""
        self._before = signal.getsignal(signal.SIGALRM)
        self._limit.install()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        signal.signal(signal.SIGALRM, self._before)
        stop(self.entries)

    def __call__(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        host: str = "localhost",
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
        status: int = 200,
        response_headers: Mapping[str, str] | None = None,
        response_body: Body = b"",
    ) -> Outcome:
        """Send a request that a backend answers with ``status``, ``response_headers`` and
        ``response_body``. A body that is a list arrives in these pieces.
        """
        lines = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        if not any(name.lower() == b"host" for name, _ in lines):
            lines.insert(0, (b"host", host.encode()))
        authority = next(value for name, value in lines if name.lower() == b"host").decode()
        request = Request(head_of(method, path, lines, authority=authority))
        answer = [
            (name.encode(), value.encode()) for name, value in (response_headers or {}).items()
        ]
        response = Response(status, text_of(answer))
        return asyncio.run(self._exchange(request, body, response, response_body))

    async def _exchange(
        self, request: Request, body: Body, response: Response, response_body: Body
    ) -> Outcome:
        chosen = [entry for entry in self.entries if matches(entry.matches, request)]
        chosen.sort(key=lambda entry: (entry.order, entry.name))
        outcome = Outcome(bool(chosen), request, b"", response.status, {}, b"", False)
        reply = await self._call(outcome, chosen, "request", request, (request,))
        if reply is None:
            outcome.request_body = await self._body(outcome, chosen, "request_body", request, body)
            backwards = chosen[::-1]
            reply = await self._call(outcome, backwards, "response", response, (request, response))
            if reply is None:
                outcome.status, outcome.headers = response.status, dict(response.headers)
                outcome.body = await self._body(
                    outcome, backwards, "response_body", request, response_body
                )
        if reply is not None:
            outcome.answered = True
            outcome.status, outcome.body = reply.status, reply.body
            outcome.headers = {name.decode(): value.decode() for name, value in reply.headers}
        try:
            request.finish()
        except Exception as error:
            outcome.failures.append(f"at the end: {error!r}")
        return outcome

    async def _body(
        self, outcome: Outcome, chosen: list[Entry], hook: str, request: Request, body: Body
    ) -> bytes:
        pieces = body if isinstance(body, list) else _pieces(body)
        if not any(hook in entry.hooks for entry in chosen):
            return b"".join(pieces)
        goes = []
        for position, piece in enumerate(pieces or [b""], 1):
            args = (request, piece, position >= len(pieces))
            call = await self._run(outcome, chosen, hook, None, args)
            if call.reply is not None:
                outcome.failures.append(f"{hook} failed: the stream is reset")
                break
            goes.append(call.args[1])
        return b"".join(goes)

    async def _call(
        self,
        outcome: Outcome,
        chosen: list[Entry],
        hook: str,
        subject: Request | Response,
        args: tuple[object, ...],
    ) -> Reply | None:
        return (await self._run(outcome, chosen, hook, subject, args)).reply

    async def _run(
        self,
        outcome: Outcome,
        chosen: list[Entry],
        hook: str,
        subject: Request | Response | None,
        args: tuple[object, ...],
    ) -> Call:
        chain = tuple(entry for entry in chosen if hook in entry.hooks)
        call = Call(0, 0, hook, chain, subject, args)
        # The proxy would send the signal; here a timer does.
        longest = sum(entry.timeout_ms for entry in chain) / 1000
        signal.setitimer(signal.ITIMER_REAL, longest, 0.01)
        try:
            await self._engine.complete(call)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for filter_, result, took, text in call.outcomes:
            outcome.nanoseconds += took
            if result in (wire.FAILED, wire.TIMED_OUT):
                outcome.failures.append(f"{self._names[filter_]}: {text}")
        return call


def _pieces(body: bytes) -> list[bytes]:
    return [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
