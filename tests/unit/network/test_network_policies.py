"""NetworkPolicies against a naive reading of the API's words."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model.selectors import from_label_selector
from cloudwright.network.policy import text
from cloudwright.network.policy.engine import (
    OPEN,
    Permit,
    World,
    compile_policy,
    pod_of,
    rules_of,
)
from cloudwright.network.policy.notes import useless

NODE = IPv4Address("10.244.0.1")
Json = dict[str, Any]


def pod(uid: str, namespace: str, labels: Json, ports: list[Json] | None = None) -> Json:
    return {
        "metadata": {"name": uid, "namespace": namespace, "uid": uid, "labels": labels},
        "spec": {"containers": [{"name": "c", "ports": ports or []}]},
    }


def policy(namespace: str, **spec: Any) -> Json:
    return {"metadata": {"name": "p", "namespace": namespace}, "spec": spec}


# The oracle: one question at a time, straight from the reference documentation.


def says_yes(
    policies: list[Json], pods: list[Json], spaces: Json, addresses: Json, question: Json
) -> bool:
    me, peer_ip = question["pod"], question["ip"]
    direction, side = question["direction"], {"ingress": "from", "egress": "to"}
    peers = [p for p in pods if addresses.get(p["metadata"]["uid"]) == peer_ip]
    isolated = False
    for one in policies:
        spec = one["spec"]
        types = spec.get("policyTypes")
        if not types:
            types = ["Ingress"] + (["Egress"] if spec.get("egress") else [])
        space = me["metadata"]["namespace"]
        if one["metadata"]["namespace"] != space or direction.capitalize() not in types:
            continue
        if not fits(spec["podSelector"], me["metadata"]["labels"]):
            continue
        isolated = True
        for rule in spec.get(direction) or []:
            froms = rule.get(side[direction]) or []
            if froms and not any(is_peer(f, space, peers, spaces, peer_ip) for f in froms):
                continue
            owners = [me] if direction == "ingress" else peers
            if port_fits(rule.get("ports") or [], owners, question):
                return True
    return not isolated


def fits(selector: Json, labels: Json) -> bool:
    return from_label_selector(selector).matches(labels)


def is_peer(peer: Json, space: str, pods: list[Json], spaces: Json, ip: str) -> bool:
    if "ipBlock" in peer:
        block, address = peer["ipBlock"], ip_address(ip)
        inside = address in ip_network(block["cidr"])
        return inside and not any(address in ip_network(e) for e in block.get("except", []))
    for one in pods:
        where = one["metadata"]["namespace"]
        if "namespaceSelector" in peer:
            if not fits(peer["namespaceSelector"], spaces[where]):
                continue
        elif where != space:
            continue
        if "podSelector" not in peer or fits(peer["podSelector"], one["metadata"]["labels"]):
            return True
    return False


def port_fits(ports: list[Json], owners: list[Json], question: Json) -> bool:
    if not ports:
        return True
    for port in ports:
        if port.get("protocol", "TCP") != question["protocol"]:
            continue
        number = port.get("port")
        if number is None:
            return True
        if isinstance(number, str):
            for owner in owners:
                for known in owner["spec"]["containers"][0]["ports"]:
                    named = (known["name"], known["containerPort"], known["protocol"])
                    if named == (number, question["port"], question["protocol"]):
                        return True
        elif number <= question["port"] <= port.get("endPort", number):
            return True
    return False


def allows(permits: tuple[Permit, ...] | None, ip: str, protocol: str, port: int) -> bool:
    if permits is None:
        return True
    address = IPv4Address(ip)
    return any(
        (p.peers is None or any(address in net for net in p.peers))
        and (p.ports is None or any(n == protocol and a <= port <= b for n, a, b in p.ports))
        for p in permits
    )


LABELS = st.fixed_dictionaries({}, optional={"a": st.sampled_from("xy"), "b": st.just("x")})
SELECTORS = st.one_of(
    st.just({}),
    st.builds(lambda v: {"matchLabels": {"a": v}}, st.sampled_from("xy")),
    st.just({"matchExpressions": [{"key": "b", "operator": "Exists"}]}),
    st.just({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}),
)
BLOCKS = st.sampled_from(
    [
        {"cidr": "0.0.0.0/0"},
        {"cidr": "10.244.0.0/30", "except": ["10.244.0.2/32"]},
        {"cidr": "10.244.0.0/24", "except": ["10.244.0.0/30", "10.244.0.0/29"]},
        {"cidr": "192.0.2.0/24", "except": ["192.0.2.7/32"]},
    ]
)
PEERS = st.one_of(
    st.builds(lambda s: {"podSelector": s}, SELECTORS),
    st.builds(lambda s: {"namespaceSelector": s}, SELECTORS),
    st.builds(lambda s, n: {"podSelector": s, "namespaceSelector": n}, SELECTORS, SELECTORS),
    st.builds(lambda b: {"ipBlock": b}, BLOCKS),
)
PROTOCOLS = st.sampled_from(["TCP", "UDP", "SCTP"])
PORTS = st.one_of(
    st.builds(lambda p: {"protocol": p}, PROTOCOLS),
    st.builds(lambda p, n: {"protocol": p, "port": n}, PROTOCOLS, st.integers(1, 5)),
    st.builds(lambda n, e: {"port": n, "endPort": n + e}, st.integers(1, 4), st.integers(0, 3)),
    st.builds(lambda p: {"protocol": p, "port": "web"}, PROTOCOLS),
)


def rules(side: str) -> st.SearchStrategy[list[Json]]:
    lists = {side: st.lists(PEERS, max_size=2), "ports": st.lists(PORTS, max_size=2)}
    return st.lists(st.fixed_dictionaries({}, optional=lists), max_size=2)


POLICIES = st.builds(
    lambda space, spec: {"metadata": {"name": "p", "namespace": space}, "spec": spec},
    st.sampled_from(["one", "two"]),
    st.fixed_dictionaries(
        {"podSelector": SELECTORS},
        optional={
            "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
            "ingress": rules("from"),
            "egress": rules("to"),
        },
    ),
)
WEB = st.lists(
    st.builds(
        lambda n, p: {"name": "web", "containerPort": n, "protocol": p},
        st.integers(1, 5),
        PROTOCOLS,
    ),
    max_size=2,
)
PODS = st.lists(st.tuples(st.sampled_from(["one", "two"]), LABELS, WEB), min_size=1, max_size=4)


@given(
    st.lists(POLICIES, max_size=3),
    PODS,
    LABELS,
    LABELS,
    st.lists(
        st.tuples(
            st.sampled_from(["ingress", "egress"]),
            st.sampled_from([*(f"10.244.0.{n}" for n in range(1, 9)), "192.0.2.7", "192.0.2.8"]),
            PROTOCOLS,
            st.integers(1, 7),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_every_packet_is_judged_as_the_reference_says(
    policies: list[Json],
    facts: list[tuple[str, Json, list[Json]]],
    one: Json,
    two: Json,
    asked: list[tuple[str, str, str, int]],
) -> None:
    pods = [pod(f"u{n}", *fact) for n, fact in enumerate(facts)]
    addresses = {f"u{n}": f"10.244.0.{n + 2}" for n in range(len(pods))}
    spaces = {"one": one, "two": two}
    world = World(
        [compile_policy(p) for p in policies],
        {p["metadata"]["uid"]: pod_of(p) for p in pods},
        {uid: IPv4Address(ip) for uid, ip in addresses.items()},
        spaces,
    )
    for me in pods:
        found = rules_of(world, me["metadata"]["uid"])
        for direction, ip, protocol, port in asked:
            question = {
                "pod": me,
                "direction": direction,
                "ip": ip,
                "protocol": protocol,
                "port": port,
            }
            wanted = says_yes(policies, pods, spaces, addresses, question)
            assert allows(getattr(found, direction), ip, protocol.lower(), port) == wanted


def world_of(*policies: Json) -> World:
    pods = [pod("u", "one", {"a": "x"}), pod("v", "two", {"a": "y"})]
    return World(
        [compile_policy(p) for p in policies],
        {p["metadata"]["uid"]: pod_of(p) for p in pods},
        {"u": IPv4Address("10.244.0.2"), "v": IPv4Address("10.244.0.3")},
        {"one": {}, "two": {"team": "t"}},
    )


def test_an_open_pod_has_no_table() -> None:
    found = rules_of(world_of(), "u")
    assert found == OPEN
    assert text.table(found, IPv4Address("10.244.0.2"), NODE) == ""


def test_the_text_of_a_policy() -> None:
    made = world_of(
        policy(
            "one",
            podSelector={},
            policyTypes=["Ingress", "Egress"],
            ingress=[
                {
                    "from": [{"namespaceSelector": {"matchLabels": {"team": "t"}}}],
                    "ports": [{"port": 80}, {"port": 8000, "endPort": 8080}, {"protocol": "UDP"}],
                }
            ],
        )
    )
    written = text.table(rules_of(made, "u"), IPv4Address("10.244.0.2"), NODE)
    assert "ip saddr { 10.244.0.3 } meta l4proto tcp th dport { 80, 8000-8080 } accept" in written
    assert "ip saddr { 10.244.0.3 } meta l4proto udp accept" in written
    assert written.count("reject with tcp reset") == 2
    assert "ip daddr { 127.0.0.0/8, 10.244.0.1, 10.244.0.2 } accept" in written


def test_what_cannot_happen_is_said() -> None:
    odd = policy(
        "one",
        ingress=[{"ports": [{"protocol": "SCTP", "port": 1}]}],
        egress=[{"to": [{"ipBlock": {"cidr": "2001:db8::/64"}}], "ports": [{"protocol": "UDP"}]}],
    )
    messages = [message for _, message in useless(odd)]
    assert len(messages) == 2
    assert "ingress over SCTP" in messages[0]
    assert "2001:db8::/64" in messages[1]
    assert useless(policy("one", ingress=[{"ports": [{"port": 80}]}])) == []
