"""The pod network on the real kernel. Runs inside a network and mount namespace of its own
(``test_network.py`` makes them), so that the machine's own network is never touched.
"""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cloudwright.model.sandbox import Attachment
from cloudwright.network import names, netns, probe
from cloudwright.network.config import NetworkConfig
from cloudwright.network.driver import BridgeNetwork
from cloudwright.network.engine import plan_pod
from cloudwright.network.errors import AddressesExhaustedError, NetworkConflictError, NetworkError

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.netns]

T = TypeVar("T")
SIDECAR = 1337
ORIGINAL_DESTINATION = 80
libc = ctypes.CDLL(None)


def sh(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def traces() -> dict[str, list[str]]:
    """Everything a pod network could leave behind."""
    folder = Path("/run/netns")
    return {
        "links": sorted(name for _, name in socket.if_nameindex()),
        "tables": sorted(sh("nft", "list", "tables").split("\n")),
        "namespaces": sorted(os.listdir(folder)) if folder.exists() else [],
        "mounts": [
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if "/run/netns" in line and "cw-" in line
        ],
        "forwarding": [Path("/proc/sys/net/ipv4/ip_forward").read_text()],
    }


def config(folder: Path, **more: Any) -> NetworkConfig:
    more.setdefault("instance", "abcdef")
    more.setdefault("cooldown_seconds", 0.0)
    return NetworkConfig(store=folder / f"{more['instance']}.db", **more)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[BridgeNetwork]:
    before = traces()
    made = BridgeNetwork(config(tmp_path))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
    assert traces() == before


def inside(pod: Attachment | None, work: Callable[[], T], uid: int = 0) -> T:
    """Run ``work`` in a pod's network (or here) with the file-system uid that sockets get."""

    def run() -> T:
        libc.setfsuid(uid)
        try:
            return work()
        finally:
            libc.setfsuid(0)

    return netns.inside(pod.netns, run) if pod else run()


def listen(
    pod: Attachment | None,
    port: int,
    kind: int = socket.SOCK_STREAM,
    uid: int = SIDECAR,
    address: str = "0.0.0.0",
) -> socket.socket:
    def work() -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.settimeout(3)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        if kind == socket.SOCK_STREAM:
            made.listen()
        return made

    return inside(pod, work, uid)


def dial(pod: Attachment | None, ip: str, port: int, uid: int = 65532) -> socket.socket:
    def work() -> socket.socket:
        made = socket.socket()
        made.settimeout(0.7)
        try:
            made.connect((ip, port))
        except OSError:
            made.close()
            raise
        return made

    return inside(pod, work, uid)


def original_port(connection: socket.socket) -> tuple[str, int]:
    raw = connection.getsockopt(socket.SOL_IP, ORIGINAL_DESTINATION, 16)
    _, port, address = struct.unpack("!HH4s8x", raw)
    return socket.inet_ntoa(address), port


def ping(pod: Attachment, ip: str) -> bool:
    """Whether an ICMP echo is answered."""
    body = struct.pack("!HH", 0x4357, 1)
    checksum = 0xFFFF - (0x0800 + 0x4357 + 1)
    request = struct.pack("!BBH", 8, 0, checksum) + body

    def work() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.settimeout(0.7)
            raw.sendto(request, (ip, 0))
            try:
                while True:
                    packet, (sender, _) = raw.recvfrom(200)
                    if sender == ip and packet[20:22] == b"\0\0" and packet[24:28] == body:
                        return True
            except TimeoutError:
                return False

    return inside(pod, work)


async def test_pods_reach_each_other_and_the_node(network: BridgeNetwork) -> None:
    one = await network.attach("uid-1", "default", "one", egress=False)
    two = await network.attach("uid-2", "default", "two", egress=False)
    assert (one.ip, two.ip, one.gateway) == ("10.244.0.2", "10.244.0.3", "10.244.0.1")
    assert one.netns == f"/run/netns/cw-abcdef-{names.short('uid-1')}"
    assert ping(one, two.ip)
    assert ping(two, one.ip)
    assert ping(one, one.gateway)
    assert await network.attachments() == [one, two]
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"


async def test_whatever_comes_to_a_pod_comes_to_its_sidecar(network: BridgeNetwork) -> None:
    one = await network.attach("uid-1", "default", "one", egress=False)
    two = await network.attach("uid-2", "default", "two", egress=False)
    with listen(one, 8080, uid=65532) as application:
        for caller in (None, two):  # the machine, another pod's sidecar
            with pytest.raises(ConnectionRefusedError):
                dial(caller, one.ip, 8080, SIDECAR)
        with listen(one, 15006) as sidecar:
            for caller in (None, two):
                with dial(caller, one.ip, 8080, SIDECAR):
                    accepted, _ = sidecar.accept()
                    assert original_port(accepted) == (one.ip, 8080)
                    accepted.close()
        application.settimeout(0.1)
        with pytest.raises(TimeoutError):
            application.accept()


async def test_datagrams_do_not_come_in(network: BridgeNetwork) -> None:
    one = await network.attach("uid-1", "default", "one", egress=False)
    two = await network.attach("uid-2", "default", "two", egress=False)
    with listen(one, 5000, socket.SOCK_DGRAM) as server:
        server.settimeout(0.3)
        for caller in (None, two):
            with listen(caller, 0, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", (one.ip, 5000))
            with pytest.raises(TimeoutError):
                server.recv(10)


async def test_what_an_application_sends_goes_to_its_sidecar(network: BridgeNetwork) -> None:
    one = await network.attach("uid-1", "default", "one", egress=False)
    with listen(one, 15001) as outbound, listen(one, 15053) as dns_tcp:
        with dial(one, "10.96.0.12", 80):
            accepted, _ = outbound.accept()
            assert original_port(accepted) == ("10.96.0.12", 80)
            accepted.close()
        with dial(one, "10.96.0.10", 53):
            accepted, _ = dns_tcp.accept()
            assert original_port(accepted) == ("10.96.0.10", 53)
            accepted.close()
        with pytest.raises(OSError, match="timed out"):  # the sidecar's own are not captured
            dial(one, "10.96.0.12", 80, SIDECAR)
    with (
        # bound to all addresses, it would answer from the pod's own, which nobody asked
        listen(one, 15053, socket.SOCK_DGRAM, address="127.0.0.1") as dns,
        listen(one, 0, socket.SOCK_DGRAM, uid=65532) as client,
    ):
        client.sendto(b"query", ("10.96.0.10", 53))
        question, sender = dns.recvfrom(100)
        dns.sendto(b"answer", sender)
        assert question == b"query"
        assert client.recvfrom(100) == (b"answer", ("10.96.0.10", 53))
    with listen(one, 9000, uid=65532) as local, dial(one, "127.0.0.1", 9000):
        local.accept()[0].close()
    rules = sh(
        "nsenter", f"--net={one.netns}", "nft", "list", "chain", "inet", "cloudwright", "output"
    )
    assert rules.count("counter packets 1 ") == 3, rules


async def test_low_ports_need_no_privilege_and_there_is_no_ipv6(network: BridgeNetwork) -> None:
    one = await network.attach("uid-1", "default", "one", egress=False)
    words = ["nsenter", f"--net={one.netns}", "setpriv", "--reuid=65532", "--clear-groups"]
    words += [sys.executable, "-c", "import socket; socket.socket().bind(('', 80))"]
    sh(*words)
    seen = sh("nsenter", f"--net={one.netns}", "ip", "-6", "address", "show", "dev", "eth0")
    assert seen == ""
    assert "mtu 1500" in sh("nsenter", f"--net={one.netns}", "ip", "link", "show", "eth0")


async def test_the_machine_answers_pods_only_to_icmp(network: BridgeNetwork) -> None:
    one = await network.attach("uid-1", "default", "one", egress=True)
    with listen(None, 6443) as server:
        with pytest.raises(TimeoutError):
            dial(one, one.gateway, 6443, SIDECAR)
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.fixture
def outside() -> AsyncIterator[Attachment]:  # type: ignore[misc]
    """Another machine, 192.0.2.2, behind an uplink of ours."""
    sh("ip", "netns", "add", "outside")
    sh("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", "outside")
    sh("ip", "address", "add", "192.0.2.1/24", "dev", "uplink")
    sh("ip", "link", "set", "uplink", "up")
    for words in (
        ("address", "add", "192.0.2.2/24", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("route", "add", "default", "via", "192.0.2.1"),
    ):
        sh("ip", "-n", "outside", *words)
    yield Attachment("outside", "/run/netns/outside", "192.0.2.2", "192.0.2.1", "eth0")
    sh("ip", "link", "delete", "uplink")
    sh("ip", "netns", "delete", "outside")


async def test_only_pods_that_asked_leave_the_machine(
    outside: Attachment, network: BridgeNetwork
) -> None:
    closed = await network.attach("closed", "default", "closed", egress=False)
    open_ = await network.attach("open", "default", "open", egress=True)
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    with listen(outside, 80) as server:
        with pytest.raises(TimeoutError):
            dial(closed, outside.ip, 80, SIDECAR)
        with dial(open_, outside.ip, 80, SIDECAR):
            accepted, (sender, _) = server.accept()
            accepted.close()
            assert sender == "192.0.2.1"  # masqueraded
    with listen(open_, 15006), pytest.raises(TimeoutError):  # nobody comes in from outside
        dial(outside, open_.ip, 15006)
    assert not ping(closed, outside.ip)
    assert ping(open_, outside.ip)
    await network.attach("open", "default", "open", egress=False)  # the permission is taken away
    with listen(outside, 80), pytest.raises(TimeoutError):
        dial(open_, outside.ip, 80, SIDECAR)
    await network.attach("open", "default", "open", egress=True)
    await network.detach("open")
    assert "elements" not in sh("nft", "list", "set", "inet", "cloudwright", "egress")


async def test_a_restart_disturbs_no_connection(network: BridgeNetwork, tmp_path: Path) -> None:
    one = await network.attach("uid-1", "default", "one", egress=False)
    two = await network.attach("uid-2", "default", "two", egress=True)
    with listen(one, 15006) as sidecar, dial(two, one.ip, 8080, SIDECAR) as caller:
        accepted, _ = sidecar.accept()
        await network.stop(remove=False)
        again = BridgeNetwork(network.config)
        await again.start()
        assert await again.attach("uid-1", "default", "one", egress=False) == one
        caller.sendall(b"still there")
        assert accepted.recv(100) == b"still there"
        accepted.close()
        assert await again.attachments() == [one, two]
        assert two.ip in sh("nft", "list", "set", "inet", "cloudwright", "egress")
    assert await again.sweep({"uid-1", "uid-2"}) == []
    await again.stop(remove=False)
    await network.start()


STEPS = [
    "netns.ensure",
    "bridge.BridgeDatapath._prepare_inside",
    "bridge.BridgeDatapath._make_pair",
    "bridge.write_sysctl",
    "bridge.BridgeDatapath._configure_inside",
    "nft.load",
]
CRASH = textwrap.dedent(
    """
    import os, sys, anyio
    from functools import reduce
    from pathlib import Path
    from cloudwright.network import bridge, netns, nft
    from cloudwright.network.config import NetworkConfig
    from cloudwright.network.driver import BridgeNetwork
    store, step, late = sys.argv[1:]
    *path, name = step.split(".")
    owner = reduce(getattr, path[1:], {"bridge": bridge, "netns": netns, "nft": nft}[path[0]])
    real = getattr(owner, name)
    def dies(*args, **words):
        if late == "late":
            real(*args, **words)
        os._exit(9)
    async def main():
        network = BridgeNetwork(NetworkConfig(instance="abcdef", store=Path(store)))
        await network.start()
        setattr(owner, name, dies)
        await network.attach("victim", "default", "victim", egress=True)
    anyio.run(main)
    """
)


# after one step is before the next one
@pytest.mark.parametrize(("step", "late"), [(STEPS[0], "early"), *((s, "late") for s in STEPS)])
async def test_a_crash_in_an_attach_is_repaired_or_swept(
    step: str, late: str, tmp_path: Path
) -> None:
    before = traces()
    settings = config(tmp_path)
    words = [sys.executable, "-c", CRASH, str(settings.store), step, late]
    for ending in ("sweep", "repair"):
        crashed = subprocess.run(words, capture_output=True, text=True)
        assert crashed.returncode == 9, crashed.stderr
        network = BridgeNetwork(settings)
        await network.start()
        if ending == "sweep":
            half_made = [place.pod_uid for place in await network.attachments()]
            assert half_made in ([], ["victim"])
            assert await network.sweep(set()) == half_made
            assert await network.attachments() == []
            assert network._store.leases() == []
            await network.stop()
            assert traces() == before
            continue
        victim = await network.attach("victim", "default", "victim", egress=True)
        other = await network.attach("other", "default", "other", egress=False)
        assert await network.attachments() == [victim, other]
        assert ping(other, victim.ip)
        with listen(victim, 15006) as sidecar, dial(other, victim.ip, 80, SIDECAR):
            sidecar.accept()[0].close()
        with listen(victim, 15001) as outbound, dial(victim, "10.96.0.9", 80):
            outbound.accept()[0].close()
        await network.stop()
        assert traces() == before


async def test_a_start_removes_what_has_no_lease(tmp_path: Path) -> None:
    first = BridgeNetwork(config(tmp_path))
    await first.start()
    for uid in ("kept", "no-lease", "rebooted"):
        await first.attach(uid, "default", uid, egress=False)
    first._store.release("no-lease", 0.0)
    first._datapath.detach(plan_pod(first.config, first._store.find("rebooted")))
    await first.stop(remove=False)
    again = BridgeNetwork(config(tmp_path))
    await again.start()
    assert [place.pod_uid for place in await again.attachments()] == ["kept"]
    assert [lease.pod_uid for lease in again._store.leases()] == ["kept"]
    assert os.listdir("/run/netns") == [names.netns_name("abcdef", "kept")]
    veths = [name for _, name in socket.if_nameindex() if len(name) == 13]
    assert veths == [names.veth_name("abcdef", "kept")]
    await again.stop()


async def test_a_failed_attach_leaves_nothing_half_made(
    network: BridgeNetwork, tmp_path: Path
) -> None:
    made = traces()
    broken = NetworkConfig(
        instance="abcdef", store=network.config.store, nft="/bin/false", cooldown_seconds=0
    )
    await network.stop(remove=False)
    second = BridgeNetwork(network.config)
    await second.start()
    object.__setattr__(second._datapath, "_config", broken)
    with pytest.raises(NetworkError, match="refused the packet rules"):
        await second.attach("uid-1", "default", "one", egress=False)
    assert traces() == made
    assert second._store.leases() == []
    await second.stop(remove=False)
    await network.start()


async def test_many_pods_come_and_go_without_a_leak(network: BridgeNetwork) -> None:
    import anyio

    gc.collect()
    made, files = traces(), len(os.listdir("/proc/self/fd"))

    async def life(uid: str) -> None:
        for _ in range(3):
            await network.attach(uid, "default", uid, egress=False)
            await network.detach(uid)
            await network.detach(uid)

    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(life, f"uid-{number}")
    assert traces() == made
    assert await network.attachments() == []
    assert len(os.listdir("/proc/self/fd")) == files


async def test_concurrent_attaches_get_different_addresses(network: BridgeNetwork) -> None:
    import anyio

    found: list[Attachment] = []

    async def attach(uid: str) -> None:
        found.append(await network.attach(uid, "default", uid, egress=False))

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(attach, f"uid-{number % 5}")  # each pod twice at once
    assert len({a.ip for a in found}) == 5
    assert len(await network.attachments()) == 5


async def test_a_full_range_is_a_clear_error(tmp_path: Path) -> None:
    network = BridgeNetwork(config(tmp_path, pod_cidr=IPv4Network("10.77.0.0/29")))
    await network.start()
    for number in range(5):
        await network.attach(f"uid-{number}", "default", "x", egress=False)
    with pytest.raises(AddressesExhaustedError, match=r"10\.77\.0\.0/29 is free: pods hold 5 of 5"):
        await network.attach("uid-5", "default", "x", egress=False)
    await network.detach("uid-3")
    again = await network.attach("uid-5", "default", "x", egress=False)
    assert again.ip == "10.77.0.5"
    await network.stop()


async def test_somebody_elses_range_or_bridge_is_left_alone(tmp_path: Path) -> None:
    sh("ip", "link", "add", "office", "type", "bridge")
    sh("ip", "address", "add", "10.244.3.1/16", "dev", "office")
    sh("ip", "link", "set", "office", "up")
    before = traces()
    network = BridgeNetwork(config(tmp_path))
    with pytest.raises(
        NetworkConflictError, match=r"overlaps the route to 10\.244\.0\.0/16 on off"
    ):
        await network.start()
    sh("ip", "link", "delete", "office")
    sh("ip", "link", "add", "cw0", "type", "bridge")
    sh("ip", "address", "add", "192.0.2.1/24", "dev", "cw0")
    with pytest.raises(NetworkConflictError, match="cw0 exists and belongs to somebody else"):
        await network.start()
    sh("ip", "link", "delete", "cw0")
    assert traces()["tables"] == before["tables"]


async def test_two_instances_do_not_disturb_each_other(
    network: BridgeNetwork, tmp_path: Path
) -> None:
    mine = await network.attach("uid", "default", "x", egress=True)
    same_bridge = BridgeNetwork(
        config(tmp_path, instance="123456", pod_cidr=IPv4Network("10.55.0.0/24"))
    )
    with pytest.raises(NetworkConflictError, match="belongs to instance abcdef"):
        await same_bridge.start()
    assert mine.ip in sh("nft", "list", "table", "inet", "cloudwright")
    other = BridgeNetwork(
        config(tmp_path, instance="123456", bridge="cw1", pod_cidr=IPv4Network("10.55.0.0/24"))
    )
    await other.start()
    theirs = await other.attach("uid", "default", "x", egress=False)
    assert theirs.netns != mine.netns
    assert await other.sweep({"uid"}) == []
    assert await network.sweep({"uid"}) == []
    with pytest.raises(TimeoutError):
        dial(theirs, mine.ip, 15006, SIDECAR)
    await other.stop()
    assert await network.attachments() == [mine]
    assert mine.ip in sh("nft", "list", "table", "inet", "cloudwright")


async def test_the_kernel_offers_what_the_doctor_looks_for() -> None:
    before = traces()
    found = await probe.look()
    assert {item.name for item in found} == {
        "network namespaces",
        "veth",
        "bridge",
        "nftables",
        "nftables nat",
        "nftables reject",
    }
    assert [item.name for item in found if not item.works] == []
    assert traces() == before
