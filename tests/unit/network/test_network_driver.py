"""The driver on a datapath that only remembers: order, rollback, cancellation, no root needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright._base.errors import CloudwrightError
from cloudwright.network import names
from cloudwright.network.config import NetworkConfig
from cloudwright.network.driver import BridgeNetwork
from cloudwright.network.engine import PodPlan
from cloudwright.network.errors import AddressesExhaustedError, KernelError, NetworkError

pytestmark = pytest.mark.anyio


class Remembering:
    """A datapath without a kernel."""

    def __init__(self) -> None:
        self.pods: dict[str, PodPlan] = {}
        self.egress: set[IPv4Address] = set()
        self.calls: list[str] = []
        self.on_attach: Callable[[PodPlan], None] = lambda plan: None
        self.started_with: set[IPv4Address] = set()

    def start(self, egress: Collection[IPv4Address]) -> None:
        self.started_with = set(egress)

    def attach(self, plan: PodPlan, policy: str = "") -> None:
        self.calls.append(f"attach {plan.pod_uid}")
        self.pods[plan.pod_uid] = plan
        self.on_attach(plan)

    def detach(self, plan: PodPlan) -> None:
        self.calls.append(f"detach {plan.pod_uid}")
        self.pods.pop(plan.pod_uid, None)

    def allow_egress(self, ip: IPv4Address) -> None:
        self.egress.add(ip)

    def deny_egress(self, ip: IPv4Address) -> None:
        self.egress.discard(ip)

    def exists(self, plan: PodPlan) -> bool:
        return plan.pod_uid in self.pods

    def links(self) -> list[tuple[str, str]]:
        return [(plan.veth, plan.alias) for plan in self.pods.values()]

    def namespaces(self) -> list[str]:
        return [plan.netns for plan in self.pods.values()]

    def discard(self, veths: Collection[str], namespaces: Collection[str]) -> None:
        gone = {uid for uid, plan in self.pods.items() if plan.netns in namespaces}
        for uid in gone:
            del self.pods[uid]

    def stop(self) -> None:
        self.calls.append("stop")


class Rig:
    def __init__(self, folder: Path, kernel: Remembering | None = None, **more: Any) -> None:
        self.kernel = kernel or Remembering()
        self.clock = ManualClock()
        more.setdefault("pod_cidr", IPv4Network("10.7.0.0/29"))
        settings = NetworkConfig(instance="abcdef", store=folder / "leases.db", **more)
        self.network = BridgeNetwork(
            settings, clock=self.clock, datapath=lambda config, store: self.kernel
        )

    async def attach(self, uid: str, *, egress: bool = False) -> str:
        return (await self.network.attach(uid, "default", uid, egress=egress)).ip


@pytest.fixture
async def rig(tmp_path: Path) -> Any:
    made = Rig(tmp_path)
    await made.network.start()
    yield made
    await made.network.stop(remove=False)


async def test_a_refused_attach_gives_the_address_back(rig: Rig) -> None:
    def refuse(plan: PodPlan) -> None:
        raise KernelError("make the link", 16)

    rig.kernel.on_attach = refuse
    with pytest.raises(KernelError, match="cannot make the link"):
        await rig.attach("a")
    assert rig.kernel.calls == ["attach a", "detach a"]
    assert rig.network._store.leases() == []


async def test_a_failed_repair_keeps_the_address_of_a_running_pod(rig: Rig) -> None:
    ip = await rig.attach("a")

    def refuse(plan: PodPlan) -> None:
        raise KernelError("repair the link", 16)

    rig.kernel.on_attach = refuse
    with pytest.raises(KernelError):
        await rig.attach("a")
    assert [str(lease.ip) for lease in rig.network._store.leases()] == [ip]
    assert "detach a" not in rig.kernel.calls


async def test_a_cancelled_attach_is_whole_or_not_at_all(rig: Rig) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(plan: PodPlan) -> None:
        inside.set()
        go_on.wait(10)

    rig.kernel.on_attach = slow
    async with anyio.create_task_group() as group:
        group.start_soon(rig.attach, "a")
        await anyio.to_thread.run_sync(inside.wait)
        group.cancel_scope.cancel()
        go_on.set()
    leased = {lease.pod_uid for lease in rig.network._store.leases()}
    assert leased == set(rig.kernel.pods)
    await rig.network.detach("a")
    assert rig.network._store.leases() == []


async def test_an_address_rests_before_it_is_used_again(rig: Rig) -> None:
    for uid in "abcde":
        await rig.attach(uid)
    await rig.network.detach("c")
    with pytest.raises(AddressesExhaustedError, match="1 more get free within 30 s"):
        await rig.attach("f")
    rig.clock.advance(30)
    assert await rig.attach("f") == "10.7.0.4"


async def test_egress_follows_what_the_pod_wants(rig: Rig, tmp_path: Path) -> None:
    ip = IPv4Address(await rig.attach("a", egress=True))
    assert rig.kernel.egress == {ip}
    again = Rig(tmp_path, rig.kernel)
    await again.network.start()
    assert rig.kernel.started_with == {ip}
    await again.network.stop(remove=False)
    await rig.attach("a", egress=False)
    assert rig.kernel.egress == set()
    await rig.attach("a", egress=True)
    await rig.network.detach("a")
    assert rig.kernel.egress == set()


async def test_verbs_of_one_pod_wait_for_each_other(rig: Rig) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(rig.attach, "a")
            group.start_soon(rig.network.detach, "a")
    assert len(rig.network._store.leases()) == len(rig.kernel.pods)
    assert rig.network._pods == {}


async def test_a_reboot_ends_leases_and_a_start_discards_what_has_none(tmp_path: Path) -> None:
    first = Rig(tmp_path)
    await first.network.start()
    await first.attach("a", egress=True)
    await first.attach("b")
    kernel = first.kernel
    del kernel.pods["a"]
    first.network._store.release("b", 0.0)
    await first.network.stop(remove=False)
    again = Rig(tmp_path, kernel)
    await again.network.start()
    assert kernel.pods == {}
    assert again.network._store.leases() == []
    assert kernel.egress == set()
    await again.network.stop(remove=False)


async def test_a_start_that_fails_can_be_tried_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    real = rig.kernel.links

    def refuse() -> list[tuple[str, str]]:
        raise KernelError("list interfaces", 1)

    rig.kernel.links = refuse  # type: ignore[method-assign]
    with pytest.raises(KernelError):
        await rig.network.start()
    rig.kernel.links = real  # type: ignore[method-assign]
    await rig.network.start()
    await rig.network.stop()


async def test_stop_removes_every_pod_and_then_what_they_shared(rig: Rig) -> None:
    await rig.attach("a")
    await rig.network.stop()
    assert rig.kernel.calls == ["attach a", "detach a", "stop"]
    await rig.network.stop()
    await rig.network.start()


async def test_sweep_tells_what_it_removed(rig: Rig) -> None:
    await rig.attach("kept")
    await rig.attach("lost")
    assert await rig.network.sweep({"kept"}) == ["lost"]
    place = (await rig.network.attachments())[0]
    assert place.netns == f"/run/netns/{names.netns_name('abcdef', 'kept')}"
    assert (place.gateway, place.interface) == ("10.7.0.1", "eth0")


async def test_wrong_order_and_full_disks_are_told(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(CloudwrightError, match="before it was started"):
        await Rig(tmp_path / "other").attach("a")
    with pytest.raises(CloudwrightError, match="started twice"):
        await rig.network.start()

    def full(plan: PodPlan) -> None:
        raise OSError(28, "No space left on device", "/run/netns/x")

    rig.kernel.on_attach = full
    with pytest.raises(NetworkError, match="cannot use /run/netns/x: No space left on device"):
        await rig.attach("a")
    assert rig.network._store.leases() == []
