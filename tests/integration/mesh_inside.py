"""Pod network, mesh control and the real proxies together. Runs inside namespaces of its own
(``test_mesh_proxies.py`` makes them).
"""

from __future__ import annotations

import ctypes
import http.client
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from anyio import to_thread

from cloudwright._base.errors import CloudwrightError
from cloudwright._base.paths import Paths
from cloudwright.mesh.config import MeshConfig
from cloudwright.mesh.controller import MeshControl
from cloudwright.mesh.errors import HookError
from cloudwright.mesh.hooks import MeshHooks
from cloudwright.model.sandbox import Attachment, ProcessSpec
from cloudwright.network import netns
from cloudwright.network.config import NetworkConfig
from cloudwright.network.driver import BridgeNetwork
from tests.unit.mesh.mesh_objects import endpoint, piece, pod, route, service

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.netns]
T = TypeVar("T")
APPLICATION = 65532
SYSTEM_PYTHON = Path("/usr/bin/python3")
"""The one in a home directory cannot be read by an application."""
libc = ctypes.CDLL(None)
"localhost".encode("idna")  # loads the codec while we may still read it

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (sys.argv[1] + " " + self.path).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        for name in ("x-request-id", "x-mesh-ns", "x-mesh-sidecar"):
            self.send_header("seen-" + name, self.headers.get(name, "-"))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200 if self.path == "/" else 500)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""


def inside(place: Attachment, work: Callable[[], T]) -> T:
    """Run ``work`` in a pod as an application."""

    def run() -> T:
        libc.setfsuid(APPLICATION)
        try:
            return work()
        finally:
            libc.setfsuid(0)

    return netns.inside(place.netns, run)


class Rig:
    """Two pods of ``payment`` and one of ``web``, with sidecars and a gateway."""

    def __init__(self, folder: Path, leases: Path) -> None:
        self.paths = Paths(folder / "s", folder / "r", folder / "u")
        self.config = MeshConfig(paths=self.paths)
        self.network = BridgeNetwork(NetworkConfig(instance="abcdef", store=leases))
        self.mesh = MeshControl(self.config)
        self.hooks = MeshHooks(self.config)
        self.places: dict[str, Attachment] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.pods: dict[str, Any] = {}

    async def start(self) -> None:
        await self.network.start()
        await self.mesh.start()
        gateway = await self.mesh.gateway(["127.0.0.1:8080"], ["127.0.0.1:8443"])
        self.run_proxy(gateway)
        for name in ("payment-1", "payment-2", "web-1"):
            await self.add(name)
        await self.publish()
        await self.until_ready("gateway", *self.places)

    async def add(self, name: str) -> None:
        app, uid = name.split("-")[0], f"uid-{name}"
        place = await self.network.attach(uid, "default", name, egress=False)
        self.pods[name] = pod(name, place.ip, app=app)
        self.places[uid] = place
        python = SYSTEM_PYTHON if SYSTEM_PYTHON.exists() else sys.executable
        words = ["nsenter", f"--net={place.netns}", "setpriv", "--reuid", str(APPLICATION)]
        words += ["--clear-groups", str(python), "-c", SERVER, name]
        self.processes[f"app-{name}"] = subprocess.Popen(words)
        self.run_proxy(await self.mesh.enroll(self.pods[name], place))

    def run_proxy(self, spec: ProcessSpec) -> None:
        words = [f"--net={spec.netns}"] if spec.netns else []
        drop = ["setpriv", "--reuid", str(spec.uid), "--regid", str(spec.gid), "--clear-groups"]
        assert spec.log is not None
        with Path(spec.log.path).open("ab") as log:
            self.processes[spec.id] = subprocess.Popen(
                ["nsenter", *words, *drop, *spec.argv], stdout=log, stderr=log
            )

    async def publish(self, *, without: str = "") -> int:
        alive = {name: one for name, one in self.pods.items() if name != without}
        by_app: dict[str, list[Any]] = {}
        for name, one in alive.items():
            by_app.setdefault(name.split("-")[0], []).append(one)
        ports = [{"name": "http", "port": 80}]
        return await self.mesh.update(
            [service(a, f"10.96.0.{n + 20}", ports=ports) for n, a in enumerate(sorted(by_app))],
            [piece(app, *map(endpoint, ones)) for app, ones in by_app.items()],
            list(alive.values()),
            [route("payment", pathPrefix="/payment", stripPrefix=True)],
        )

    async def until_ready(self, *proxies: str) -> None:
        """Return once each proxy serves the newest snapshot, and its application listens."""
        with anyio.fail_after(20):
            for proxy in proxies:
                while not await self._ready(proxy):
                    for name, process in self.processes.items():
                        assert process.poll() is None, f"{name} ended: {self.logs()}"
                    await anyio.sleep(0.02)

    async def _ready(self, proxy: str) -> bool:
        try:
            admin = self.mesh.admin(proxy)
            if not (await admin.ready())[0]:
                return False
            if not await admin.wait(self.mesh.version, timeout=5):
                return False
            listening = {"ok": True}
            if proxy in self.places:
                listening = await admin.probe({"type": "tcp", "port": 8080})
            return bool(listening["ok"])
        except CloudwrightError:
            return False

    def logs(self) -> str:
        files = [*self.paths.pod_logs.glob("*/sidecar.log"), self.paths.state / "logs/gateway.log"]
        return "\n".join(f"{file}: {file.read_text()[-800:]}" for file in files if file.exists())

    async def get(self, uid: str, host: str, path: str = "/") -> tuple[int, str, dict[str, str]]:
        """A GET from inside a pod to a host name or address."""

        def ask() -> tuple[int, str, dict[str, str]]:
            connection = http.client.HTTPConnection(host, 80, timeout=5)
            try:
                connection.request("GET", path, headers={"host": host})
                answer = connection.getresponse()
                return answer.status, answer.read().decode(), dict(answer.getheaders())
            finally:
                connection.close()

        return await to_thread.run_sync(partial(inside, self.places[uid], ask))

    async def close(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGKILL)
            process.wait()
        await self.network.stop()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cwp")))
        folder.chmod(0o755)
        made = Rig(folder, tmp_path / "leases.db")
        stack.push_async_callback(made.close)
        await made.start()
        yield made


