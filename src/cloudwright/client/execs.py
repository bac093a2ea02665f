"""Running a command in a container over the API (``pods/exec``, WebSocket v5 or v4).

Source: kubernetes ``k8s.io/apimachinery/pkg/util/remotecommand/constants.go``: the first byte of a
message is the channel; channel 3 ends with a ``Status``, channel 255 (v5) half-closes another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import orjson

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError, TimedOutError, UnreachableError
from cloudwright.client.transport import Request
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.model.resources import POD

STDIN, STDOUT, STDERR, ERROR, CLOSE = 0, 1, 2, 3, 255
V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_TAIL = 4096
_PIECE = 32 * 1024
_log = logs.get("client")


class ExecFailed(CloudwrightError):
    """The command could not be started."""

    default_code = "CW2410"


class PodExecs:
    """Runs commands to their end. ``operator.ports.PodCommands`` on any Kubernetes API."""

    def __init__(self, transport: HttpsTransport) -> None:
        self._transport = transport

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
        """Exit code, and the last 4 KiB of output and errors.

        Raises:
            ExecFailed: it could not be started.
            TimedOutError: it did not end in time (then it may go on: nobody can end it from here).
            UnreachableError: nobody answers, or the connection broke.
        """
        query = [("container", container), ("stdin", "1"), ("stdout", "1"), ("stderr", "1")]
        query += [("command", word) for word in command]
        request = Request("GET", POD.path(namespace, pod, "exec"), query)
        tail = bytearray()
        try:
            with anyio.fail_after(timeout):
                async with (
                    self._transport.websocket(request, (V5, V4)) as socket,
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(_feed, socket, stdin)
                    status = await _follow(socket, tail)
                    tasks.cancel_scope.cancel()
        except TimeoutError:
            where = f"{' '.join(command)} in pod {pod}"
            raise TimedOutError(f"{where} did not end within {timeout:g} s") from None
        if status is None:
            raise UnreachableError("the API broke off while a command ran")
        return _exit_code(status, command), tail.decode(errors="replace")


async def _feed(socket: Any, stdin: bytes) -> None:
    """Send the input and its end; a command may be over before it has read it."""
    try:
        for at in range(0, len(stdin), _PIECE):
            await socket.send_bytes(bytes([STDIN]) + stdin[at : at + _PIECE])
        if socket.protocol == V5:
            await socket.send_bytes(bytes([CLOSE, STDIN]))
    except OSError as error:
        _log.debug("a command did not wait for its input: %s", error)


async def _follow(socket: Any, tail: bytearray) -> Any:
    """The status at the end; ``None`` when the other side broke off before."""
    async for message in socket:
        data = message.data
        if not isinstance(data, bytes) or not data:
            continue
        if data[0] in (STDOUT, STDERR):
            tail += data[1:]
            del tail[:-_TAIL]
        elif data[0] == ERROR and len(data) > 1:
            return orjson.loads(data[1:])
    return None


def _exit_code(status: Any, command: Sequence[str]) -> int:
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause.get("message") or 1)
    raise ExecFailed(f"{' '.join(command)} cannot be run", cause=str(status.get("message") or ""))
