"""A gateway of ours in front of any program, alone or with a sidecar between, as processes.

``alone``: ``gateway run -c FILE`` to the backend without TLS. ``mesh``: the gateway to a sidecar by
HTTP/2 with mutual TLS, the sidecar to the backend. Everything is on 127.0.0.0/8.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.peers.build import Unavailable, built
from tests.peers.data_plane import ours
from tests.peers.data_plane.places import DOMAIN, PROXY_ID, UPSTREAM_ID, Task
from tests.peers.pki import Authority
from tests.peers.processes import Program, free_port, running, start

EDGE_NAME = "gateway.test"
Way = Literal["alone", "mesh"]
WAYS: tuple[Way, ...] = ("alone", "mesh")


@dataclass(slots=True)
class Edge:
    """A gateway that serves; ``secure`` is its TLS port with a certificate for ``EDGE_NAME``."""

    port: int
    secure: int
    authority: Authority
    gateway: Program
    programs: dict[str, Program] = field(default_factory=dict)
    directory: Path = Path()
    admin: Path = Path()

    def connect(self, *, timeout: float = 20) -> socket.socket:
        """A connection to the clear listener."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)


def available(program: str) -> Path:
    """A built foreign program; the test is skipped without it."""
    try:
        return built(program)
    except Unavailable as error:
        pytest.skip(str(error))


@contextmanager
def edge(
    directory: Path,
    way: Way,
    backend: int,
    spoken: Literal["h1", "h2"] = "h1",
    **more: Any,
) -> Iterator[Edge]:
    """A gateway whose only route goes to port ``backend`` of 127.0.0.1.

    ``more`` are fields of the mesh gateway's bootstrap, or of the listener's ``limits``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        ours.program()
    except Unavailable as error:
        pytest.skip(str(error))
    if way == "alone" and not ours.reads_files():
        pytest.skip("this build has no `gateway run -c FILE`")
    with (_alone if way == "alone" else _mesh)(directory, backend, spoken, more) as made:
        yield made


def known_fault(request: pytest.FixtureRequest, reason: str, way: Way = "mesh") -> None:
    """The test must fail now on this way; it says so when it no longer does."""
    if f"[{way}" in request.node.name:
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts there."""
    try:
        with socket.create_connection((host, port), 2):
            return True
    except OSError:
        return False


@contextmanager
def _alone(directory: Path, backend: int, spoken: str, more: dict[str, Any]) -> Iterator[Edge]:
    authority = Authority(directory / "pki")
    certificate, key = authority.server((EDGE_NAME, "127.0.0.1"))
    ports: list[tuple[int, int]] = []

    def make() -> tuple[Program, Callable[[], bool]]:
        ports.append((free_port(), free_port()))
        clear, secure = ports[-1]
        upstream = "h1" if spoken == "h1" else "h2"
        task = Task("h1", upstream, backend, backend, authority, directory)  # type: ignore[arg-type]
        made = ours.configuration(task, clear)
        first = made["listeners"][0]
        first["limits"] = {**first["limits"], "max_streams": 250, **more}
        made["listeners"].append(
            {
                **first,
                "name": "secure",
                "address": f"127.0.0.1:{secure}",
                "tls": {"certificates": ["edge"]},
            }
        )
        made["secrets"] = [
            {"name": "edge", "certificate": {"file": str(certificate)}, "key": {"file": str(key)}}
        ]
        file = directory / "gateway.json"
        file.write_text(json.dumps(made, indent=1))
        program = Program([ours.program(), "gateway", "run", "-c", file], directory / "gateway.log")
        return program, lambda: listens(clear) and listens(secure)

    with running(start(make)) as program:
        yield Edge(*ports[-1], authority, program, {"gateway": program}, directory)


@contextmanager
def _mesh(directory: Path, backend: int, spoken: str, more: dict[str, Any]) -> Iterator[Edge]:
    authority = Authority(directory / "pki")
    with ExitStack() as stack:
        inbound, side = stack.enter_context(sidecar(directory, authority, "app-0", backend))
        protocol = "http" if spoken == "h1" else "grpc"
        snapshot = directory / "snapshot.json"
        app = ours.service("app", [("127.0.0.2", inbound)], protocol)
        write_snapshot(snapshot, 1, [app], [ours.route("app", "/")])
        made = stack.enter_context(mesh_gateway(directory, authority, **more))
        made.programs["sidecar"] = side
        yield made


