"""Service: a stable address for pods. Its address itself is given out by the API server."""

from __future__ import annotations

from typing import Any

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, one_of, repeated, wrong
from cloudwright.model.objects import Object

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def _defaults(service: Object) -> None:
    spec = service.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in members(spec, "ports"):
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port")
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")


def _check(service: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(service, "spec")
    found = one_of(spec, "spec", "type", _TYPES)
    found += one_of(spec, "spec", "sessionAffinity", ("None", "ClientIP"))
    ports = members(spec, "ports")
    if spec.get("type") == "ExternalName":
        name = str(spec.get("externalName") or "")
        if not name:
            found.append(fields.required("spec.externalName"))
        else:
            problems = names.dns_subdomain_problems(name.removesuffix("."))
            found += wrong("spec.externalName", name, problems)
    elif not ports and spec.get("clusterIP") != "None":
        found.append(fields.required("spec.ports"))
    found += _ports(ports)
    for key, value in mapping(spec, "selector").items():
        found += wrong("spec.selector", key, names.qualified_name_problems(key))
        found += wrong("spec.selector", value, names.label_value_problems(str(value)))
    return found


def _ports(ports: list[Any]) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        number, target, name = port.get("port"), port.get("targetPort"), port.get("name")
        if name:
            found += wrong(f"{where}.name", name, names.dns_label_problems(str(name)))
        elif len(ports) > 1:
            found.append(fields.required(f"{where}.name"))
        found += wrong(f"{where}.port", number, names.port_problems(number))
        found += one_of(port, where, "protocol", _PROTOCOLS)
        if isinstance(target, str):
            found += wrong(f"{where}.targetPort", target, names.port_name_problems(target))
        elif target != number:
            found += wrong(f"{where}.targetPort", target, names.port_problems(target))
        if (number, port.get("protocol")) in seen:
            shown = {"port": number, "protocol": port.get("protocol")}
            found.append(fields.duplicate(where, shown))
        seen.add((number, port.get("protocol")))
    return found + repeated(ports, "spec.ports", "name")


SPEC = KindSpec(
    resources.SERVICE,
    _defaults,
    _check,
    lambda _service: {"loadBalancer": {}},
    name_problems=names.dns_1035_label_problems,
)
