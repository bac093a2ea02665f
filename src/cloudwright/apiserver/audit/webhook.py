"""The server that gets audit events (``--audit-webhook-config-file``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cloudwright._base.errors import UnreachableError
from cloudwright.client.transport import Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_SECONDS = 30.0


class AuditHook:
    """Posts batches to exactly the URL of a kubeconfig's server."""

    def __init__(self, file: Path, transport: Callable[[], Transport] | None = None) -> None:
        self._file = file
        self._make = transport or self._open
        self._transport: Transport | None = None

    def _open(self) -> Transport:
        from cloudwright.client import kubeconfig
        from cloudwright.client.transports.https import HttpsTransport

        return HttpsTransport(kubeconfig.read(self._file))

    async def post(self, body: bytes) -> None:
        """Deliver one ``EventList``.

        Raises:
            UnreachableError: nobody took it.
        """
        if self._transport is None:
            self._transport = self._make()
        request = Request("POST", "", headers=_HEADERS, body=body)
        answer = await self._transport.request(request, timeout=_SECONDS)
        if not 200 <= answer.status < 300:
            raise UnreachableError(f"the audit webhook answers HTTP {answer.status}")

    async def aclose(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.aclose()
