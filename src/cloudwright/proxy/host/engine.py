"""Runs chains of hooks: what the host does with each call of the proxy.

A chain is the filters of one call, in order. A filter that fails has its changes undone; then the
chain goes on without it, or the request is refused, as the filter declares. Hooks that do not wait
run in one go; from the first ``async def`` on, the chain goes on in a task.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Coroutine
from time import monotonic_ns
from typing import Any

from cloudwright.proxy.host import wire
from cloudwright.proxy.host.entry import Entry
from cloudwright.proxy.host.failures import describe
from cloudwright.proxy.host.limits import HookTimeout, Limit
from cloudwright.proxy.sdk.messages import Reply, Request, Response, respond

log = logging.getLogger("cloudwright.filters")
_NANOSECONDS_AT_MOST = 0xFFFFFFFF
SEND_AFTER = 16
"""Answers that are sent together at most, while there is more to run."""
Spawn = Callable[[Coroutine[Any, Any, None]], object]


class ProtocolError(Exception):
    """The proxy sent what no proxy of this version sends."""


class Call:
    """One call of the proxy on its way through a chain."""

    __slots__ = (
        "args", "chain", "exchange", "hook", "index", "outcomes", "reply", "side", "subject"
    )  # fmt: skip

    def __init__(
        self,
        exchange: int,
        side: int,
        hook: str,
        chain: tuple[Entry, ...],
        subject: Request | Response | None,
        args: tuple[Any, ...],
    ) -> None:
        self.exchange = exchange
        self.side = side
        self.hook = hook
        self.chain = chain
        self.subject = subject
        self.args = args
        self.index = 0
        self.outcomes: list[wire.Outcome] = []
        self.reply: Reply | None = None

    def settle(self, entry: Entry, start: int, answer: Any) -> bool:
        """A hook returned ``answer``; whether the chain goes on.

        Raises:
            TypeError: it returned what no hook may return.
        """
        if answer is None:
            self._note(entry, wire.OK, start)
            return True
        if self.subject is not None:
            if not isinstance(answer, Reply):
                raise TypeError(f"a hook returns None or respond(…), not {type(answer).__name__}")
            self.reply = answer
            self._note(entry, wire.RESPONDED, start)
            return False
        if not isinstance(answer, bytes | bytearray | memoryview):
            raise TypeError(f"a body hook returns bytes or None, not {type(answer).__name__}")
        self.args = (self.args[0], bytes(answer), self.args[2])
        self._note(entry, wire.OK, start)
        return True

    def fail(self, entry: Entry, start: int, mark: int, error: BaseException) -> bool:
        """A hook failed: undo what it changed; whether the chain goes on."""
        late = isinstance(error, HookTimeout | TimeoutError)
        if self.subject is not None:
            self.subject.cut(mark)
        text = f"took longer than {entry.timeout_ms} ms" if late else describe(error, entry.file)
        self._note(entry, wire.TIMED_OUT if late else wire.FAILED, start, text)
        if not entry.refuse:
            return True
        self.reply = respond(504 if late else 500, f"the filter {entry.name} failed\n")
        return False

    def frame(self) -> bytes:
        """The answer to the proxy."""
        if self.reply is not None:
            return wire.respond(self.exchange, self.side, self.outcomes, self.reply)
        if self.subject is not None:
            rest = wire.pack_operations(self.subject.operations)
            return wire.answer(wire.CONTINUE, self.exchange, self.side, self.outcomes, rest)
        return wire.answer(wire.CHUNK, self.exchange, self.side, self.outcomes, self.args[1])

    def _note(self, entry: Entry, result: int, start: int, text: str = "") -> None:
        took = min(monotonic_ns() - start, _NANOSECONDS_AT_MOST)
        self.outcomes.append((entry.id, result, took, text))


class Engine:
    """The filters that are loaded, the exchanges that are kept, and the answers to be sent."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.out: list[bytes] = []
        """Frames to be sent."""
        self.exchanges: dict[int, Request] = {}
        self.spawn: Spawn | None = None
        """Runs a coroutine beside the loop; there is one whenever a filter waits."""
        self.wake: Callable[[], object] = lambda: None
        """Sends ``out``: called when an answer came from a task, or when there are many."""
        self._filters: dict[int, Entry] = {}
        self._chains: dict[tuple[bytes, str], tuple[Entry, ...]] = {}

    def use(self, filters: dict[int, Entry]) -> None:
        """From now on these filters, by id."""
        self._chains, self._filters = {}, filters

    @property
    def waits(self) -> bool:
        """Whether a hook of any filter is ``async def``, or a filter ticks."""
        return any(entry.waits or entry.tick_s for entry in self._filters.values())

    def ticking(self) -> list[Entry]:
        """The filters that are called by time."""
        return [entry for entry in self._filters.values() if entry.tick_s]

    async def tick(self, entry: Entry) -> None:
        """Call a filter by time until it is replaced."""
        while self._filters.get(entry.id) is entry and entry.tick_s:
            await asyncio.sleep(entry.tick_s)
            try:
                self.limit.due = monotonic_ns() + entry.timeout_ns
                answer = entry.instance.on_tick()
                self.limit.due = 0
                if answer is not None:
                    async with asyncio.timeout(entry.timeout_ms / 1000):
                        await answer
            except (Exception, HookTimeout) as error:
                self.limit.due = 0
                log.error("%s: on_tick: %s", entry.name, describe(error, entry.file))

    def take(self, buffer: bytearray, size: int) -> int:
        """Run the whole frames in the first ``size`` bytes; returns how many bytes they are.

        Raises:
            ProtocolError: a frame that is no frame.
        """
        position = 0
        view = memoryview(buffer)
        while size - position >= 4:
            (length,) = wire.LENGTH.unpack_from(buffer, position)
            if not 1 <= length <= wire.FRAME_AT_MOST:
                raise ProtocolError(f"a frame of {length} bytes")
            end = position + 4 + length
            if end > size:
                break
            try:
                self._frame(buffer, view, position, end)
            except (struct.error, IndexError) as error:
                raise ProtocolError(f"a frame that is cut off: {error}") from error
            position = end
        return position

    def _frame(self, buffer: bytearray, view: memoryview, start: int, end: int) -> None:
        if buffer[start + 4] == wire.END:
            known = self.exchanges.pop(wire.NUMBER.unpack_from(buffer, start + 5)[0], None)
            if known is not None:
                self._over(known)
            return
        if buffer[start + 4] == wire.ACK:
            return
        _, kind, exchange, deadline, flags, count = wire.CALL.unpack_from(buffer, start)
        ids = start + wire.CALL.size
        rest = ids + 4 * count
        if rest > end:
            raise ProtocolError("a frame with more filters than bytes")
        names = bytes(view[ids:rest])
        if kind == wire.REQUEST:
            request = Request(bytes(view[rest:end]))
            if flags & wire.KEEP:
                self.exchanges[exchange] = request
            if flags & wire.SILENT:
                return
            chain = self._chain(names, "request")
            call = Call(exchange, wire.REQUEST_SIDE, "request", chain, request, (request,))
        else:
            known = self.exchanges.get(exchange)
            side = wire.RESPONSE_SIDE
            if kind == wire.BODY and not flags & wire.ANSWERING:
                side = wire.REQUEST_SIDE
            if known is None:
                self.out.append(wire.answer(wire.LOST, exchange, side, [], b""))
                return
            call = self._later(kind, exchange, side, names, known, flags, bytes(view[rest:end]))
        if deadline and deadline < monotonic_ns():
            self.out.append(wire.answer(wire.LOST, exchange, call.side, [], b""))
        else:
            self._run(call)

    def _later(
        self,
        kind: int,
        exchange: int,
        side: int,
        names: bytes,
        request: Request,
        flags: int,
        rest: bytes,
    ) -> Call:
        """A call about the response, or about a piece of a body."""
        if kind == wire.RESPONSE:
            response = Response(wire.STATUS.unpack_from(rest)[0], rest[wire.STATUS.size :])
            chain = self._chain(names, "response")
            return Call(exchange, side, "response", chain, response, (request, response))
        if kind == wire.BODY:
            hook = "request_body" if side == wire.REQUEST_SIDE else "response_body"
            args = (request, rest, bool(flags & wire.LAST))
            return Call(exchange, side, hook, self._chain(names, hook), None, args)
        raise ProtocolError(f"a frame of kind {kind}")

    def _chain(self, names: bytes, hook: str) -> tuple[Entry, ...]:
        key = (names, hook)
        chain = self._chains.get(key)
        if chain is None:
            filters = self._filters
            ids = struct.unpack(f"<{len(names) // 4}I", names)
            found = [filters[id_] for id_ in ids if id_ in filters]
            found = [entry for entry in found if hook in entry.hooks]
            if hook.startswith("response"):
                found.reverse()
            chain = self._chains[key] = tuple(found)
        return chain

    def _run(self, call: Call) -> None:
        """Run hooks until the chain's end, or until one waits."""
        chain, hook, limit, subject = call.chain, call.hook, self.limit, call.subject
        going = True
        while going and call.index < len(chain):
            entry = chain[call.index]
            if hook in entry.waits:
                assert self.spawn is not None, "a waiting hook without a loop"
                self.spawn(self._finish(call))
                return
            call.index += 1
            mark = len(subject.operations) if subject is not None else 0
            start = monotonic_ns()
            try:
                try:
                    limit.due = start + entry.timeout_ns
                    answer = entry.hooks[hook](*call.args)
                    limit.due = 0
                    going = call.settle(entry, start, answer)
                except Exception as error:
                    limit.due = 0
                    going = call.fail(entry, start, mark, error)
            except HookTimeout as error:
                going = call.fail(entry, start, mark, error)
        self._done(call)

    def _done(self, call: Call) -> None:
        """The chain is through."""
        self.out.append(call.frame())
        if len(self.out) >= SEND_AFTER:
            # The first of a large batch need not wait for its last.
            self.wake()
        if call.hook == "request" and call.exchange not in self.exchanges:
            self._over(call.args[0])

    def _over(self, request: Request) -> None:
        try:
            request.finish()
        except Exception as error:
            log.error("at the end of %r: %s", request, describe(error, ""))

    async def _finish(self, call: Call) -> None:
        """The rest of a chain whose next hook waits, and its answer."""
        await self.complete(call)
        self._done(call)
        self.wake()

    async def complete(self, call: Call) -> None:
        """The rest of a chain, whether its hooks wait or not."""
        subject = call.subject
        going = True
        while going and call.index < len(call.chain):
            entry = call.chain[call.index]
            call.index += 1
            mark = len(subject.operations) if subject is not None else 0
            start = monotonic_ns()
            try:
                answer = await self._one(call, entry, start)
                going = call.settle(entry, start, answer)
            except (Exception, HookTimeout) as error:
                self.limit.due = 0
                going = call.fail(entry, start, mark, error)

    async def _one(self, call: Call, entry: Entry, start: int) -> Any:
        """One hook of a chain that waits."""
        hook = entry.hooks[call.hook]
        if call.hook in entry.waits:
            async with asyncio.timeout(entry.timeout_ms / 1000):
                return await hook(*call.args)
        self.limit.due = start + entry.timeout_ns
        answer = hook(*call.args)
        self.limit.due = 0
        return answer
