"""A real Envoy under our xDS server: what changes arrives, what is bad is refused and visible, and
certificates are replaced under load.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cloudwright.mesh.authority import Authority
from tests.integration import xds_world as xw
from tests.integration.xds_world import Backend, World, until


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    made = [Backend(name) for name in ("one", "two")]
    yield made
    for backend in made:
        backend.shutdown()
        backend.server_close()


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory(prefix="cwx") as folder,  # sockets have short paths
        xw.world(Path(folder), request.param) as made,
    ):
        yield made


def answered(world: World, port: int, path: str, wanted: str) -> None:
    until(lambda: world.get(port, path) == (200, wanted), f"{path}: {wanted}; {world.log()}")


def test_every_kind_of_change_arrives(world: World, backends: list[Backend]) -> None:
    one, two = backends
    listener = xw.listener("main", "web")
    world.put(listener, xw.routes("web", {"/": "a"}), xw.cluster("a"), xw.endpoints("a", one.port))
    world.serve()
    world.start_envoy()
    port = world.listener_port("main")
    answered(world, port, "/x", "one /x")
    # another endpoint
    world.put(listener, xw.routes("web", {"/": "a"}), xw.cluster("a"), xw.endpoints("a", two.port))
    answered(world, port, "/x", "two /x")
    # a cluster and a route to it; no request is lost on the way
    answers: list[tuple[int, str]] = []
    world.put(
        listener,
        xw.routes("web", {"/b": "b", "/": "a"}),
        *(xw.cluster("a"), xw.endpoints("a", two.port)),
        *(xw.cluster("b"), xw.endpoints("b", one.port)),
    )
    until(lambda: answers.append(world.get(port, "/b")) or answers[-1][1] == "one /b", "route b")
    # the cluster of a route is replaced: never a 503 between
    world.put(
        listener,
        xw.routes("web", {"/b": "c", "/": "a"}),
        *(xw.cluster("a", connect_timeout="2s"), xw.endpoints("a", two.port)),
        *(xw.cluster("c"), xw.endpoints("c", two.port)),
    )
    until(lambda: answers.append(world.get(port, "/b")) or answers[-1][1] == "two /b", "route c")
    until(lambda: "Cluster/b" not in world.status(), "cluster b is taken away")
    assert {status for status, _ in answers} == {200}
    # another listener, and the first one goes
    world.put(
        xw.listener("other", "web"),
        xw.routes("web", {"/": "a"}),
        *(xw.cluster("a"), xw.endpoints("a", one.port)),
    )
    answered(world, world.listener_port("other"), "/", "one /")
    names = {one["name"] for one in world.admin("/listeners?format=json")["listener_statuses"]}
    assert "other" in names
    until(lambda: set(world.status()) >= {"Listener/other"}, "CSDS has the listener")
    assert "Listener/main" not in world.status()


def test_what_envoy_refuses_is_visible_and_the_old_stays(
    world: World, backends: list[Backend]
) -> None:
    one, two = backends
    rest = [xw.listener("main", "web"), xw.endpoints("a", one.port)]
    world.put(*rest, xw.routes("web", {"/": "a"}), xw.cluster("a"))
    world.serve()
    world.start_envoy()
    port = world.listener_port("main")
    answered(world, port, "/", "one /")
    good = world.status()["RouteConfiguration/web"].version_info
    bad = xw.routes("web", {"/": "a"})
    bad["virtual_hosts"][0]["routes"][0]["match"] = {"safe_regex": {"regex": "["}}
    world.put(*rest, bad, xw.cluster("a"), xw.cluster("b", connect_timeout="-1s"))

    def refused(name: str) -> Any:
        found = world.status().get(name)
        return found if found is not None and found.config_status == 4 else None

    route = until(lambda: refused("RouteConfiguration/web"), f"the NACK; {world.log()}")
    assert "regex" in route.error_state.details or "missing ]" in route.error_state.details
    assert route.version_info == good
    cluster = until(lambda: refused("Cluster/b"), f"the NACK of b; {world.log()}")
    assert "duration" in cluster.error_state.details
    assert world.get(port, "/") == (200, "one /")
    # an unrelated change still arrives, and a good version ends it
    world.put(rest[0], xw.endpoints("a", two.port), bad, xw.cluster("a"))
    answered(world, port, "/", "two /")
    world.put(*rest, xw.routes("web", {"/": "a"}), xw.cluster("a"))
    until(lambda: all(s.config_status == 1 for s in world.status().values()), "all in sync")
    # a file that cannot be read changes nothing either
    world.file.write_text("resources: [{'@type': nonsense}]")
    until(lambda: "nonsense" in world.log(), "the server's complaint")
    assert world.get(port, "/") == (200, "one /")


def test_envoy_goes_on_without_the_server_and_with_the_next(
    world: World, backends: list[Backend]
) -> None:
    one, two = backends
    rest = [xw.listener("main", "web"), xw.routes("web", {"/": "a"}), xw.cluster("a")]
    world.put(*rest, xw.endpoints("a", one.port))
    world.serve()
    world.start_envoy()
    port = world.listener_port("main")
    answered(world, port, "/", "one /")
    world.stop_server()
    assert world.get(port, "/") == (200, "one /")
    world.put(*rest, xw.endpoints("a", two.port))
    world.serve()
    answered(world, port, "/", "two /")


def secret(name: str, authority: Authority) -> dict[str, Any]:
    now = datetime.now(UTC)
    made = authority.issue_serving(["localhost"], now=now, lifetime=timedelta(hours=1))
    pair = {
        "certificate_chain": {"inline_string": made.cert_pem.decode()},
        "private_key": {"inline_string": made.key_pem.decode()},
    }
    kind = f"{xw.TYPE}.extensions.transport_sockets.tls.v3.Secret"
    return {"@type": kind, "name": name, "tls_certificate": pair}


def test_a_certificate_is_replaced_without_a_lost_request(
    world: World, backends: list[Backend], tmp_path: Path
) -> None:
    authority = Authority.load_or_create(tmp_path / "ca", "test", datetime.now(UTC))
    tls = f"{xw.TYPE}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    named = {"name": "serving", "sds_config": xw.ADS}
    context = {
        "@type": tls,
        "common_tls_context": {"tls_certificate_sds_secret_configs": [named]},
    }
    rest = [
        xw.listener("main", "web", transport_socket={"name": "tls", "typed_config": context}),
        xw.routes("web", {"/": "a"}),
        *(xw.cluster("a"), xw.endpoints("a", backends[0].port)),
    ]
    world.put(*rest, secret("serving", authority))
    world.serve()
    world.start_envoy()
    port = world.listener_port("main")
    trust = ssl.create_default_context(cadata=authority.ca_pem.decode())

    def connect() -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", port), timeout=10)
        return trust.wrap_socket(raw, server_hostname="localhost")

    def ask(connection: ssl.SSLSocket) -> bytes:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        data = b""
        while b"one /" not in data:
            more = connection.recv(4096)
            if not more:
                raise ConnectionError(f"ended after {data!r}")
            data += more
        return data

    def serial() -> int:
        with connect() as connection:
            assert b" 200 " in ask(connection)
            return hash(connection.getpeercert(binary_form=True))

    first = until(serial, world.log())
    failed: list[str] = []
    stop = threading.Event()

    def load() -> None:
        kept = connect()
        while not stop.is_set():
            try:
                assert b" 200 " in ask(kept)
                serial()
            except (OSError, AssertionError) as error:
                failed.append(repr(error))
        kept.close()

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            world.put(*rest, secret("serving", authority))
            before = first
            until(lambda before=before: serial() != before, f"rotation; {world.log()}")
            first = serial()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    shown = world.status()["Secret/serving"]
    assert not shown.xds_config.value  # keys are never shown
