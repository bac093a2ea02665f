"""A node and a pod in the numbers that a placement needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cloudwright.model import quantities
from cloudwright.model.objects import Object, labels_of, name_of

Amounts = dict[str, Decimal]
"""Amounts by resource name: processors, bytes, or pieces."""


def finished(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has ended and holds nothing any more."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def requests_of(pod: Mapping[str, Any]) -> Amounts:
    """What a pod asks for: its containers together, or its biggest init container if that is
    more, plus the overhead (KEP 753 for sidecars: ``restartPolicy: Always`` adds up).
    """
    spec = pod.get("spec", {})
    total = quantities.add(_requests(c) for c in spec.get("containers") or [])
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or []:
        wish = quantities.add([_requests(container)])
        if container.get("restartPolicy") == "Always":
            sidecars = _plus(sidecars, wish)
            wish = {}
        peak = _most(peak, _plus(sidecars, wish))
    total = _most(_plus(total, sidecars), peak)
    return _plus(total, quantities.add([spec.get("overhead") or {}]))


def _requests(container: Mapping[str, Any]) -> Mapping[str, Any]:
    resources = container.get("resources") or {}
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


def _plus(one: Amounts, other: Amounts) -> Amounts:
    names = {**one, **other}
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in names}


def _most(one: Amounts, other: Amounts) -> Amounts:
    names = {**one, **other}
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in names}


def host_ports(pod: Mapping[str, Any]) -> set[tuple[str, int, str]]:
    """``(address, port, protocol)`` of the host that a pod occupies."""
    return {
        (str(port.get("hostIP") or "0.0.0.0"), int(port["hostPort"]), port.get("protocol") or "TCP")  # noqa: S104
        for container in pod.get("spec", {}).get("containers") or []
        for port in container.get("ports") or []
        if port.get("hostPort")
    }


@dataclass(slots=True)
class NodeState:
    """One node with the pods that are on it."""

    node: Object
    pods: list[Object] = field(default_factory=list)
    used: Amounts = field(default_factory=dict)

    @classmethod
    def of(cls, node: Object, pods: Iterable[Object]) -> NodeState:
        """The state of ``node`` with those of ``pods`` that are bound to it and have not ended."""
        state = cls(node)
        for pod in pods:
            if pod.get("spec", {}).get("nodeName") == name_of(node) and not finished(pod):
                state.add(pod)
        return state

    def add(self, pod: Object) -> None:
        """Count a pod in."""
        self.pods.append(pod)
        self.used = _plus(self.used, requests_of(pod))

    @property
    def name(self) -> str:
        """The node's name."""
        return name_of(self.node)

    @property
    def labels(self) -> dict[str, str]:
        """The node's labels."""
        return labels_of(self.node)

    @property
    def taints(self) -> Sequence[Mapping[str, Any]]:
        """The node's taints."""
        return self.node.get("spec", {}).get("taints") or []

    @property
    def allocatable(self) -> Amounts:
        """What pods may take of it: ``status.allocatable``, else ``status.capacity``."""
        status = self.node.get("status", {})
        return quantities.add([status.get("allocatable") or status.get("capacity") or {}])
