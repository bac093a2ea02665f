"""What a write of a Service does beside storing it: its address and its node ports.

An update keeps what was given out before, and gives back what its new type has no use for, as
kube-apiserver does (pkg/registry/core/service/storage).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from cloudwright.apiserver.clusterips import ClusterIPs
from cloudwright.apiserver.errors import invalid
from cloudwright.apiserver.special import Special
from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import service as rules
from cloudwright.model.objects import Object, name_of, uid_of


def wants_ports(spec: Object) -> bool:
    """Whether the ports of a Service are to be reached on nodes."""
    kind = spec.get("type")
    if kind == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return kind == "NodePort"


def numbers(spec: Object) -> list[int]:
    """The node ports that a Service has, the one for health checks included."""
    found = [int(port["nodePort"]) for port in _ports(spec) if port.get("nodePort")]
    health = spec.get("healthCheckNodePort")
    return [*found, int(health)] if health else found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class ServiceWrite(Special):
    """A Service gets a ClusterIP and node ports, or keeps those it has."""

    def __init__(self, addresses: ClusterIPs, new: Object, old: Object | None) -> None:
        self._addresses = addresses
        self._ports = addresses.node_ports
        self._holder = uid_of(new)
        self._errors: list[FieldError] = []
        self._taken: str | None = None
        self._released: str | None = None
        self._new_ports: list[int] = []
        self._kept_ports: set[int] | None = None
        spec = new.get("spec")
        if isinstance(spec, dict):
            rules.begin(new)
            before = (old or {}).get("spec") or {}
            if before:
                _drop_unused(spec, before)
                _keep_ports(spec, before)
            self._settle(spec, before)
            self._settle_ports(spec)
            self._kept_ports = set(numbers(spec))
            if self._errors:
                # What cannot be given out is told first and alone, as upstream does.
                self.__exit__(None, None, None)
                causes = [error.as_cause() for error in self._errors]
                raise invalid("", "Service", name_of(new), causes)

    def _settle(self, spec: Object, before: Object) -> None:
        had = before.get("clusterIP") or ""
        if spec.get("type") == "ExternalName":
            if spec.get("clusterIP") not in (None, "", "None") and spec["clusterIP"] != had:
                message = "may not be set for ExternalName services"
                self._errors.append(fields.forbidden("spec.clusterIP", message))
            for name in ("clusterIP", "clusterIPs"):
                spec.pop(name, None)
            self._released = had or None
            return
        wanted = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0] or had
        if had and wanted != had and before.get("type") != "ExternalName":
            value = [wanted]
            self._errors.append(
                fields.invalid("spec.clusterIPs[0]", value, "may not change once set")
            )
            return
        if wanted and wanted not in ("None", had):
            if not _is_address(wanted):
                message = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                self._errors.append(fields.invalid("spec.clusterIPs[0]", wanted, message))
                return
            problem = self._addresses.problem(wanted, self._holder)
            if problem:
                path = "spec.clusterIPs"
                message = f"failed to allocate IP {wanted}: {problem}"
                self._errors.append(fields.invalid(path, [wanted], message))
                return
            self._addresses.take(wanted, self._holder)
            self._taken = wanted
        elif not wanted:
            self._taken = self._addresses.allocate(self._holder)
            if self._taken is None:
                message = f"no address is free in the service network {self._addresses.network}"
                self._errors.append(fields.invalid("spec.clusterIP", "", message))
                return
            wanted = self._taken
        spec["clusterIP"] = wanted
        spec["clusterIPs"] = [wanted]

    def _settle_ports(self, spec: Object) -> None:
        given: dict[tuple[Any, Any], int] = {}
        for index, port in enumerate(_ports(spec)):
            path, number = f"spec.ports[{index}].nodePort", port.get("nodePort") or 0
            if number:
                self._take(number, path)
            elif wants_ports(spec):
                # One number serves a port in several protocols.
                twin = given.get((port.get("port"), port.get("name")))
                number = twin or self._allocate(path)
                port["nodePort"] = number
            given.setdefault((port.get("port"), port.get("name")), number)
        if rules.needs_health_check(spec):
            path, number = "spec.healthCheckNodePort", spec.get("healthCheckNodePort") or 0
            if number:
                self._take(number, path)
            else:
                spec["healthCheckNodePort"] = self._allocate(path)

    def _take(self, number: int, path: str) -> None:
        problem = self._ports.problem(number, self._holder)
        if problem:
            self._errors.append(fields.invalid(path, number, problem))
        elif not self._ports.held(number, self._holder):
            self._ports.take(number, self._holder)
            self._new_ports.append(number)

    def _allocate(self, path: str) -> int:
        number = self._ports.allocate(self._holder)
        if number is None:
            message = "failed to allocate a nodePort: range is full"
            self._errors.append(fields.invalid(path, 0, message))
            return 0
        self._new_ports.append(number)
        return number

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give back what no stored Service has."""
        if self._taken is not None:
            self._addresses.release(self._taken, self._holder)
        for number in self._new_ports:
            self._ports.release(number, self._holder)

    def errors(self) -> Sequence[FieldError]:
        """What is wrong with what was asked for."""
        return self._errors

    def keep(self) -> None:
        """The Service is stored: what was given out is its own, the rest is free."""
        self._taken = None
        self._new_ports = []
        if self._released:
            self._addresses.release(self._released, self._holder)
        if self._kept_ports is not None:
            self._ports.keep_only(self._kept_ports, self._holder)


def _ports(spec: Object) -> list[Any]:
    return [port for port in spec.get("ports") or () if isinstance(port, dict)]


def _drop_unused(spec: Object, before: Object) -> None:
    """What a Service of the old type had and one of the new type has no use for, unless the user
    says it anew.
    """
    if wants_ports(before) and not wants_ports(spec):
        old = [port.get("nodePort") for port in _ports(before)]
        if [port.get("nodePort") for port in _ports(spec)] == old:
            for port in _ports(spec):
                port.pop("nodePort", None)
    if rules.needs_health_check(before) and not rules.needs_health_check(spec):
        _drop_same(spec, before, "healthCheckNodePort")
    if before.get("type") == "LoadBalancer" != spec.get("type"):
        _drop_same(spec, before, "allocateLoadBalancerNodePorts")
        _drop_same(spec, before, "loadBalancerClass")
    if rules.externally_accessible(before) and not rules.externally_accessible(spec):
        _drop_same(spec, before, "externalTrafficPolicy")


def _drop_same(spec: Object, before: Object, name: str) -> None:
    if spec.get(name) == before.get(name):
        spec.pop(name, None)


def _keep_ports(spec: Object, before: Object) -> None:
    """Ports that keep their name keep their number."""
    if not (wants_ports(before) and wants_ports(spec)):
        return
    known = {port.get("name") or "": port.get("nodePort") for port in _ports(before)}
    used = {port.get("nodePort") for port in _ports(spec)} & set(known.values())
    for port in _ports(spec):
        number = known.get(port.get("name") or "")
        if not port.get("nodePort") and number and number not in used:
            port["nodePort"] = number
            used.add(number)
    if rules.needs_health_check(before) and rules.needs_health_check(spec):
        spec.setdefault("healthCheckNodePort", before.get("healthCheckNodePort"))
