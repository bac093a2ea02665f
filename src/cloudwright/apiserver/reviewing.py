"""Reviews that somebody else answers: token and access webhooks, by a file in kubeconfig format."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import orjson

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError, UsageError
from cloudwright.client.transport import Request, Transport

if TYPE_CHECKING:
    from cloudwright._base.clock import Clock

_log = logs.get("apiserver.reviews")
ATTEMPTS, FIRST_PAUSE, GROWTH = 5, 0.5, 1.5
_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_AGAIN = frozenset({429, 500, 502, 503, 504})


class ReviewError(CloudwrightError):
    """The webhook gave no answer that can be used."""

    default_code = "CW3331"


class Reviewer:
    """Sends reviews to the server of a kubeconfig, to exactly the URL that it names."""

    def __init__(
        self, file: Path, timeout: float = 30.0, transport: Callable[[], Transport] | None = None
    ) -> None:
        self._file = file
        self._timeout = timeout
        self._make = transport or self._open
        self._transport: Transport | None = None

    def _open(self) -> Transport:
        # Imported when first needed: most servers ask nobody.
        from cloudwright.client import kubeconfig
        from cloudwright.client.transports.https import HttpsTransport

        access = kubeconfig.read(self._file)
        if not access.server.startswith(("https://", "http://")):
            raise UsageError(f"{self._file} names no server")
        return HttpsTransport(access)

    async def ask(self, review: dict[str, Any]) -> dict[str, Any]:
        """The review with its status. What may pass is tried five times.

        Raises:
            ReviewError: no answer in time, or none that is a review.
        """
        if self._transport is None:
            self._transport = self._make()
        request = Request("POST", "", headers=_HEADERS, body=orjson.dumps(review))
        pause, why = FIRST_PAUSE, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await anyio.sleep(pause)
                pause *= GROWTH
            try:
                answer = await self._transport.request(request, timeout=self._timeout)
            except CloudwrightError as error:
                why = error.message
                continue
            if 200 <= answer.status < 300:
                return _status(answer.body, str(review["kind"]))
            why = f"HTTP {answer.status}"
            if answer.status not in _AGAIN:
                break
        raise ReviewError(f"the webhook in {self._file.name} gives no answer: {why}")

    async def aclose(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.aclose()


def _status(body: bytes, kind: str) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ReviewError(f"the answer is no JSON: {error}") from error
    status = found.get("status") if isinstance(found, dict) else None
    if not isinstance(status, dict) or found.get("kind") not in (kind, None):
        raise ReviewError(f"the answer is no {kind}")
    return status


class Remembered:
    """What was answered lately: at most ``most`` entries, each for its own time."""

    def __init__(self, clock: Clock, most: int = 8192) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[bytes, tuple[float, Any]] = OrderedDict()

    def get(self, key: bytes) -> Any:
        """What is remembered under a key; ``None``: nothing, or it is too old."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] <= self._clock.monotonic():
            del self._kept[key]
            return None
        return found[1]

    def keep(self, key: bytes, value: Any, seconds: float) -> None:
        """Remember ``value`` for so long."""
        if seconds <= 0:
            return
        self._kept[key] = (self._clock.monotonic() + seconds, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)


def digest(value: Any) -> bytes:
    """A key that does not tell what it stands for (a token, say)."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest()
