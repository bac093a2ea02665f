"""Writes the snapshot file: versions that never go back, no write without a change."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson
from anyio import to_thread

from cloudwright._base.files import write_atomic
from cloudwright.mesh import vitals
from cloudwright.mesh.notices import Notices
from cloudwright.mesh.snapshot import addresses_in


class Publisher:
    """The one writer of the snapshot."""

    def __init__(self, path: Path, trust_domain: str, changes: Notices | None = None) -> None:
        self._path = path
        self._changes = changes or Notices()
        self._empty: dict[str, Any] = {"trust_domain": trust_domain, "services": [], "routes": []}
        self._body: dict[str, Any] | None = None
        self._lock = anyio.Lock()
        self.version = 0
        self.excluded: set[str] = set()
        """Addresses that get no new requests, whatever their endpoints say."""

    @property
    def body(self) -> dict[str, Any]:
        """The snapshot that is on disk, without its version; an empty one when there is none."""
        return self._body or self._empty

    def load(self, floor: int) -> bool:
        """Continue the file that an earlier run left; whether there was a good one. Blocks.

        ``floor`` is the highest version that any proxy may have seen.
        """
        self.version = max(self.version, floor)
        try:
            found = orjson.loads(self._path.read_bytes())
            version = int(found.pop("version"))
            body = {key: found[key] for key in self._empty}
            addresses_in(body)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        self.version = max(self.version, version)
        if body["trust_domain"] == self._empty["trust_domain"]:
            self._body = body
        return True

    async def publish(self, body: dict[str, Any]) -> int:
        """Write ``body`` unless it is what the proxies have; the version that has it.

        Raises:
            OSError: it cannot be written; the old snapshot stays.
        """
        async with self._lock:
            return await self._publish(body)

    async def exclude(self, ip: str) -> int:
        """Take an address out of every Service now; the version without it.

        Raises:
            OSError: the snapshot cannot be written.
        """
        async with self._lock:
            self.excluded.add(ip)
            if self._body is None:  # nothing on disk: the next one will be without it
                return self.version + 1
            return await self._publish(self._body)

    async def _publish(self, body: dict[str, Any]) -> int:
        body = without(body, self.excluded)
        if body == self._body:
            return self.version
        version = self.version + 1
        data = orjson.dumps({"version": version, **body})
        with anyio.CancelScope(shield=True):  # what is on disk and what we know must not part
            await to_thread.run_sync(partial(write_atomic, self._path, data, mode=0o644))
            self._body, self.version = body, version
        vitals.SNAPSHOTS.inc()
        vitals.SNAPSHOT_VERSION.set(version)
        self._changes.tell()
        return version


def without(body: dict[str, Any], excluded: set[str]) -> dict[str, Any]:
    """``body`` without the endpoints at ``excluded`` addresses (pure)."""
    if not excluded & addresses_in(body):
        return body
    services = [
        {**s, "endpoints": [e for e in s["endpoints"] if e["ip"] not in excluded]}
        for s in body["services"]
    ]
    return {**body, "services": services}
