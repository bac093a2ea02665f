"""The mesh as the node agent sees it, with real files and fake proxies."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509

from cloudwright._base.clock import ManualClock
from cloudwright._base.errors import UnreachableError
from cloudwright._base.paths import Paths
from cloudwright.mesh.authority import key_matches
from cloudwright.mesh.config import MeshConfig
from cloudwright.mesh.controller import MeshControl
from cloudwright.mesh.errors import MeshConfigError, MeshError
from cloudwright.mesh.rotation import rotate_at
from cloudwright.model.sandbox import Attachment
from tests.unit.mesh.fake_proxy import FakeProxy, echo_tunnel
from tests.unit.mesh.mesh_objects import endpoint, piece, pod, service

pytestmark = pytest.mark.anyio
BINARY = Path("/bin/true")


@pytest.fixture
def paths() -> Iterator[Paths]:
    """A short path: sockets have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="cwm") as folder:
        root = Path(folder)
        root.chmod(0o755)
        yield Paths(state=root / "s", run=root / "r", user=root / "u")


def control(paths: Paths, clock: ManualClock | None = None, **more: Any) -> MeshControl:
    config = MeshConfig(paths=paths, binary=BINARY, **more)
    return MeshControl(config, clock=clock or ManualClock())


def attachment(uid: str = "uid-p", ip: str = "10.244.0.5") -> Attachment:
    return Attachment(uid, f"/run/netns/{uid}", ip, "10.244.0.1", "eth0")


def leaf(mesh: MeshControl, proxy: str) -> x509.Certificate:
    folder = mesh.files.directory(proxy)
    cert = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    assert key_matches(cert, (folder / "key.pem").read_bytes())
    return cert