def write_snapshot(
    file: Path, version: int, services: list[dict[str, Any]], routes: list[dict[str, Any]]
) -> None:
    """The mesh's snapshot, by rename."""
    content = {
        "version": version,
        "trust_domain": DOMAIN,
        "services": services,
        "routes": routes,
    }
    new = file.with_suffix(".new")
    new.write_text(json.dumps(content))
    new.replace(file)


@contextmanager
def mesh_gateway(directory: Path, authority: Authority, **more: Any) -> Iterator[Edge]:
    """A mesh's gateway that reads ``directory/snapshot.json``."""
    certificate, key = authority.workload("proxy", PROXY_ID)
    edge_certificate, edge_key = authority.server((EDGE_NAME, "127.0.0.1"))
    ports: list[tuple[int, int]] = []
    admin = directory / "gateway.sock"

    def make() -> tuple[Program, Callable[[], bool]]:
        ports.append((free_port(), free_port()))
        clear, secure = ports[-1]
        bootstrap = {
            "role": "gateway",
            "id": "gateway",
            "identity": PROXY_ID,
            **common(directory, certificate, key, authority, admin),
            "http": [f"127.0.0.1:{clear}"],
            "https": [f"127.0.0.1:{secure}"],
            "https_cert": str(edge_certificate.absolute()),
            "https_key": str(edge_key.absolute()),
            **more,
        }
        return proxy(directory, "gateway", bootstrap), lambda: ready(admin)

    with running(start(make)) as program:
        yield Edge(*ports[-1], authority, program, {"gateway": program}, directory, admin)


@contextmanager
def sidecar(
    directory: Path, authority: Authority, name: str, backend: int, ip: str = "127.0.0.2"
) -> Iterator[tuple[int, Program]]:
    """A sidecar in front of ``backend``; its inbound port on ``ip``, and the program."""
    certificate, key = authority.workload(name, UPSTREAM_ID)
    admin = directory / f"{name}.sock"
    ports: list[int] = []

    def make() -> tuple[Program, Callable[[], bool]]:
        inbound, outbound, dns = (free_port() for _ in range(3))
        ports.append(inbound)
        bootstrap = {
            "role": "sidecar",
            "id": name,
            "identity": UPSTREAM_ID,
            **common(directory, certificate, key, authority, admin),
            "pod": name,
            "ip": ip,
            "listen": ip,
            "inbound_port": inbound,
            "outbound_port": outbound,
            "dns_port": dns,
            "app_port": backend,
        }
        snapshot = directory / "snapshot.json"
        protocol = "http"
        if not snapshot.exists():
            write_snapshot(snapshot, 0, [ours.service("app", [(ip, inbound)], protocol)], [])
        return proxy(directory, name, bootstrap), lambda: listens(inbound, ip)

    with running(start(make)) as program:
        yield ports[-1], program


def common(
    directory: Path, certificate: Path, key: Path, authority: Authority, admin: Path
) -> dict[str, Any]:
    """What both roles' bootstraps have."""
    return {
        "namespace": "default",
        "trust_domain": DOMAIN,
        "cert": str(certificate.absolute()),
        "key": str(key.absolute()),
        "ca": str(authority.file.absolute()),
        "snapshot": str(directory.absolute() / "snapshot.json"),
        "admin": str(admin.absolute()),
        "access_log": "-",
        "drain_timeout_ms": 2000,
    }


def proxy(directory: Path, name: str, bootstrap: dict[str, Any]) -> Program:
    """Start one."""
    file = directory / f"{name}.json"
    file.write_text(json.dumps(bootstrap, indent=1))
    words = [ours.program(), bootstrap["role"], "--bootstrap", file]
    return Program([str(word) for word in words], directory / f"{name}.log")


def ready(admin: Path) -> bool:
    """Whether the proxy behind an admin socket says that it is."""
    return ask(admin, "/ready").split(b"\r\n", 1)[0].endswith(b"200 OK")


def ask(admin: Path, path: str) -> bytes:
    """The raw answer of an admin socket; empty when nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(admin))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n".encode())
            text = b""
            while part := sock.recv(65536):
                text += part
            return text
    except OSError:
        return b""
