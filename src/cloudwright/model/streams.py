"""The shape of an interactive stream into a container, as the API server's face and the node
both see it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

STDIN, STDOUT, STDERR = 0, 1, 2


class ExecSession(Protocol):
    """A process started by exec (or attached to). Close it to end the process."""

    async def write(self, data: bytes) -> None:
        """Send bytes to its standard input."""

    async def close_stdin(self) -> None:
        """End its standard input."""

    async def resize(self, columns: int, rows: int) -> None:
        """Tell a terminal its size."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """``(STDOUT|STDERR, data)`` until the process ends."""

    async def wait(self) -> int:
        """Its exit code (128 + n for signal n), once ``output`` has ended."""

    async def close(self) -> None:
        """Kill it if it still runs, and free what it holds."""


class ByteStream(Protocol):
    """A two-way byte stream into a pod's port (port-forward)."""

    async def receive(self) -> bytes:
        """The next bytes; empty at the end."""

    async def send(self, data: bytes) -> None:
        """Send bytes."""

    async def send_eof(self) -> None:
        """End the sending half."""

    async def aclose(self) -> None:
        """Close both halves."""


class PodStreams(Protocol):
    """What the API server needs of whoever runs the pods. Errors are ``CloudwrightError``s."""

    def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str | None = None,
        follow: bool = False,
        previous: bool = False,
        since_seconds: float | None = None,
        since_time: str | None = None,
        tail_lines: int | None = None,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        """Chunks of whole lines."""

    async def exec(
        self,
        namespace: str,
        pod: str,
        *,
        container: str | None,
        argv: tuple[str, ...],
        tty: bool,
        stdin: bool,
    ) -> ExecSession:
        """Start a command in a container."""

    async def attach(
        self, namespace: str, pod: str, *, container: str | None, stdin: bool
    ) -> ExecSession:
        """The streams of a running container's own process, from now on."""

    async def connect(self, namespace: str, pod: str, port: int) -> ByteStream:
        """Connect to a port on the pod's loopback."""
