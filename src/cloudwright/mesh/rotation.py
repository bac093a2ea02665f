"""Certificates are replaced while they are in use: at about half of their life, or on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import anyio
from anyio import to_thread

from cloudwright._base import logs
from cloudwright._base.clock import Clock
from cloudwright.mesh import vitals
from cloudwright.mesh.authority import Issued
from cloudwright.mesh.notices import Notices
from cloudwright.mesh.proxies import Leaf, ProxyFiles

_log = logs.get("mesh")
_RETRY = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(minutes=1)
"""The wall clock may be set; certificates follow it, so look at it again this often."""


def rotate_at(proxy: str, not_after: datetime, lifetime: timedelta) -> datetime:
    """When to replace a certificate: between 40 % and 50 % of its life, at a point that depends on
    the proxy, so that not all come at once.
    """
    digest = hashlib.sha256(proxy.encode()).digest()
    jitter = int.from_bytes(digest[:4], "big") / 2**32
    return not_after - lifetime * (0.5 + 0.1 * jitter)


@dataclass(frozen=True, slots=True)
class Held:
    """One certificate that is kept fresh: where it lies and who makes the next one."""

    proxy: str
    issue: Callable[[], Issued]
    lifetime: timedelta
    cert: str = "cert.pem"
    key: str = "key.pem"
    accept: Callable[[Leaf], bool] = lambda leaf: True
    """Whether a certificate that is on disk may stay (right identity, right authority)."""


class Rotator:
    """Keeps the certificates of all proxies fresh."""

    def __init__(self, files: ProxyFiles, clock: Clock, changes: Notices | None = None) -> None:
        self._files = files
        self._changes = changes or Notices()
        self._clock = clock
        self._held: dict[tuple[str, str], Held] = {}
        self._due: dict[tuple[str, str], datetime] = {}
        self._changed = anyio.Event()
        self._writing = anyio.Lock()

    async def ensure(self, held: Held) -> None:
        """Keep a certificate from now on; issue it at once unless a good one is on disk.

        Raises:
            OSError: it cannot be written.
        """

        def work() -> datetime:
            leaf = self._files.leaf(held.proxy, held.cert, held.key)
            if leaf is not None and held.accept(leaf):
                due = rotate_at(held.proxy, leaf.not_after, held.lifetime)
                if due > self._clock.now():
                    return due
            return self._replace(held)

        async with self._writing:
            due = await to_thread.run_sync(work)
            self._held[(held.proxy, held.cert)] = held
            self._due[(held.proxy, held.cert)] = due
        self._changed.set()
        self._changes.tell()

    async def forget(self, proxy: str) -> None:
        """Keep a proxy's certificates no longer; when this returns, none is being written."""
        async with self._writing:
            for key in [key for key in self._held if key[0] == proxy]:
                del self._held[key], self._due[key]

    def earliest_end(self) -> datetime | None:
        """When the next of all certificates is to be replaced."""
        return min(self._due.values(), default=None)

    async def rotate_all(self) -> list[str]:
        """Replace every certificate now; the ids of the proxies.

        Raises:
            OSError: one cannot be written; those before it are replaced.
        """
        for key in list(self._held):
            await self._rotate(key)
        self._changed.set()
        return sorted({proxy for proxy, _ in self._held})

    async def run(self) -> None:
        """Replace certificates as they get due, until cancelled."""
        while True:
            self._changed = anyio.Event()
            now = self._clock.now()
            for key, due in list(self._due.items()):
                if due <= now:
                    await self._rotate_or_retry(key)
            wait = _LONGEST_WAIT
            if self._due:
                wait = min(wait, min(self._due.values()) - self._clock.now())
            with anyio.move_on_after(max(wait.total_seconds(), 0.01)):
                await self._changed.wait()

    async def _rotate_or_retry(self, key: tuple[str, str]) -> None:
        try:
            await self._rotate(key)
        except OSError as error:
            vitals.ROTATION_FAILURES.inc()
            if key in self._due:
                self._due[key] = self._clock.now() + _RETRY
            _log.error("cannot replace a certificate", extra={"proxy": key[0], "why": str(error)})

    async def _rotate(self, key: tuple[str, str]) -> None:
        async with self._writing:
            held = self._held.get(key)
            if held is not None:
                self._due[key] = await to_thread.run_sync(partial(self._replace, held))
        self._changes.tell()

    def _replace(self, held: Held) -> datetime:
        issued = held.issue()
        self._files.write_leaf(held.proxy, issued, held.cert, held.key)
        vitals.CERTIFICATES.inc()
        return rotate_at(held.proxy, issued.not_after, held.lifetime)
