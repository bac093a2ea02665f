"""A proxy of a configuration file as a process, and backends in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp
import anyio
import yaml
from aiohttp import web

from tests.integration.proxy.proxy_world import binary


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Backend:
    """An HTTP/1.1 server that says its name and what it saw; ``status`` can be changed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.status = 200
        self.seen: list[tuple[str, str]] = []
        self.delay = 0.0

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, request.path_qs))
        if request.headers.get("upgrade") == "websocket":
            return await self._websocket(request)
        if self.delay:
            await asyncio.sleep(self.delay)
        told = {
            "name": self.name,
            "method": request.method,
            "path": request.path_qs,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": body.decode("utf-8", "replace"),
        }
        return web.json_response(told, status=self.status)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            if message.type is aiohttp.WSMsgType.TEXT:
                await answer.send_str(f"{self.name}: {message.data}")
        return answer

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Self]:
        """Serves on the loopback."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        addresses = runner.addresses
        self.port = addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


class Plane:
    """A gateway process that runs from a file."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.file = folder / "gateway.yaml"
        self.admin_socket = folder / "admin.sock"
        self.log = folder / "stderr.log"
        self.process: asyncio.subprocess.Process | None = None
        self.session = aiohttp.ClientSession()

    @property
    def url(self) -> str:
        """Where its listener is."""
        return f"http://127.0.0.1:{self.port}"

    async def admin(self, path: str, method: str = "GET") -> Any:
        """An answer of the admin socket: JSON, or the text of the metrics."""
        connector = aiohttp.UnixConnector(path=str(self.admin_socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://admin{path}") as answer,
        ):
            text = await answer.text()
            return json.loads(text) if "json" in answer.content_type else text

    def write(self, config: dict[str, Any]) -> None:
        """Puts another configuration in place, by rename."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(config))
        fresh.rename(self.file)

    async def metric(self, name: str) -> float:
        """The value of an unlabelled metric."""
        for line in (await self.admin("/metrics")).splitlines():
            if line.startswith(f"cloudwright_proxy_{name} "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")

    async def applied(self, config: dict[str, Any]) -> None:
        """Puts another configuration in place and waits until it is in force."""
        before = await self.metric("config_applied_total")
        self.write(config)
        with anyio.fail_after(60):
            while await self.metric("config_applied_total") <= before:
                await anyio.sleep(0.02)

    async def get(self, path: str = "/", **options: Any) -> tuple[int, Any]:
        """Status and body (JSON where it is) of a request."""
        method = options.pop("method", "GET")
        async with self.session.request(method, self.url + path, **options) as answer:
            text = await answer.text()
            is_json = "json" in answer.content_type
            return answer.status, json.loads(text) if is_json else text


def config(plane_port: int, routes: list[dict[str, Any]], **clusters: Any) -> dict[str, Any]:
    """A configuration with one listener, one virtual host and these clusters by name."""
    return {
        "listeners": [{"name": "l", "address": f"127.0.0.1:{plane_port}", "routes": "r"}],
        "routes": [{"name": "r", "virtual_hosts": [{"domains": ["*"], "routes": routes}]}],
        "clusters": [{"name": name, **told} for name, told in clusters.items()],
    }


def endpoints(*backends: Backend | int) -> list[dict[str, Any]]:
    """Endpoints of a cluster."""
    ports = [one if isinstance(one, int) else one.port for one in backends]
    return [{"address": f"127.0.0.1:{port}"} for port in ports]


def forward(cluster: str, **options: Any) -> dict[str, Any]:
    """A route that sends everything to a cluster."""
    return {"action": {"forward": {"cluster": cluster, **options}}}


@contextlib.asynccontextmanager
async def plane(folder: Path, told: dict[str, Any], *options: str) -> AsyncIterator[Plane]:
    """Runs a gateway from a configuration made by :func:`config`."""
    port = int(told["listeners"][0]["address"].rsplit(":", 1)[1])
    one = Plane(folder, port)
    one.write(told)
    with one.log.open("wb") as log:
        one.process = await asyncio.create_subprocess_exec(
            str(binary()), "gateway", "run", "-c", str(one.file),
            "--admin", str(one.admin_socket), *options, stderr=log,
        )  # fmt: skip
    try:
        with anyio.fail_after(60):
            while True:
                assert one.process.returncode is None, one.log.read_text()
                with contextlib.suppress(aiohttp.ClientError):
                    if (await one.admin("/ready")).get("ready"):
                        break
                await anyio.sleep(0.02)
        yield one
    finally:
        await one.session.close()
        if one.process.returncode is None:
            one.process.terminate()
        await one.process.wait()
