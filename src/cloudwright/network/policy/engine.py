"""What NetworkPolicies mean for one pod (pure). Semantics: ``networking.k8s.io/v1``.

Policies are ``compile``d once; ``rules_of`` unites those that select a pod. Addresses are IPv4, as
pods have no others: IPv6 blocks match nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, ip_network
from typing import Any

from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.selectors import LabelSelector, from_label_selector

Port = tuple[str, int, int]
"""Protocol in lower case, first and last port."""
LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Pod:
    """What policies look at. ``ports`` has the numbers by name and protocol."""

    uid: str
    namespace: str
    labels: Mapping[str, str]
    ports: Mapping[tuple[str, str], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A selection of pods, or (when both selectors are ``None``) blocks of addresses."""

    pods: LabelSelector | None
    namespaces: LabelSelector | None
    blocks: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class PortMatch:
    """A range of ports, or with ``name`` the port that a pod calls so."""

    protocol: str
    first: int = 0
    last: int = LAST_PORT
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """``None``: all peers, all ports (and every protocol)."""

    peers: tuple[Peer, ...] | None
    ports: tuple[PortMatch, ...] | None


@dataclass(frozen=True, slots=True)
class Policy:
    """``None`` for a direction: the policy says nothing of it."""

    namespace: str
    name: str
    selector: LabelSelector
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None


@dataclass(frozen=True, slots=True)
class Permit:
    """Peers' addresses and ports that may be used; ``None``: all. Disjoint and sorted."""

    peers: tuple[IPv4Network, ...] | None
    ports: tuple[Port, ...] | None


@dataclass(frozen=True, slots=True)
class PodRules:
    """What is allowed in each direction; ``None``: everything, the pod is not isolated."""

    ingress: tuple[Permit, ...] | None
    egress: tuple[Permit, ...] | None


OPEN = PodRules(None, None)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a decision may depend on."""

    policies: Iterable[Policy]
    pods: Mapping[str, Pod]
    """By uid."""
    addresses: Mapping[str, IPv4Address]
    """Of pods, by uid; a pod without one is nobody's peer."""
    namespaces: Mapping[str, Mapping[str, str]]
    """Labels by name."""
    found: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    """Selections that were made before: policies are asked once for each pod they select."""


def pod_of(obj: Object) -> Pod:
    """What policies look at, of a Pod."""
    spec, ports = obj.get("spec") or {}, dict[tuple[str, str], tuple[int, ...]]()
    lasting = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in (*(spec.get("containers") or ()), *lasting):
        for port in container.get("ports") or ():
            key = (str(port.get("name") or ""), str(port.get("protocol") or "TCP").lower())
            if key[0]:
                ports[key] = (*ports.get(key, ()), int(port["containerPort"]))
    metadata = obj["metadata"]
    return Pod(str(metadata["uid"]), namespace_of(obj), metadata.get("labels") or {}, ports)


def compile_policy(obj: Object) -> Policy:
    """A NetworkPolicy, read. Raises ``ValueError`` for what validation lets nobody store."""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return Policy(
        namespace_of(obj),
        name_of(obj),
        from_label_selector(spec.get("podSelector") or {}),
        _rules(spec, "ingress", "from") if "Ingress" in types else None,
        _rules(spec, "egress", "to") if "Egress" in types else None,
    )


def _rules(spec: Mapping[str, Any], direction: str, side: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            tuple(_peer(peer) for peer in rule[side]) if rule.get(side) else None,
            tuple(_port(port) for port in rule["ports"]) if rule.get("ports") else None,
        )
        for rule in spec.get(direction) or ()
    )


def _peer(peer: Mapping[str, Any]) -> Peer:
    block = peer.get("ipBlock")
    if block is not None:
        return Peer(None, None, _blocks(str(block["cidr"]), block.get("except") or ()))
    chosen = (peer.get("podSelector"), peer.get("namespaceSelector"))
    pods, namespaces = (None if one is None else from_label_selector(one) for one in chosen)
    return Peer(pods, namespaces)


def _blocks(cidr: str, excepted: Iterable[str]) -> tuple[IPv4Network, ...]:
    whole = ip_network(cidr, strict=False)
    if not isinstance(whole, IPv4Network):
        return ()
    left = [whole]
    for text in excepted:
        part = ip_network(text, strict=False)
        if isinstance(part, IPv4Network):
            left = [piece for block in left for piece in _without(block, part)]
    return tuple(collapse_addresses(left))


def _without(block: IPv4Network, part: IPv4Network) -> Iterator[IPv4Network]:
    if block.subnet_of(part):
        return
    if part.subnet_of(block):
        yield from block.address_exclude(part)
    else:
        yield block


