"""The seam between the client and whoever answers: HTTPS to a server, or a call in the same
process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without the HTTP. Header names are lower-case."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Carries requests. Raises ``UnreachableError`` when nobody answers; a status ≥ 400 is a
    ``Reply``.
    """

    async def request(self, request: Request, *, timeout: float | None = None) -> Reply:
        """Send and read the whole answer."""

    def stream(
        self, request: Request
    ) -> AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]:
        """Send and read the answer's body as it comes: ``(status, chunks)``."""

    async def aclose(self) -> None:
        """Close what is open."""
