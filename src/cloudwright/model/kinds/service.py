"""Service: a stable address for pods. Its addresses and node ports are given out by the API
server (``apiserver.services``).
"""

from __future__ import annotations

from typing import Any

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.endpoints import address_problems
from cloudwright.model.kinds.spec import KindSpec, mapping, members, one_of, wrong
from cloudwright.model.objects import Object

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_WITH_PORTS = ("LoadBalancer", "NodePort")
_AFFINITY_SECONDS, _AFFINITY_MAX = 10_800, 86_400
_HEALTH = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"


def externally_accessible(spec: Object) -> bool:
    """Whether a Service's traffic may come from outside."""
    return spec.get("type") in _WITH_PORTS or (
        spec.get("type") == "ClusterIP" and bool(members(spec, "externalIPs"))
    )


def needs_health_check(spec: Object) -> bool:
    """Whether a load balancer must ask a node if it has a pod of the Service."""
    local = spec.get("externalTrafficPolicy") == "Local"
    return spec.get("type") == "LoadBalancer" and local


def _defaults(service: Object) -> None:
    spec = service.setdefault("spec", {})
    spec["type"] = spec.get("type") or "ClusterIP"
    spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = mapping(mapping(spec, "sessionAffinityConfig"), "clientIP")
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_SECONDS}}
    for port in members(spec, "ports"):
        port["protocol"] = port.get("protocol") or "TCP"
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port")
    if externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] in ("ClusterIP", *_WITH_PORTS):
        spec.setdefault("internalTrafficPolicy", "Cluster")


def begin(service: Object) -> None:
    """What the server decides for a Service, a new one or a changed one: nobody owns that."""
    spec = mapping(service, "spec")
    if spec.get("type") in ("ClusterIP", *_WITH_PORTS):
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")


