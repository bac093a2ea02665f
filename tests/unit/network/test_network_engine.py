"""Which address a pod gets, and what belongs to nobody."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.network import engine, names
from cloudwright.network.config import NetworkConfig, parse_range
from cloudwright.network.engine import Lease, choose_address, conflicting_route, find_orphans
from cloudwright.network.errors import AddressesExhaustedError, NetworkConfigError

POOL = IPv4Network("10.1.0.0/29")  # .0 network, .1 node, .2-.6 pods, .7 broadcast
IP = IPv4Address


def test_addresses_come_in_order_and_leave_out_node_and_broadcast() -> None:
    leased: set[IPv4Address] = set()
    for _ in range(5):
        leased.add(choose_address(POOL, leased, {}, 0.0, 30.0))
    assert sorted(leased) == [IP(f"10.1.0.{n}") for n in range(2, 7)]


def test_a_full_range_says_how_many_are_held_and_cooling() -> None:
    leased = {IP(f"10.1.0.{n}") for n in range(2, 6)}
    with pytest.raises(AddressesExhaustedError, match=r"hold 4 of 5; 1 more get free within 30 s"):
        choose_address(POOL, leased, {IP("10.1.0.6"): 100.0}, 110.0, 30.0)


def test_the_longest_unused_address_is_used_again_first() -> None:
    leased = {IP(f"10.1.0.{n}") for n in (2, 3)}
    released = {IP("10.1.0.4"): 50.0, IP("10.1.0.5"): 10.0, IP("10.1.0.6"): 90.0}
    assert choose_address(POOL, leased, released, 100.0, 30.0) == IP("10.1.0.5")


def test_a_never_used_address_comes_before_one_that_cooled_down() -> None:
    assert choose_address(POOL, set(), {IP("10.1.0.2"): 0.0}, 1e6, 30.0) == IP("10.1.0.3")


@given(
    leased=st.sets(st.integers(2, 6)),
    released=st.dictionaries(st.integers(2, 6), st.floats(0, 200)),
    now=st.floats(0, 300),
    cooldown=st.floats(0, 100),
)
def test_a_chosen_address_is_free_and_cool(
    leased: set[int], released: dict[int, float], now: float, cooldown: float
) -> None:
    held = {IP(f"10.1.0.{n}") for n in leased}
    given_back = {IP(f"10.1.0.{n}"): t for n, t in released.items() if n not in leased}
    try:
        ip = choose_address(POOL, held, given_back, now, cooldown)
    except AddressesExhaustedError:
        free = {IP(f"10.1.0.{n}") for n in range(2, 7)} - held
        assert all(ip in given_back and now - given_back[ip] < cooldown for ip in free)
        return
    assert ip not in held
    assert ip in POOL
    assert ip not in (POOL[0], POOL[1], POOL[-1])
    assert ip not in given_back or now - given_back[ip] >= cooldown


def config(**changes: object) -> NetworkConfig:
    return NetworkConfig(instance="abcdef", store=Path("/nowhere"), **changes)  # type: ignore[arg-type]


def lease(uid: str) -> Lease:
    return Lease(uid, IP("10.244.0.9"), "default", "web", egress=False)


def test_names_of_kernel_objects_are_the_documented_ones() -> None:
    plan = engine.plan_pod(config(), lease("0d1f"))
    short = names.short("0d1f")
    assert len(short) == 8
    assert plan.netns == f"cw-abcdef-{short}"
    assert plan.veth == f"cw{short}abc"
    assert len(plan.veth) <= 15
    assert plan.alias == "cloudwright:abcdef:0d1f"
    assert plan.gateway == IP("10.244.0.1")
    assert plan.mac == bytes.fromhex("0a580af40009")
    assert names.alias_owner(plan.alias) == ("abcdef", "0d1f")
    assert names.alias_owner("docker") is None


def test_orphans_are_ours_and_of_no_known_pod() -> None:
    kept, lost = lease("kept"), lease("lost")
    plans = {le.pod_uid: engine.plan_pod(config(), le) for le in (kept, lost)}
    unnamed = names.veth_name("abcdef", "died-early")
    found = find_orphans(
        "abcdef",
        {"kept"},
        [kept, lost],
        [
            *((plan.veth, plan.alias) for plan in plans.values()),
            (unnamed, ""),
            ("veth0", ""),
            ("cw00000000123", ""),  # another instance's, not yet named
            (names.veth_name("123456", "x"), "cloudwright:123456:x"),
            ("cw0", "cloudwright:abcdef"),
        ],
        [*(plan.netns for plan in plans.values()), "cw-123456-00000000", "blue"],
    )
    assert found.leases == ("lost",)
    assert set(found.veths) == {plans["lost"].veth, unnamed}
    assert found.namespaces == (plans["lost"].netns,)


@pytest.mark.parametrize(
    ("route", "device", "conflicts"),
    [
        ("10.244.0.0/16", "eth1", True),
        ("10.244.0.128/25", "docker0", True),
        ("10.244.0.0/24", "cw0", False),
        ("0.0.0.0/0", "eth0", False),
        ("10.245.0.0/24", "eth0", False),
    ],
)
def test_a_route_of_somebody_else_conflicts(route: str, device: str, conflicts: bool) -> None:
    found = conflicting_route(IPv4Network("10.244.0.0/24"), "cw0", [(IPv4Network(route), device)])
    assert (found is not None) == conflicts


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bridge": "a-name-that-is-too-long"}, "network.bridge"),
        ({"pod_cidr": IPv4Network("10.1.0.0/30")}, "network.pod_cidr"),
        ({"pod_cidr": IPv4Network("10.96.3.0/24")}, "apart from service_cidr"),
        ({"mtu": 70000}, "network.mtu"),
        ({"cooldown_seconds": -1.0}, "network.cooldown_seconds"),
    ],
)
def test_bad_settings_name_their_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(NetworkConfigError, match=field):
        config(**changes)


def test_a_range_with_host_bits_is_refused_with_an_example() -> None:
    with pytest.raises(NetworkConfigError, match=r"10\.244\.0\.1/24") as caught:
        parse_range("10.244.0.1/24")
    assert caught.value.hint == "write it like 10.244.0.0/24"
