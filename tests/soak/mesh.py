"""A mesh that is shaken: backends die, endpoints come and go, certificates change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.build import built
from tests.peers.data_plane import ours
from tests.peers.data_plane.places import PROXY_ID, UPSTREAM_ID, answers
from tests.peers.pki import Authority
from tests.peers.processes import Program, free_port, memory
from tests.standards.data_plane.world import Edge, ask, mesh_gateway, sidecar, write_snapshot

MEBI = 1 << 20


@dataclass
class Backend:
    """One pod: a program and its sidecar's inbound port."""

    name: str
    ip: str
    port: int
    directory: Path
    inbound: int = 0
    program: Program | None = None

    def run(self) -> None:
        """Start it; it is ready when this returns."""
        words = [built("upstream"), "-hold", "60ms", "-clear", f"127.0.0.1:{self.port}"]
        program = Program([str(w) for w in words], self.directory / f"{self.name}-app.log")
        program.wait_until(lambda: answers(self.port, "h1"))
        self.program = program

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        if self.program is not None:
            self.program.kill()
            self.program = None


@dataclass
class Mesh:
    """The whole: a gateway and pods."""

    directory: Path
    authority: Authority
    backends: list[Backend]
    edge: Edge | None = None
    sidecars: dict[str, Program] = field(default_factory=dict)
    version: int = 0

    def publish(self, absent: Backend | None = None) -> None:
        """A snapshot with all pods but one."""
        self.version += 1
        places = [(one.ip, one.inbound) for one in self.backends if one is not absent]
        route = {
            **ours.route("app", "/"),
            "timeout_ms": 5000,
            "retries": {"attempts": 2, "on": ["connect-failure", "reset", "unavailable"]},
            "load_balancer": "least_request",
        }
        file = self.directory / "snapshot.json"
        write_snapshot(file, self.version, [ours.service("app", places)], [route])

    def applied(self) -> bool:
        """Whether the gateway has the last snapshot."""
        assert self.edge is not None
        answer = ask(self.edge.admin, f"/wait?version={self.version}&timeout_ms=10000")
        return answer.split(b"\r\n", 1)[0].endswith(b"200 OK")

    def rotate(self) -> None:
        """New keys and certificates for all, each pair by rename, the key first."""
        names = {"proxy": PROXY_ID, **{one.name: UPSTREAM_ID for one in self.backends}}
        pki = self.directory / "pki"
        for name, identity in names.items():
            fresh = f"{name}-fresh"
            for file in pki.glob(f"workload-{fresh}.*"):
                file.unlink()
            certificate, key = self.authority.workload(fresh, identity)
            key.rename(pki / f"workload-{name}.key")
            certificate.rename(pki / f"workload-{name}.crt")

    def serial(self) -> str:
        """Serial number of the certificate that the gateway uses now."""
        assert self.edge is not None
        body = ask(self.edge.admin, "/config").partition(b"\r\n\r\n")[2]
        return str(json.loads(body)["cert_serial"])

    def renewed(self, old: str) -> bool:
        """Whether the gateway has another certificate, at last."""
        assert self.edge is not None
        answer = ask(self.edge.admin, f"/wait?serial_not={old}&timeout_ms=10000")
        return answer.split(b"\r\n", 1)[0].endswith(b"200 OK")

    def memory(self) -> dict[str, float]:
        """MiB of each proxy's own."""
        assert self.edge is not None
        programs = {"gateway": self.edge.gateway, **self.sidecars}
        return {name: memory(one.pid)["Anonymous"] / MEBI for name, one in programs.items()}


@contextmanager
def shaken(directory: Path, pods: int = 3) -> Iterator[Mesh]:
    """A running mesh with so many pods."""
    authority = Authority(directory / "pki")
    backends = [
        Backend(f"app-{number}", f"127.0.0.{number + 2}", free_port(), directory)
        for number in range(pods)
    ]
    mesh = Mesh(directory, authority, backends)
    with ExitStack() as stack:
        for one in backends:
            one.run()
            stack.callback(one.kill)
            side = sidecar(directory, authority, one.name, one.port, one.ip)
            one.inbound, mesh.sidecars[one.name] = stack.enter_context(side)
        mesh.publish()
        mesh.edge = stack.enter_context(mesh_gateway(directory, authority))
        yield mesh
