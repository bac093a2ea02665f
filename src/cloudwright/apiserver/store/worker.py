"""A thread that runs one call after the other, for work that waits for the disk.

``anyio.to_thread`` costs about half as much again for each call (limiter, context, scope); a
commit takes this way thousands of times a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")


class Worker:
    """Runs calls in a thread of its own, in order. ``serve`` must be running."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None]
        self._calls = SimpleQueue()
        self._closed = False

    async def serve(self) -> None:
        """Run what is asked until closed; what was asked before is done still."""
        loop = asyncio.get_running_loop()
        await to_thread.run_sync(self._work, loop, limiter=CapacityLimiter(1))

    async def run(self, call: Callable[[], T]) -> T:
        """The result of ``call``, or what it raises. A cancelled wait does not stop it."""
        if self._closed:
            raise RuntimeError("the worker is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((call, future))
        return await future

    def close(self) -> None:
        """End ``serve`` once everything asked is done."""
        self._closed = True
        self._calls.put(None)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while (one := self._calls.get()) is not None:
            call, future = one
            try:
                result = call()
            except BaseException as error:
                loop.call_soon_threadsafe(_fail, future, error)
            else:
                loop.call_soon_threadsafe(_finish, future, result)
            # Else the last result would stay alive until the next call.
            del one, call, future
            result = None


def _finish(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