def _check(service: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(service, "spec")
    ports, kind = members(spec, "ports"), spec.get("type")
    headless = spec.get("clusterIP") == "None"
    found = _family_errors(spec)
    if not ports and not headless and kind != "ExternalName":
        found.append(fields.required("spec.ports"))
    if kind == "LoadBalancer" and headless:
        message = "may not be set to 'None' for LoadBalancer services"
        found.append(fields.invalid("spec.clusterIPs[0]", "None", message))
    if kind == "NodePort" and headless:
        message = "may not be set to 'None' for NodePort services"
        found.append(fields.invalid("spec.clusterIPs[0]", "None", message))
    if kind == "ExternalName":
        name = str(spec.get("externalName") or "").removesuffix(".")
        if name:
            problems = names.dns_subdomain_problems(name)
            found += wrong("spec.externalName", name, problems)
        else:
            found.append(fields.required("spec.externalName"))
    found += _port_errors(ports)
    found += _selector_errors(mapping(spec, "selector"))
    found += _affinity_errors(spec)
    for index, address in enumerate(members(spec, "externalIPs")):
        path = f"spec.externalIPs[{index}]"
        found += wrong(path, address, address_problems(str(address)))
    found += one_of(spec, "spec", "type", _TYPES)
    found += _node_port_errors(ports, str(kind))
    found += _source_errors(spec)
    found += _class_errors(spec, old and mapping(old, "spec"))
    return found + _policy_errors(spec)


def _family_errors(spec: Object) -> list[FieldError]:
    """This cluster has IPv4, and nothing else."""
    found: list[FieldError] = []
    families, policy = members(spec, "ipFamilies"), spec.get("ipFamilyPolicy")
    if policy == "RequireDualStack":
        message = "this cluster is not configured for dual-stack services"
        found.append(fields.invalid("spec.ipFamilyPolicy", policy, message))
    for index, family in enumerate(families):
        if family == "IPv6":
            message = "not configured on this cluster"
            found.append(fields.invalid(f"spec.ipFamilies[{index}]", family, message))
        elif family != "IPv4":
            where = f"spec.ipFamilies[{index}]"
            found.append(fields.not_supported(where, family, ("IPv4", "IPv6")))
    return found


def _port_errors(ports: list[Any]) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[Any] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        number, target, name = port.get("port"), port.get("targetPort"), port.get("name")
        if name:
            found += wrong(f"{path}.name", name, names.dns_label_problems(str(name)))
            if name in seen:
                found.append(fields.duplicate(f"{path}.name", name))
            seen.add(name)
        elif len(ports) > 1:
            found.append(fields.required(f"{path}.name"))
        found += wrong(f"{path}.port", number or 0, names.port_problems(number or 0))
        found += one_of(port, path, "protocol", _PROTOCOLS)
        if isinstance(target, str):
            found += wrong(f"{path}.targetPort", target, names.port_name_problems(target))
        else:
            found += wrong(f"{path}.targetPort", target or 0, names.port_problems(target or 0))
        word = port.get("appProtocol")
        if word is not None:
            problems = names.qualified_name_problems(str(word))
            found += wrong(f"{path}.appProtocol", word, problems)
    return found + _repeated_ports(ports)


def _repeated_ports(ports: list[Any]) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            shown = {"protocol": key[0], "port": key[1]}
            found.append(fields.duplicate(f"spec.ports[{index}]", shown))
        seen.add(key)
    return found


def _selector_errors(selector: Object) -> list[FieldError]:
    found: list[FieldError] = []
    for key, value in selector.items():
        found += wrong("spec.selector", key, names.qualified_name_problems(key))
        found += wrong("spec.selector", value, names.label_value_problems(str(value)))
    return found


def _affinity_errors(spec: Object) -> list[FieldError]:
    found = one_of(spec, "spec", "sessionAffinity", ("ClientIP", "None"))
    seconds = mapping(mapping(spec, "sessionAffinityConfig"), "clientIP").get("timeoutSeconds")
    if seconds is not None and not 0 < seconds <= _AFFINITY_MAX:
        message = f"must be greater than 0 and less than {_AFFINITY_MAX}"
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        found.append(fields.invalid(path, seconds, message))
    return found


def _node_port_errors(ports: list[Any], kind: str) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        number, path = port.get("nodePort"), f"spec.ports[{index}].nodePort"
        if not number:
            continue
        if kind == "ClusterIP":
            message = "may not be used when `type` is 'ClusterIP'"
            found.append(fields.forbidden(path, message))
        elif (number, port.get("protocol")) in seen:
            found.append(fields.duplicate(path, number))
        seen.add((number, port.get("protocol")))
    return found


def _source_errors(spec: Object) -> list[FieldError]:
    if not members(spec, "loadBalancerSourceRanges") or spec.get("type") == "LoadBalancer":
        return []
    message = "may only be used when `type` is 'LoadBalancer'"
    return [fields.forbidden("spec.LoadBalancerSourceRanges", message)]


def _policy_errors(spec: Object) -> list[FieldError]:
    found: list[FieldError] = []
    policy, port = spec.get("externalTrafficPolicy"), spec.get("healthCheckNodePort") or 0
    if not externally_accessible(spec):
        if policy:
            message = "may only be set for externally-accessible services"
            found.append(fields.invalid("spec.externalTrafficPolicy", policy, message))
    else:
        found += one_of(spec, "spec", "externalTrafficPolicy", ("Cluster", "Local"))
    if port and not needs_health_check(spec):
        found.append(fields.invalid("spec.healthCheckNodePort", port, _HEALTH))
    return found + one_of(spec, "spec", "internalTrafficPolicy", ("Cluster", "Local"))


def _class_errors(spec: Object, was: Object | None) -> list[FieldError]:
    name, path = spec.get("loadBalancerClass"), "spec.loadBalancerClass"
    if spec.get("type") != "LoadBalancer":
        if name is None:
            return []
        return [fields.forbidden(path, "may only be used when `type` is 'LoadBalancer'")]
    if was is not None and was.get("type") == "LoadBalancer":
        if was.get("loadBalancerClass") != name:
            return [fields.invalid(path, name, "may not change once set")]
    elif name is not None:
        return wrong(path, name, names.qualified_name_problems(str(name)))
    return []


SPEC = KindSpec(
    resources.SERVICE,
    _defaults,
    _check,
    lambda _service: {"loadBalancer": {}},
    name_problems=names.dns_1035_label_problems,
)