async def test_enrolling_writes_the_documented_directory(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    one = pod("p", "10.244.0.5", metadata={"annotations": {"cloudwright.dev/egress": "true"}})
    spec = await mesh.enroll(one, attachment())
    folder = paths.proxies / "uid-p"
    assert spec.id == "sidecar-uid-p"
    assert spec.argv == ("/bin/true", "sidecar", "--bootstrap", str(folder / "bootstrap.json"))
    assert spec.netns == "/run/netns/uid-p"
    assert (spec.uid, spec.gid) == (1337, 1337)
    assert spec.log is not None
    assert spec.log.path == str(paths.pod_logs / "default_p_uid-p" / "sidecar.log")
    told = json.loads((folder / "bootstrap.json").read_text())
    assert told == {
        "role": "sidecar",
        "id": "uid-p",
        "namespace": "default",
        "pod": "p",
        "ip": "10.244.0.5",
        "identity": "spiffe://cluster.local/ns/default/sa/default",
        "trust_domain": "cluster.local",
        "cert": str(folder / "cert.pem"),
        "key": str(folder / "key.pem"),
        "ca": str(folder / "ca.pem"),
        "snapshot": str(paths.snapshot),
        "admin": str(folder / "admin.sock"),
        "inbound_port": 15006,
        "outbound_port": 15001,
        "dns_port": 15053,
        "egress": True,
        "access_log": "-",
    }
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    if os.geteuid() == 0:
        owners = {path.stat().st_uid for path in (folder, *folder.iterdir())}
        assert owners == {1337}
    assert json.loads(paths.snapshot.read_text())["version"] == 1
    assert paths.snapshot.stat().st_mode & 0o777 == 0o644


async def test_enrolling_again_changes_nothing_also_after_a_restart(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    spec = await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    folder = paths.proxies / "uid-p"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = control(paths)
    await again.start()
    assert await again.enroll(pod("p", "10.244.0.5"), attachment()) == spec
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


async def test_a_key_without_its_certificate_is_replaced(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    await mesh.enroll(pod("q", "10.244.0.6"), attachment("uid-q", "10.244.0.6"))
    key = mesh.files.directory("uid-q") / "key.pem"
    key.write_bytes((mesh.files.directory("uid-p") / "key.pem").read_bytes())
    await control(paths).start()
    leaf(mesh, "uid-q")


async def test_release_leaves_nothing(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    await mesh.release("uid-p")
    await mesh.release("uid-p")
    assert list(paths.proxies.iterdir()) == []
    assert await mesh.rotate_all() == []


async def test_certificates_rotate_at_half_of_their_life_and_on_demand(paths: Paths) -> None:
    clock = ManualClock()
    mesh = control(paths, clock, lifetime=timedelta(hours=24))
    await mesh.start()
    await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    await mesh.gateway(["127.0.0.1:8080"], ["127.0.0.1:8443"])
    first = leaf(mesh, "uid-p")
    on_disk = (mesh.files.directory("uid-p") / "cert.pem").read_bytes()
    async with anyio.create_task_group() as group:
        clock.advance(9 * 3600)
        group.start_soon(mesh.keep_certificates)
        await anyio.wait_all_tasks_blocked()
        assert leaf(mesh, "uid-p") == first
        clock.advance(4 * 3600)
        await mesh.enroll(pod("q", "10.244.0.6"), attachment("uid-q", "10.244.0.6"))
        with anyio.fail_after(10):
            while (mesh.files.directory("uid-p") / "cert.pem").read_bytes() == on_disk:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    second = leaf(mesh, "uid-p")
    assert second.not_valid_after_utc - first.not_valid_after_utc == timedelta(hours=13)
    assert await mesh.rotate_all() == ["gateway", "uid-p", "uid-q"]
    assert leaf(mesh, "uid-p") != second


def test_the_time_of_rotation_is_spread_and_before_half_is_over() -> None:
    end = ManualClock().now()
    life = timedelta(hours=24)
    times = [rotate_at(f"pod-{n}", end, life) for n in range(200)]
    assert all(life * 0.5 <= end - t <= life * 0.6 for t in times)
    assert len({t.replace(second=0, microsecond=0) for t in times}) > 50


async def test_the_gateways_files(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    spec = await mesh.gateway(["127.0.0.1:8080"], ["192.0.2.7:8443", "0.0.0.0:8444"])
    folder = paths.proxies / "gateway"
    told = json.loads((folder / "bootstrap.json").read_text())
    assert spec.netns is None
    assert told["identity"] == "spiffe://cluster.local/ns/cloudwright-system/sa/gateway"
    assert told["mesh_socket"] == str(folder / "mesh.sock")
    cert = x509.load_pem_x509_certificate(Path(told["https_cert"]).read_bytes())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["localhost", "127.0.0.1", "::1", "192.0.2.7"]
    assert (folder / "https-key.pem").stat().st_mode & 0o777 == 0o600
    mesh_ca = (folder / "ca.pem").read_bytes()
    assert (paths.pki / "gateway" / "ca.pem").read_bytes() != mesh_ca


def world(*pods: Any) -> tuple[Any, ...]:
    return [service("payment")], [piece("payment", *map(endpoint, pods))], list(pods), []


async def test_versions_grow_only_with_changes_and_never_go_back(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    one = pod("p", "10.244.0.5")
    assert await mesh.update(*world(one)) == 2
    assert await mesh.update(*world(one)) == 2
    assert await mesh.update(*world()) == 3
    again = control(paths)
    await again.start()
    assert await again.update(*world()) == 3
    assert await again.update(*world(one)) == 4
    assert json.loads(paths.snapshot.read_text())["version"] == 4


async def test_a_lost_snapshot_continues_from_what_the_proxies_run(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    proxy = FakeProxy(mesh.files.admin("uid-p"), paths.snapshot)
    proxy.version = 41
    paths.snapshot.write_text('{"version": 40')
    async with proxy.running():
        again = control(paths)
        await again.start()
        assert paths.snapshot.read_text() == '{"version": 40'  # no empty one for those who run
        assert await again.update(*world()) == 42
        assert json.loads(paths.snapshot.read_text())["version"] == 42


async def test_drained_waits_for_live_proxies_and_not_for_dead_ones(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    one, two = pod("p", "10.244.0.5"), pod("q", "10.244.0.6")
    await mesh.update(*world(one, two))
    for uid, ip in (("uid-p", "10.244.0.5"), ("uid-q", "10.244.0.6"), ("dead", "10.244.0.7")):
        await mesh.enroll(pod(uid, ip), attachment(uid, ip))
    slow = FakeProxy(mesh.files.admin("uid-q"), paths.snapshot)
    slow.frozen = True
    done = anyio.Event()

    async def drain() -> None:
        await mesh.drained("10.244.0.5", timeout=30)
        done.set()

    quick = FakeProxy(mesh.files.admin("uid-p"), paths.snapshot)
    async with slow.running(), quick.running(), anyio.create_task_group() as group:
        group.start_soon(drain)
        with anyio.fail_after(10):
            while not slow.asked:
                await anyio.sleep(0.01)
        assert not done.is_set()
        text = paths.snapshot.read_text()
        assert "10.244.0.5" not in text
        assert "10.244.0.6" in text
        await slow.take()
        with anyio.fail_after(10):
            await done.wait()


async def test_a_proxy_that_dies_while_it_is_waited_for_holds_nobody_up(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    await mesh.update(*world(pod("p", "10.244.0.5")))
    await mesh.enroll(pod("q", "10.244.0.6"), attachment("uid-q", "10.244.0.6"))
    dying = FakeProxy(mesh.files.admin("uid-q"), paths.snapshot)
    dying.frozen = True
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group, dying.running():
            group.start_soon(lambda: mesh.drained("10.244.0.5", timeout=60))
            while not dying.asked:
                await anyio.sleep(0.01)


async def test_drained_gives_up_at_its_timeout(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    await mesh.update(*world(pod("p", "10.244.0.5")))
    await mesh.enroll(pod("q", "10.244.0.6"), attachment("uid-q", "10.244.0.6"))
    stuck = FakeProxy(mesh.files.admin("uid-q"), paths.snapshot)
    stuck.frozen = True
    async with stuck.running():
        with anyio.fail_after(10):
            await mesh.drained("10.244.0.5", timeout=0.2)
    assert stuck.asked


async def test_a_drained_address_stays_out_until_it_belongs_to_another_pod(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    one = pod("p", "10.244.0.5")
    await mesh.update(*world(one))
    await mesh.drained("10.244.0.5", timeout=1)
    version = await mesh.update(*world(one))  # the endpoints do not know yet
    assert mesh.snapshot["services"][0]["endpoints"] == []
    assert version == mesh.version
    other = pod("other", "10.244.0.5")
    await mesh.enroll(other, attachment("uid-other", "10.244.0.5"))
    await mesh.update(*world(other))
    assert [e["pod"] for e in mesh.snapshot["services"][0]["endpoints"]] == ["default/other"]


async def test_an_address_belongs_to_the_pod_that_was_enrolled_last(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    stale = pod("stale", "10.244.0.5")  # what the API says after a reboot
    await mesh.enroll(pod("fresh", "10.244.0.5"), attachment("uid-fresh"))
    await mesh.update(*world(stale))
    assert mesh.snapshot["services"][0]["endpoints"] == []
    again = control(paths)
    await again.start()
    await again.update(*world(stale))
    assert again.snapshot["services"][0]["endpoints"] == []
    await again.release("uid-fresh")
    await again.update(*world(stale))
    assert len(again.snapshot["services"][0]["endpoints"]) == 1


async def test_probe_and_metrics_reach_the_sidecar(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    with pytest.raises(UnreachableError, match="no proxy answers"):
        await mesh.probe("uid-p", {"type": "http", "port": 8080})
    proxy = FakeProxy(mesh.files.admin("uid-p"), paths.snapshot)
    async with proxy.running():
        answer = await mesh.probe("uid-p", {"type": "http", "port": 8080, "timeout_ms": 100})
        assert answer == {"ok": True, "status": 200, "message": "fine"}
        assert proxy.probes == [{"type": "http", "port": 8080, "timeout_ms": 100}]
        assert 'cw_x{proxy="default/p"} 1' in await mesh.metrics()
        assert await mesh.applied() == {"uid-p": 0}


async def test_a_tunnel_carries_bytes_both_ways(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    async with echo_tunnel(mesh.files.admin("uid-p")):
        reader, writer = await mesh.connect("uid-p", 8080)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
        writer.close()
        await writer.wait_closed()
    with pytest.raises(UnreachableError):
        await mesh.connect("uid-none", 8080)


async def test_a_refused_tunnel_says_why(paths: Paths) -> None:
    mesh = control(paths)
    await mesh.start()
    await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    async with echo_tunnel(mesh.files.admin("uid-p"), "502 Bad Gateway"):
        with pytest.raises(MeshError, match="no tunnel to port 1: port 1 refuses connections"):
            await mesh.connect("uid-p", 1)


async def test_a_state_directory_that_proxies_cannot_use_is_refused(paths: Paths) -> None:
    long = paths.run / ("x" * 60)
    with pytest.raises(MeshConfigError, match="the kernel allows 107"):
        await control(Paths(paths.state, long, paths.user)).start()


@pytest.mark.root
async def test_a_closed_parent_directory_is_named(paths: Paths) -> None:
    closed = paths.run.parent / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(MeshConfigError, match=f"cannot enter {closed}") as caught:
        await control(Paths(paths.state, closed / "run", paths.user)).start()
    assert caught.value.hint is not None
    assert f"chmod o+x {closed}" in caught.value.hint


@pytest.mark.root
async def test_a_binary_in_a_closed_directory_is_copied(paths: Paths) -> None:
    closed = paths.run.parent / "venv"
    closed.mkdir(mode=0o700)
    (closed / "cloudwright-native").write_bytes(b"#!/bin/sh\n")
    mesh = MeshControl(MeshConfig(paths=paths, binary=closed / "cloudwright-native"))
    await mesh.start()
    spec = await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    assert spec.argv[0] == str(paths.state / "bin" / "cloudwright-native")
    assert Path(spec.argv[0]).read_bytes() == b"#!/bin/sh\n"
    assert Path(spec.argv[0]).stat().st_mode & 0o777 == 0o755


async def test_a_full_disk_is_one_clear_error(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = control(paths)
    await mesh.start()

    def full(*args: Any, **words: Any) -> None:
        raise OSError(28, "No space left on device", "/x/key.pem")

    monkeypatch.setattr("cloudwright.mesh.proxies.write_owned", full)
    with pytest.raises(MeshError, match=r"sidecar of default/p: /x/key\.pem: No space left"):
        await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    monkeypatch.undo()
    await mesh.enroll(pod("p", "10.244.0.5"), attachment())
    leaf(mesh, "uid-p")
