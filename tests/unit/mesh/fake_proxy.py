"""A proxy's admin socket and a gateway's mesh socket without the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web


class FakeProxy:
    """Watches a snapshot file as a proxy does (by asking), and answers the admin requests."""

    def __init__(self, socket: Path, snapshot: Path) -> None:
        self.socket = socket
        self.snapshot = snapshot
        self.version = 0
        self.frozen = False
        """Keep the version: a proxy that does not take new snapshots."""
        self.asked: list[int] = []
        self.probes: list[dict[str, Any]] = []
        self.metrics = "# HELP cw_x Requests.\n# TYPE cw_x counter\ncw_x 1\n"
        self._applied = asyncio.Condition()

    async def take(self) -> None:
        """Apply what is in the file."""
        async with self._applied:
            self.version = orjson.loads(self.snapshot.read_bytes())["version"]
            self._applied.notify_all()

    async def _wait(self, request: web.Request) -> web.Response:
        wanted = int(request.query["version"])
        self.asked.append(wanted)
        seconds = int(request.query["timeout_ms"]) / 1000
        if not self.frozen:
            await self.take()
        try:
            async with asyncio.timeout(seconds), self._applied:
                await self._applied.wait_for(lambda: self.version >= wanted)
        except TimeoutError:
            return web.json_response({"version": self.version}, status=504)
        return web.json_response({"version": self.version})

    async def _config(self, request: web.Request) -> web.Response:
        return web.json_response({"version": self.version, "rejected": None})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self.metrics)

    async def _probe(self, request: web.Request) -> web.Response:
        self.probes.append(await request.json())
        return web.json_response({"ok": True, "status": 200, "message": "fine"})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeProxy]:
        app = web.Application()
        app.router.add_get("/wait", self._wait)
        app.router.add_get("/config", self._config)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/probe", self._probe)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(self.socket)).start()
        try:
            yield self
        finally:
            await runner.cleanup()
            self.socket.unlink(missing_ok=True)


@asynccontextmanager
async def echo_tunnel(socket: Path, status: str = "101 Switching Protocols") -> AsyncIterator[None]:
    """An admin socket that only opens tunnels, and gives back what it gets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Upgrade: tcp" in head
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if not status.startswith("101"):
            writer.write(b"port 1 refuses connections")
            writer.close()
            return
        while data := await reader.read(1024):
            writer.write(data.upper())
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, socket)
    async with server:
        yield
