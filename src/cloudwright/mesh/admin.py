"""Talking to a running proxy through its admin socket (HTTP/1.1 on a Unix socket)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import orjson

from cloudwright._base import http1
from cloudwright._base.errors import TimedOutError
from cloudwright.mesh.errors import MeshError, ProxyUnreachableError

_HOST = "proxy"
_TUNNEL_HEAD_LIMIT = 16 * 1024


class AdminClient:
    """One proxy's admin socket. Every call opens a connection of its own.

    Raises (each method):
        ProxyUnreachableError: nobody answers on the socket, or the proxy ended while it answered.
        TimedOutError: the proxy is there but did not answer in time.
        MeshError: it answered with something else than the contract says.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    async def ready(self, *, timeout: float = 2.0) -> tuple[bool, str]:
        """Whether the proxy serves, and its own words."""
        status, body = await self._call("GET", "/ready", timeout=timeout)
        return status == 200, body.decode(errors="replace").strip()

    async def config(self, *, timeout: float = 2.0) -> dict[str, Any]:
        """What it runs: ``version``, ``rejected``, ``cert_serial``, ``draining`` and more."""
        return self._json(*await self._call("GET", "/config", timeout=timeout))

    async def wait(self, version: int, *, timeout: float) -> bool:
        """Whether the proxy applied snapshot ``version`` or a later one within ``timeout``."""
        return await self._wait("version", str(version), timeout)

    async def renewed(self, serial: str, *, timeout: float) -> bool:
        """Whether the proxy uses another certificate than ``serial`` within ``timeout``."""
        return await self._wait("serial_not", serial, timeout)

    async def serving(self, *, timeout: float) -> bool:
        """Whether the proxy is ready within ``timeout``."""
        return await self._wait("ready", "1", timeout)

    async def _wait(self, what: str, value: str, timeout: float) -> bool:
        query = {what: value, "timeout_ms": str(max(int(timeout * 1000), 1))}
        status, body = await self._call("GET", "/wait", query=query, timeout=timeout + 1.0)
        if status == 504:
            return False
        self._expect(status, body)
        return True

    async def metrics(self, *, timeout: float = 2.0) -> str:
        """Its metrics as Prometheus text."""
        status, body = await self._call("GET", "/metrics", timeout=timeout)
        self._expect(status, body)
        return body.decode(errors="replace")

    async def probe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Let it probe the application on its loopback; see ``node.ports.Mesh.probe``."""
        timeout = float(request.get("timeout_ms", 1000)) / 1000 + 2.0
        body = orjson.dumps(dict(request))
        return self._json(*await self._call("POST", "/probe", body=body, timeout=timeout))

    async def drain(self, *, timeout: float) -> None:
        """Let it take no more work; returns when it is idle, or at its deadline."""
        query = {"timeout_ms": str(max(int(timeout * 1000), 1))}
        status, body = await self._call("POST", "/drain", query=query, timeout=timeout + 2.0)
        self._expect(status, body)

    async def tunnel(
        self, port: int, *, timeout: float = 5.0
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A byte stream to ``port`` on the pod's loopback. The caller closes the writer."""
        try:
            async with asyncio.timeout(timeout):
                return await self._tunnel(port)
        except TimeoutError:
            raise TimedOutError(f"the proxy at {self.socket} opened no tunnel in time") from None

    async def _tunnel(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            reader, writer = await asyncio.open_unix_connection(
                self.socket, limit=_TUNNEL_HEAD_LIMIT
            )
        except OSError as error:
            raise self._gone(error) from None
        try:
            request = f"GET /tunnel?port={port} HTTP/1.1\r\nHost: proxy\r\n"
            writer.write(f"{request}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            words = head.split(b"\r\n", 1)[0].split(b" ", 2)
            if len(words) < 2 or words[1] != b"101":
                rest = await reader.read(400)
                said = rest.decode(errors="replace").strip() or words[-1].decode(errors="replace")
                raise MeshError(f"no tunnel to port {port}: {said}")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            writer.close()
            raise self._gone(error) from None
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float,
    ) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"} if body is not None else {}
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            with anyio.fail_after(timeout):
                async with await anyio.connect_unix(self.socket) as stream:
                    answer = await http1.ask(
                        stream, method, target, host=_HOST, headers=headers, body=body or b""
                    )
                    return answer.status, answer.body
        except TimeoutError:
            raise TimedOutError(
                f"the proxy at {self.socket} did not answer {path} within {timeout:g} s"
            ) from None
        except OSError as error:
            raise self._gone(error) from None

    def _gone(self, error: Exception) -> ProxyUnreachableError:
        return ProxyUnreachableError(
            f"no proxy answers at {self.socket}: {error}",
            hint="the sidecar may be starting, or have ended: see its log beside the pod's logs",
        )

    def _expect(self, status: int, body: bytes) -> None:
        if status != 200:
            said = body[:200].decode(errors="replace").strip()
            raise MeshError(f"the proxy at {self.socket} answered {status}: {said}")

    def _json(self, status: int, body: bytes) -> dict[str, Any]:
        self._expect(status, body)
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MeshError(f"the proxy at {self.socket} answered no JSON: {error}") from None
        if not isinstance(found, dict):
            raise MeshError(f"the proxy at {self.socket} answered no JSON object")
        return found