async def test_a_request_goes_from_sidecar_to_sidecar(rig: Rig) -> None:
    answers = {(await rig.get("uid-web-1", "10.96.0.20", "/a"))[1] for _ in range(8)}
    assert answers == {"payment-1 /a", "payment-2 /a"}, rig.logs()
    status, _, headers = await rig.get("uid-web-1", "10.96.0.20")
    assert status == 200
    assert headers["seen-x-mesh-ns"] == "default"
    assert headers["seen-x-mesh-sidecar"] == "web-1"
    assert headers["seen-x-request-id"] != "-"


async def test_the_gateway_serves_routes(rig: Rig) -> None:
    def ask(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
        connection.request("GET", "/payment/x")
        answer = connection.getresponse()
        return answer.status, answer.read()

    plain = http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
    status, body = await to_thread.run_sync(ask, plain)
    assert (status, body.split()[1]) == (200, b"/x"), rig.logs()
    trust = ssl.create_default_context(cafile=str(rig.paths.pki / "gateway" / "ca.pem"))
    secure = http.client.HTTPSConnection("127.0.0.1", 8443, timeout=5, context=trust)
    assert (await to_thread.run_sync(ask, secure))[0] == 200


async def test_plain_text_and_strangers_are_refused(rig: Rig) -> None:
    ip = rig.places["uid-payment-1"].ip

    def plain() -> bytes:
        with socket.create_connection((ip, 8080), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            try:
                return connection.recv(100)
            except ConnectionResetError:
                return b""

    assert b"200" not in await to_thread.run_sync(plain)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    stranger.set_alpn_protocols(["h2"])

    def without_certificate() -> bytes:
        with (
            socket.create_connection((ip, 8080), timeout=5) as raw,
            stranger.wrap_socket(raw) as secure,
        ):
            secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            return secure.recv(100)

    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await to_thread.run_sync(without_certificate)


async def test_names_are_answered(rig: Rig) -> None:
    def query(name: str) -> bytes:
        labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
        packet = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(("10.96.0.10", 53))  # only an answer from there is heard
            client.send(packet)
            return client.recv(512)

    place = rig.places["uid-web-1"]
    ask = partial(inside, place, partial(query, "payment.default.svc.cluster.local"))
    answer = await to_thread.run_sync(ask)
    assert answer[-4:] == socket.inet_aton("10.96.0.20")
    refused = partial(inside, place, partial(query, "example.com"))
    assert (await to_thread.run_sync(refused))[3] & 0xF in (3, 5)


async def test_rotation_and_drain_lose_no_request(rig: Rig) -> None:
    failed: list[str] = []
    late: list[str] = []  # answers to requests that began after the drain
    drained = anyio.Event()
    stop = anyio.Event()

    async def load() -> None:
        while not stop.is_set():
            after = drained.is_set()
            try:
                status, body, _ = await rig.get("uid-web-1", "10.96.0.20")
            except OSError as error:
                status, body = 0, str(error)
            if after:
                late.append(body)
            if status != 200:
                failed.append(f"{status} {body}")

    async def serial() -> str:
        return str((await rig.mesh.admin("uid-payment-1").config())["cert_serial"])

    before = await serial()
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(load)
        assert len(await rig.mesh.rotate_all()) == 4
        with anyio.fail_after(30):
            while await serial() == before:
                await anyio.sleep(0.02)
        await rig.mesh.drained(rig.places["uid-payment-1"].ip, timeout=30)
        drained.set()
        with anyio.fail_after(60):
            while len(late) < 60:
                await anyio.sleep(0.02)
        stop.set()
    assert failed == [], rig.logs()
    assert set(late) == {"payment-2 /"}


async def test_probe_tunnel_and_metrics_go_through_the_sidecar(rig: Rig) -> None:
    fine = await rig.mesh.probe("uid-payment-1", {"type": "http", "port": 8080, "path": "/h"})
    assert fine["ok"] is True
    assert fine["status"] == 200
    closed = await rig.mesh.probe("uid-payment-1", {"type": "tcp", "port": 1})
    assert closed["ok"] is False
    reader, writer = await rig.mesh.connect("uid-payment-1", 8080)
    writer.write(b"GET /t HTTP/1.0\r\n\r\n")
    assert b"payment-1 /t" in await reader.read(4096) + await reader.read(4096)
    writer.close()
    page = await rig.mesh.metrics()
    assert 'proxy="default/payment-1"' in page
    assert 'proxy="gateway"' in page


async def test_hooks_go_through_the_gateway(rig: Rig) -> None:
    await rig.hooks.call("webhook://payment", "default", {"event": "PostRollout"})
    with pytest.raises(HookError, match="answered 500"):
        await rig.hooks.call("webhook://payment/broken", "default", {})
    with pytest.raises(HookError, match=r"Service default/nobody\) answered"):
        await rig.hooks.call("webhook://nobody", "default", {})


async def test_the_proxies_run_without_the_control_side_and_are_taken_over(rig: Rig) -> None:
    again = MeshControl(rig.config)
    await again.start()
    assert again.version == rig.mesh.version
    assert set(await again.applied()) == {"gateway", *rig.places}
    assert all(v == again.version for v in (await again.applied()).values())
    assert os.listdir(rig.paths.proxies / "gateway")
