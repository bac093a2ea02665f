"""The host's main program: its loops, its watch of the folder, its end.

The main thread runs the hooks. As long as no hook is ``async def`` it blocks in ``recv``: one
system call to wake, one to answer. When a filter waits, asyncio's loop takes over the same socket.
A second thread sleeps in inotify and loads changed files; the proxy is told at once, and the first
frame after that (it acknowledges) makes the main thread take the new table whole.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import Any

from cloudwright.proxy.host import wire
from cloudwright.proxy.host.engine import Engine, ProtocolError
from cloudwright.proxy.host.entry import Entry
from cloudwright.proxy.host.folder import Folder
from cloudwright.proxy.host.limits import Limit
from cloudwright.proxy.host.source import SourceError, stop
from cloudwright.proxy.host.watch import Watch

BUFFER = 256 * 1024
LATENCY_SECONDS = 0.0005
"""How long a hook may have to wait for the interpreter while a changed file is loaded."""
log = logging.getLogger("cloudwright.filters")


class Host:
    """One socket to the proxy and one folder."""

    def __init__(self, channel: socket.socket, folder: Folder) -> None:
        """``channel`` is a blocking stream socket; the host owns it from now on."""
        self.channel = channel
        self.folder = folder
        self.engine = Engine(Limit())
        self.engine.wake = self._send
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._sending = Lock()
        self._news: SimpleQueue[tuple[dict[int, Entry], list[Entry]]] = SimpleQueue()

    def run(self) -> None:
        """Serve until the proxy closes the socket. Only in the main thread.

        Raises:
            ProtocolError: what came is no frame.
            OSError: the folder cannot be read or watched.
        """
        self.engine.limit.install()
        watch = Watch(self.folder.path)
        _, gone = self.folder.refresh()
        self.engine.use(self.folder.filters())
        self._report(stop(gone) + self.folder.errors)
        self._transmit(wire.announce(self.folder.describe()))
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(LATENCY_SECONDS)
        with ThreadPoolExecutor(1) as beside:
            following = beside.submit(self._follow, watch)
            following.add_done_callback(lambda done: self._followed(done.exception()))
            try:
                while self._serve() if not self.engine.waits else asyncio.run(self._wait()):
                    pass
            finally:
                watch.close()
        self._report(self.folder.close())

    def _serve(self) -> bool:
        """The blocking loop; True when a filter waits from now on, False at the end."""
        receive, take, send = self._receive, self._take, self._send
        while receive():
            if not self._news.empty() and self._renew():
                return True
            take()
            send()
        return False

    async def _wait(self) -> bool:
        """The same with asyncio's loop, for hooks that wait; False at the end."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[bool] = loop.create_future()
        ticking: dict[Entry, asyncio.Task[None]] = {}

        def guarded(step: Callable[[], bool | None]) -> Callable[[], None]:
            def call() -> None:
                try:
                    if step() is not None and not over.done():
                        over.set_result(False)
                except Exception as error:
                    if not over.done():
                        over.set_exception(error)

            return call

        def follow() -> None:
            for entry in self.engine.ticking():
                if entry not in ticking:
                    ticking[entry] = tasks.create_task(self.engine.tick(entry))

        def readable() -> bool | None:
            if not self._receive():
                return False
            if not self._news.empty():
                self._renew()
                follow()
            self._take()
            self._send()
            return None

        async with asyncio.TaskGroup() as tasks:
            self.engine.spawn = tasks.create_task
            follow()
            self._take()
            self._send()
            loop.add_reader(self.channel.fileno(), guarded(readable))
            try:
                return await over
            finally:
                loop.remove_reader(self.channel.fileno())
                for task in ticking.values():
                    task.cancel()

    def _receive(self) -> bool:
        """Read what there is; False when the proxy has closed the socket."""
        if self._filled == len(self._buffer):
            larger = bytearray(2 * self._filled)
            larger[: self._filled] = self._buffer
            self._buffer, self._view = larger, memoryview(larger)
        try:
            size = self.channel.recv_into(self._view[self._filled :])
        except ConnectionError:
            return False
        self._filled += size
        return size > 0

    def _take(self) -> None:
        """Run every whole frame, keep the rest."""
        taken = self.engine.take(self._buffer, self._filled)
        left = self._filled - taken
        if left and taken:
            self._buffer[:left] = self._buffer[taken : self._filled]
        self._filled = left

    def _send(self) -> None:
        out = self.engine.out
        if out:
            self._transmit(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def _transmit(self, frames: bytes) -> None:
        with self._sending:
            try:
                self.channel.sendall(frames)
            except ConnectionError:
                # The proxy is gone; the next recv says so.
                pass

    def _renew(self) -> bool:
        """Take the new table; whether a filter of it waits."""
        while not self._news.empty():
            filters, gone = self._news.get_nowait()
            self.engine.use(filters)
            self._report(stop(gone))
        return self.engine.waits

    def _follow(self, watch: Watch) -> None:
        """In a thread: load what changed, tell the proxy."""
        known = self.folder.errors
        while watch.wait():
            changed, gone = self.folder.refresh()
            if not changed:
                continue
            self._news.put((self.folder.filters(), gone))
            self._report([error for error in self.folder.errors if error not in known])
            known = self.folder.errors
            self._transmit(wire.announce(self.folder.describe()))

    def _followed(self, error: BaseException | None) -> None:
        """The watch is over: at the end, or because the folder went away."""
        if error is not None:
            log.error("%s: %s; restarting", self.folder.path, error)
            self.channel.shutdown(socket.SHUT_RDWR)

    def _report(self, errors: list[SourceError]) -> None:
        for error in errors:
            log.error("%s", error)


def serve(channel: socket.socket, folder: Folder) -> None:
    """Run filters for the proxy at the other end of ``channel`` until it closes it.

    Raises:
        ProtocolError: what came is no frame.
        OSError: the folder cannot be read or watched.
    """
    Host(channel, folder).run()


__all__: list[Any] = ["BUFFER", "Host", "ProtocolError", "serve"]
