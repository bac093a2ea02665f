"""What the operator needs of its neighbours; filled in by ``platform`` or by ``__main__``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cloudwright.operator.engines.traffic import Traffic


class Hooks(Protocol):
    """Calls a life-cycle hook that is a URL (``webhook://NAME[/PATH]``, ``http://…``)."""

    async def call(
        self,
        url: str,
        namespace: str,
        payload: dict[str, Any],
        *,
        timeout: float = 10.0,
        key: str = "",
    ) -> None:
        """POST ``payload`` as JSON; ``CloudwrightError`` unless the answer is 2xx in time.

        ``key`` is sent as ``idempotency-key``: the same for each attempt of one call.
        """


class PodCommands(Protocol):
    """Runs a file in a container: hooks that are no URLs."""

    async def run(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        stdin: bytes,
        *,
        timeout: float,
    ) -> tuple[int, str]:
        """Exit code and the end of what it printed. Raises ``CloudwrightError`` when it cannot be
        run or does not end in time.
        """


@dataclass(frozen=True, slots=True)
class Use:
    """What a pod's own containers use: cores; bytes of memory where that is known."""

    cores: float
    memory: float | None = None


class Meter(Protocol):
    """Measures what Services answer and what pods use."""

    async def traffic(
        self, namespace: str, service: str, *, seconds: float, percentile: float
    ) -> Traffic | None:
        """What was answered in (about) the last ``seconds``; ``None``: not known yet. Raises
        ``CloudwrightError`` when nobody can be asked.
        """

    async def use(self, namespace: str, pods: Sequence[str]) -> Mapping[str, Use]:
        """What these pods use, by name; one that is not measured yet is left out. Raises
        ``CloudwrightError`` when nobody can be asked.
        """


class Signer(Protocol):
    """The cluster's authority, for CertificateSigningRequests."""

    def sign(self, request: bytes, usages: Sequence[str], seconds: float) -> bytes:
        """A certificate (PEM) for a request (PEM): its subject, names and key, with these usages
        (as the API writes them) and life. ``ValueError`` when it cannot be given.
        """
