"""What must not lose a request: snapshots, certificates, drains. And what must be refused."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.integration.proxy.proxy_world import (
    Authority,
    Proxy,
    World,
    binary,
    echo,
    free_port,
    replace,
    spiffe,
)

pytestmark = pytest.mark.anyio


class Load:
    """Requests from several clients without a pause, as long as it is open."""

    def __init__(self, url: str, clients: int = 8) -> None:
        self._url, self._clients = url, clients
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.done = 0
        self.failed: list[str] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._run(n)) for n in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def until(self, count: int) -> None:
        """Wait for that many more answers."""
        goal = self.done + count
        while self.done < goal:
            await asyncio.sleep(0.005)

    async def _run(self, number: int) -> None:
        async with aiohttp.ClientSession() as session:
            while not self._stop.is_set():
                method = "POST" if number % 2 else "GET"
                try:
                    async with session.request(method, self._url, data=b"x" * 100) as got:
                        text = await got.text()
                        if got.status != 200:
                            self.failed.append(f"{got.status} {text[:200]}")
                except aiohttp.ClientError as error:
                    self.failed.append(repr(error))
                self.done += 1


async def mesh(world: World, names: list[str]) -> tuple[Proxy, list[Proxy], str]:
    """A gateway before sidecars of one Service; gives the URL too."""
    sides = []
    for number, name in enumerate(names):
        sides.append(world.sidecar(name, f"127.0.0.{number + 2}", await world.app(echo)))
    world.service("web", sides)
    world.route("web", "/")
    world.publish()
    gateway = world.gateway()
    for proxy in world.proxies:
        await proxy.start()
    return gateway, sides, f"http://{gateway.bootstrap['http'][0]}/x"


async def test_snapshots_change_under_load(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        gateway, sides, url = await mesh(world, ["web-1", "web-2", "web-3"])
        async with Load(url) as load:
            for turn in range(30):
                world.service("web", [sides[turn % 3], sides[(turn + 1) % 3]])
                await world.settle()
                await load.until(10)
        assert load.failed == []
        assert (await gateway.config())["version"] == world.snapshot["version"]


async def test_shares_change_and_a_canary_comes_and_goes_under_load(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _gateway, sides, url = await mesh(world, ["web-1", "web-2", "canary-1"])
        heard: dict[str, int] = {}

        async def publish(weight: int, canary: list[Proxy]) -> None:
            web = world.service("web", sides[:2])
            world.service("web-canary", canary, ip="10.96.0.99")
            shares = [("web", 100 - weight), ("web-canary", weight)]
            web["backends"] = [{"service": name, "weight": share} for name, share in shares]
            await world.settle()

        async def sample(count: int) -> float:
            """The share of the canary among so many requests."""
            heard.clear()
            async with aiohttp.ClientSession() as session:
                for _ in range(count):
                    async with session.get(url) as got:
                        assert got.status == 200
                        name = got.headers["x-mesh-sidecar"]
                        heard[name] = heard.get(name, 0) + 1
            return sum(n for name, n in heard.items() if "canary" in name) / count

        async with Load(url) as load:
            await publish(0, sides[2:])
            assert await sample(50) == 0
            await publish(30, sides[2:])
            assert 0.1 < await sample(300) < 0.5
            await publish(100, sides[2:])
            assert await sample(50) == 1
            # The canary dies without a word, still in the snapshot with every request.
            await sides[2].stop()
            world.proxies.remove(sides[2])
            await load.until(100)
            await publish(100, [])
            assert await sample(50) == 0
            await load.until(50)
        assert load.failed == []


async def test_certificates_rotate_under_load(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _gateway, _sides, url = await mesh(world, ["web-1", "web-2"])
        before = [(await one.config())["cert_serial"] for one in world.proxies]
        async with Load(url) as load:
            for _ in range(5):
                for one in world.proxies:
                    one.rotate(world.authority)
                    await load.until(10)
        assert load.failed == []
        after = [(await one.config())["cert_serial"] for one in world.proxies]
        assert all(old != new for old, new in zip(before, after, strict=True))


async def test_who_waits_is_told_of_readiness_and_of_another_certificate(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _gateway, sides, _url = await mesh(world, ["web-1"])
        side = sides[0]
        assert (await side.admin("GET", "/wait?ready=1&timeout_ms=20000"))[0] == 200
        serial = (await side.config())["cert_serial"]
        still = await side.admin("GET", f"/wait?serial_not={serial}&timeout_ms=50")
        assert still[0] == 504
        asked = asyncio.create_task(
            side.admin("GET", f"/wait?serial_not={serial}&timeout_ms=20000")
        )
        side.rotate(world.authority)
        assert (await asked)[0] == 200
        assert (await side.config())["cert_serial"] != serial
        assert (await side.admin("GET", "/wait"))[0] == 400


async def test_a_sidecar_drains_and_ends_under_load(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _gateway, sides, url = await mesh(world, ["web-1", "web-2", "web-3"])
        async with Load(url) as load:
            await load.until(50)
            status, said = await sides[0].admin("POST", "/drain?timeout_ms=3000")
            assert status == 200, said
            assert (await sides[0].admin("GET", "/ready"))[0] == 503
            await load.until(50)
            assert await sides[0].stop() == 0
            await load.until(50)
            assert await sides[1].stop() == 0  # without a word before, still in the snapshot
            await load.until(50)
        assert load.failed == []


async def test_sigterm_lets_a_request_end(tmp_path: Path) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def held(_: web.Request) -> web.Response:
        entered.set()
        await leave.wait()
        return web.Response(text="whole")

    async with World(tmp_path) as world:
        side = world.sidecar("web-1", "127.0.0.2", await world.app(held))
        world.service("web", [side])
        world.route("web", "/")
        world.publish()
        gateway = world.gateway()
        for proxy in world.proxies:
            await proxy.start()
        async with aiohttp.ClientSession() as session:
            url = f"http://{gateway.bootstrap['http'][0]}/"
            request = asyncio.create_task(session.get(url))
            await entered.wait()
            endings = [asyncio.create_task(one.stop()) for one in (gateway, side)]
            await asyncio.sleep(0)
            leave.set()
            answer = await request
            assert (answer.status, await answer.text()) == (200, "whole")
            assert await asyncio.gather(*endings) == [0, 0]


async def test_a_bad_snapshot_is_refused_whole(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        gateway, _, url = await mesh(world, ["web-1"])
        good = world.snapshot["version"]
        for text in (
            b"{",
            json.dumps({**world.snapshot, "version": 1}).encode(),
            json.dumps({**world.snapshot, "version": 99, "trust_domain": "x"}).encode(),
        ):
            replace(world.snapshot_file, text)
            for _ in range(200):
                if (await gateway.config())["rejected"]:
                    break
                await asyncio.sleep(0.01)
            config = await gateway.config()
            assert config["rejected"]
            assert config["version"] == good
            async with aiohttp.ClientSession() as session, session.get(url) as got:
                assert got.status == 200
        assert "snapshot_rejected_total 3" in (await gateway.admin("GET", "/metrics"))[1]
        await world.settle()
        assert (await gateway.config())["rejected"] is None


def _context(authority: Authority, identity: str | None, directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if identity:
        cert, key = authority.issue(identity)
        (directory / "c.pem").write_bytes(cert + key)
        context.load_cert_chain(directory / "c.pem")
    return context


async def _accepted(proxy: Proxy, context: ssl.SSLContext | None) -> bool:
    """Whether the inbound side speaks HTTP/2 with us."""
    host, port = proxy.bootstrap["ip"], proxy.bootstrap["inbound_port"]
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        await writer.drain()
        head = await reader.read(9)
        writer.close()
    except (ssl.SSLError, OSError):
        return False
    return len(head) == 9 and head[3] == 4


async def test_only_mesh_peers_come_in(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _, [side], _ = await mesh(world, ["web-1"])
        own, foreign = world.authority, Authority()
        assert await _accepted(side, _context(own, spiffe("shop"), tmp_path))
        assert not await _accepted(side, None)
        assert not await _accepted(side, _context(own, None, tmp_path))
        assert not await _accepted(side, _context(foreign, spiffe("shop"), tmp_path))
        assert not await _accepted(side, _context(own, "spiffe://other/ns/a/sa/b", tmp_path))
        text = (await side.admin("GET", "/metrics"))[1]
        assert "handshakes_rejected_total 4" in text


async def test_an_endpoint_must_prove_its_identity(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        _, [side], url = await mesh(world, ["web-1"])
        side.identity = spiffe("other")
        world.service("web", [side])
        await world.settle()
        async with aiohttp.ClientSession() as session, session.get(url) as got:
            assert got.status == 503
            assert "is spiffe://cluster.local/ns/default/sa/default" in await got.text()


async def test_probes_and_tunnel(tmp_path: Path) -> None:
    async def app(request: web.Request) -> web.Response:
        status = 200 if request.path == "/ok" else 500
        return web.Response(status=status, text="details\nhere")

    async with World(tmp_path) as world:
        port = await world.app(app)
        side = world.sidecar("web-1", "127.0.0.2", port)
        await side.start()

        async def probe(**request: Any) -> dict[str, Any]:
            status, text = await side.admin("POST", "/probe", {"timeout_ms": 1000, **request})
            assert status == 200
            answer: dict[str, Any] = json.loads(text)
            return answer

        good = await probe(type="http", port=port, path="/ok", headers={"x": "y"})
        assert good == {"ok": True, "status": 200, "message": "HTTP 200 OK"}
        bad = await probe(type="http", port=port, path="/no")
        assert (bad["ok"], bad["status"]) == (False, 500)
        assert "details here" in bad["message"]
        assert (await probe(type="tcp", port=port))["ok"]
        assert not (await probe(type="tcp", port=free_port()))["ok"]
        assert not (await probe(type="nonsense", port=port))["ok"]
        reader, writer = await asyncio.open_unix_connection(str(side.bootstrap["admin"]))
        writer.write(
            f"GET /tunnel?port={port} HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\n"
            "Upgrade: tcp\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(b"GET /ok HTTP/1.0\r\n\r\n")
        assert b"200 OK" in await reader.read()
        writer.close()


def _question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


async def test_dns_over_udp_and_tcp(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        side = world.sidecar("web-1", "127.0.0.2", free_port())
        world.service("web", [side], ip="10.96.0.77")
        world.publish()
        await side.start()
        host, port = "127.0.0.2", side.bootstrap["dns_port"]

        async def udp(question: bytes) -> bytes:
            got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

            class Client(asyncio.DatagramProtocol):
                def datagram_received(self, data: bytes, addr: object) -> None:
                    got.set_result(data)

            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                Client, remote_addr=(host, port)
            )
            transport.sendto(question)
            try:
                return await asyncio.wait_for(got, 5)
            finally:
                transport.close()

        for name in ("web", "web.default.svc", "web.default.svc.cluster.local"):
            answer = await udp(_question(name, 1))
            assert answer.endswith(bytes([10, 96, 0, 77])), name
            assert answer[3] & 15 == 0
        assert struct.unpack("!H", (await udp(_question("web", 28)))[6:8]) == (0,)
        assert (await udp(_question("nope.default.svc.cluster.local", 1)))[3] & 15 == 3
        assert (await udp(_question("example.com", 1)))[3] & 15 == 3
        reader, writer = await asyncio.open_connection(host, port)
        for _ in range(2):
            question = _question("web", 1)
            writer.write(struct.pack("!H", len(question)) + question)
            length = struct.unpack("!H", await reader.readexactly(2))[0]
            assert (await reader.readexactly(length)).endswith(bytes([10, 96, 0, 77]))
        writer.close()


async def test_wrong_bootstrap_and_busy_port_are_clear(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        side = world.sidecar("web-1", "127.0.0.2", free_port())
        await side.start()
        file = side.directory / "bootstrap.json"

        def run(role: str, *more: str) -> tuple[int, str]:
            done = subprocess.run(
                [binary(), role, *more], capture_output=True, text=True, timeout=20, check=False
            )
            return done.returncode, done.stderr

        assert run("sidecar", "--bootstrap", str(file), "--validate")[0] == 0
        code, said = run("sidecar", "--bootstrap", str(file))
        assert code == 1
        assert f"cannot listen on 127.0.0.2:{side.bootstrap['inbound_port']}" in said
        bad = tmp_path / "bad.json"
        bad.write_text(json.dumps({**side.bootstrap, "inbound_port": 70000}))
        code, said = run("sidecar", "--bootstrap", str(bad))
        assert (code, len(said.splitlines())) == (2, 1)
        assert str(bad) in said
        assert "inbound_port" in said
        assert run("gateway", "--bootstrap", str(file))[0] == 2
