"""Events (``v1 Event``): what happened to an object, with repeats counted instead of repeated."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from cloudwright._base import logs
from cloudwright._base.clock import Clock, SystemClock, rfc3339
from cloudwright._base.errors import CloudwrightError
from cloudwright.client.client import Client
from cloudwright.client.errors import NotFound
from cloudwright.model.objects import Object, name_of, namespace_of, resource_version, uid_of
from cloudwright.model.resources import EVENT

_log = logs.get("client")
NORMAL, WARNING = "Normal", "Warning"
_REMEMBERED = 2048
_MESSAGE_MAX = 1024


@dataclass(slots=True)
class _Seen:
    name: str
    count: int


class Recorder:
    """Writes events about objects as ``component``. A failed write is logged, never raised."""

    def __init__(
        self, client: Client, component: str, *, host: str = "", clock: Clock | None = None
    ) -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._clock = clock or SystemClock()
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def event(self, obj: Object, kind: str, reason: str, message: str) -> None:
        """Record ``reason`` (CamelCase) and ``message`` about ``obj``; ``kind`` is Normal or
        Warning.
        """
        message = message[:_MESSAGE_MAX]
        space = namespace_of(obj) or "default"
        text = "\0".join((space, uid_of(obj), name_of(obj), kind, reason, message))
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        try:
            if (seen := self._seen.get(key)) and await self._repeat(space, seen):
                self._seen.move_to_end(key)
                return
            await self._create(obj, space, key, kind, reason, message)
        except CloudwrightError as error:
            _log.warning("event %s on %s is not recorded: %s", reason, name_of(obj), error.message)

    async def normal(self, obj: Object, reason: str, message: str) -> None:
        """A Normal event."""
        await self.event(obj, NORMAL, reason, message)

    async def warning(self, obj: Object, reason: str, message: str) -> None:
        """A Warning event."""
        await self.event(obj, WARNING, reason, message)

    async def _repeat(self, space: str, seen: _Seen) -> bool:
        body = {"count": seen.count + 1, "lastTimestamp": rfc3339(self._clock.now())}
        try:
            await self._client.patch(EVENT, seen.name, body, space)
        except NotFound:
            return False
        seen.count += 1
        return True

    async def _create(
        self, obj: Object, space: str, key: str, kind: str, reason: str, message: str
    ) -> None:
        now = self._clock.now()
        moment = rfc3339(now)
        name = f"{name_of(obj)[:200]}.{int(now.timestamp() * 1e6):x}{key[:4]}"
        reference = {
            "apiVersion": obj.get("apiVersion", ""),
            "kind": obj.get("kind", ""),
            "name": name_of(obj),
            "namespace": namespace_of(obj),
            "uid": uid_of(obj),
            "resourceVersion": resource_version(obj),
        }
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": space},
            "involvedObject": {k: v for k, v in reference.items() if v},
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "source": self._source,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        await self._client.create(EVENT, event, space)
        self._seen[key] = _Seen(name, 1)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
