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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudwright._base.errors import CloudwrightError, UnreachableError
from cloudwright._base.paths import Paths

if TYPE_CHECKING:
    from aiohttp import web

Answer = Callable[[Mapping[str, str]], Awaitable[Any]]
TIMEOUT_SECONDS = 30.0


def socket_path(paths: Paths) -> Path:
    """Where the socket is."""
    return paths.run / "daemon.sock"


@asynccontextmanager
async def serving(paths: Paths, answers: Mapping[str, Answer]) -> AsyncIterator[None]:
    """Serve ``answers`` (``"GET /status"`` → function of the query) as long as the block runs."""
    from aiohttp import web

    def handler(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                value = await answer(request.query)
            except CloudwrightError as error:
                fields = {"message": error.message, "cause": error.cause, "hint": error.hint}
                return web.json_response({"error": {**fields, "code": error.code}}, status=500)
            return web.json_response(value)

        return handle

    app = web.Application()
    for line, answer in answers.items():
        method, _, target = line.partition(" ")
        app.router.add_route(method, target, handler(answer))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    path = socket_path(paths)
    path.unlink(missing_ok=True)
    try:
        await web.UnixSite(runner, str(path)).start()
        path.chmod(0o600)
        yield
    finally:
        await runner.cleanup()
        path.unlink(missing_ok=True)


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
