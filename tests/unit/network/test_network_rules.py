"""Rule texts: how pods reach the Kubernetes API, and nothing else of the machine."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from cloudwright.network import rules
from cloudwright.network.config import ApiDoor, NetworkConfig


def config(api: ApiDoor | None = None) -> NetworkConfig:
    return NetworkConfig(instance="abcdef", store=Path("leases.db"), api=api)


DOOR = ApiDoor(IPv4Address("10.96.0.1"), 443, 6443)


def lines(text: str, chain: str) -> list[str]:
    inside = text.split(f"chain {chain} {{", 1)[1].split("}", 1)[0]
    return [line.strip() for line in inside.splitlines() if line.strip()]


def test_pods_ask_the_api_past_their_sidecar() -> None:
    output = lines(rules.pod(config(DOOR), fresh=True), "output")
    door = "ip daddr 10.96.0.1 tcp dport 443 counter dnat ip to 10.244.0.1:6443"
    assert output.index(door) < output.index("meta l4proto tcp counter redirect to :15001")
    assert output.index("meta skuid 1337 return") < output.index(door)


def test_the_machine_lets_exactly_that_port_in() -> None:
    inside = lines(rules.host(config(DOOR), ()), "input")
    door = 'iifname "cw0" ip daddr 10.244.0.1 tcp dport 6443 counter accept'
    assert inside.index(door) < inside.index('iifname "cw0" counter drop')
    assert [line for line in inside if "tcp" in line] == [door]


def test_without_a_door_nothing_is_let_in() -> None:
    assert "tcp" not in "".join(lines(rules.host(config(), ()), "input"))
    assert "dnat" not in rules.pod(config())
