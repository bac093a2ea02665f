"""The daemon's own socket (``RUN/daemon.sock``, root only): what is not an object of the API.

``GET /status`` parts and memory · ``GET /usage`` CPU and memory · ``GET /proxies`` of the mesh ·
``POST /rotate`` all certificates. JSON out.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudwright._base.errors import CloudwrightError, UnreachableError
from cloudwright._base.paths import Paths

if TYPE_CHECKING:
    from cloudwright._base import http1

Answer = Callable[[Mapping[str, str]], Awaitable[Any]]
TIMEOUT_SECONDS = 30.0


def socket_path(paths: Paths) -> Path:
    """Where the socket is."""
    return paths.run / "daemon.sock"


@asynccontextmanager
async def serving(paths: Paths, answers: Mapping[str, Answer]) -> AsyncIterator[None]:
    """Serve ``answers`` (``"GET /status"`` → function of the query) as long as the block runs."""
    import anyio

    from cloudwright._base import http1

    path = socket_path(paths)
    async with (
        await anyio.create_unix_listener(path, mode=0o600) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(http1.serve, listener, partial(_answer, answers))
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()
            path.unlink(missing_ok=True)


async def _answer(answers: Mapping[str, Answer], asked: http1.Asked) -> http1.Answer:
    from cloudwright._base import http1

    found = answers.get(f"{asked.method} {asked.path}")
    if found is None:
        return http1.Answer(404, b'{"error":"there is no such path"}')
    try:
        value = await found(asked.query)
    except CloudwrightError as error:
        fields = {"message": error.message, "cause": error.cause, "hint": error.hint}
        value = {"error": {**fields, "code": error.code}}
        return http1.Answer(500, json.dumps(value).encode())
    return http1.Answer(200, json.dumps(value).encode())


class _Connection(http.client.HTTPConnection):
    """HTTP over the daemon's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("daemon", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))


def ask(paths: Paths, method: str, path: str) -> Any:
    """One call from the command line. Raises UnreachableError when no daemon runs, else its
    error.
    """
    connection = _Connection(socket_path(paths))
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        value = json.loads(answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(
            "the platform does not run here",
            cause=f"{socket_path(paths)}: {error}",
            hint="start it with `cloudwright up` (as root), or name its --state-dir",
        ) from error
    finally:
        connection.close()
    if answer.status >= 400:
        fields = value["error"]
        raise CloudwrightError(
            fields["message"], code=fields["code"], cause=fields["cause"], hint=fields["hint"]
        )
    return value