def _port(port: Mapping[str, Any]) -> PortMatch:
    protocol, number = str(port.get("protocol") or "TCP").lower(), port.get("port")
    if number is None:
        return PortMatch(protocol)
    if isinstance(number, str):
        return PortMatch(protocol, name=number)
    return PortMatch(protocol, int(number), int(port.get("endPort") or number))


def rules_of(world: World, uid: str) -> PodRules:
    """The union of the policies that select the pod; without any it is open."""
    pod = world.pods[uid]
    chosen = [
        policy
        for policy in world.policies
        if policy.namespace == pod.namespace and policy.selector.matches(pod.labels)
    ]
    into = [policy.ingress for policy in chosen if policy.ingress is not None]
    out = [policy.egress for policy in chosen if policy.egress is not None]
    return PodRules(
        _united(_ingress(world, pod, rule) for rules in into for rule in rules) if into else None,
        _united(_egress(world, pod, rule) for rules in out for rule in rules) if out else None,
    )


def _ingress(world: World, pod: Pod, rule: Rule) -> Iterator[Permit]:
    """Named ports are those of the pod itself."""
    peers = _addresses(world, pod.namespace, rule.peers)
    if rule.ports is None:
        yield Permit(peers, None)
        return
    found: list[Port] = []
    for port in rule.ports:
        found += _numbers(port, pod) if port.name else [(port.protocol, port.first, port.last)]
    yield Permit(peers, tuple(found))


def _egress(world: World, pod: Pod, rule: Rule) -> Iterator[Permit]:
    """Named ports are those of each peer; addresses that are no pod's have none."""
    peers = _addresses(world, pod.namespace, rule.peers)
    if rule.ports is None:
        yield Permit(peers, None)
        return
    plain = tuple((p.protocol, p.first, p.last) for p in rule.ports if not p.name)
    yield Permit(peers, plain)
    named = [port for port in rule.ports if port.name]
    if named:
        for uid in _selected(world, pod.namespace, rule.peers):
            ports = [number for port in named for number in _numbers(port, world.pods[uid])]
            yield Permit((IPv4Network(world.addresses[uid]),), tuple(ports))


def _numbers(port: PortMatch, pod: Pod) -> list[Port]:
    numbers = pod.ports.get((port.name, port.protocol), ())
    return [(port.protocol, number, number) for number in numbers]


def _addresses(
    world: World, namespace: str, peers: tuple[Peer, ...] | None
) -> tuple[IPv4Network, ...] | None:
    if peers is None:
        return None
    blocks = [block for peer in peers for block in peer.blocks]
    pods = (IPv4Network(world.addresses[uid]) for uid in _selected(world, namespace, peers))
    return (*blocks, *pods)


def _selected(world: World, namespace: str, peers: tuple[Peer, ...] | None) -> tuple[str, ...]:
    """The uids of pods with an address that one of ``peers`` selects."""
    key = (namespace, id(peers))
    if key not in world.found:
        world.found[key] = tuple(
            uid
            for uid, pod in world.pods.items()
            if uid in world.addresses
            and (peers is None or any(_selects(world, namespace, peer, pod) for peer in peers))
        )
    return world.found[key]


def _selects(world: World, namespace: str, peer: Peer, pod: Pod) -> bool:
    if peer.pods is None and peer.namespaces is None:
        return False
    if peer.namespaces is None:
        if pod.namespace != namespace:
            return False
    elif pod.namespace not in world.namespaces or not peer.namespaces.matches(
        world.namespaces[pod.namespace]
    ):
        return False
    return peer.pods is None or peer.pods.matches(pod.labels)


def _united(permits: Iterable[Iterable[Permit]]) -> tuple[Permit, ...]:
    """Permits with equal ports as one, without those that allow nothing; in a fixed order."""
    by_ports: dict[tuple[Port, ...] | None, list[IPv4Network] | None] = {}
    for permit in (one for some in permits for one in some):
        ports = None if permit.ports is None else _merged(permit.ports)
        if ports == () or permit.peers == ():
            continue
        known = by_ports.setdefault(ports, [])
        if permit.peers is None:
            by_ports[ports] = None
        elif known is not None:
            known.extend(permit.peers)
    found = [
        Permit(None if peers is None else tuple(collapse_addresses(peers)), ports)
        for ports, peers in by_ports.items()
    ]
    return tuple(sorted(found, key=lambda permit: permit.ports or ()))


def _merged(ports: Iterable[Port]) -> tuple[Port, ...]:
    """The same ports as disjoint ranges that do not touch."""
    found: list[Port] = []
    for protocol, first, last in sorted(ports):
        if found and found[-1][0] == protocol and first <= found[-1][2] + 1:
            found[-1] = (protocol, found[-1][1], max(last, found[-1][2]))
        else:
            found.append((protocol, first, last))
    return tuple(found)
