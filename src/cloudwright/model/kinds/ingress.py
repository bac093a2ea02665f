"""Ingress and IngressClass: paths of hosts, and the Services behind them."""

from __future__ import annotations

import ipaddress

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import naming
from cloudwright.model.kinds.spec import KindSpec, mapping, members, unchanged, wrong
from cloudwright.model.objects import Object

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_INSIDE = ("//", "/./", "/../", "%2f", "%2F")
_AT_END = ("/..", "/.")
_SCOPES = ("Cluster", "Namespace")
_CONTROLLER_MAX = 250


def _check(ingress: Object, _old: Object | None) -> list[FieldError]:
    spec = mapping(ingress, "spec")
    rules, backend = members(spec, "rules"), spec.get("defaultBackend")
    found: list[FieldError] = []
    if not rules and backend is None:
        message = "either `defaultBackend` or `rules` must be specified"
        found.append(fields.invalid("spec", spec.get("rules"), message))
    if backend is not None:
        found += _backend_errors(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        path = f"spec.rules[{index}]"
        found += _host_errors(str(rule.get("host") or ""), f"{path}.host")
        http = rule.get("http")
        if http is None:
            continue
        if not members(http, "paths"):
            found.append(fields.required(f"{path}.http.paths"))
        for at, one in enumerate(members(http, "paths")):
            found += _path_errors(one, f"{path}.http.paths[{at}]")
    for index, tls in enumerate(members(spec, "tls")):
        path = f"spec.tls[{index}]"
        for at, host in enumerate(members(tls, "hosts")):
            found += wrong(f"{path}.hosts[{at}]", host, host_problems(str(host)))
        secret = str(tls.get("secretName") or "")
        if secret:
            found += wrong(f"{path}.secretName", secret, names.dns_subdomain_problems(secret))
    name = spec.get("ingressClassName")
    if name is not None:
        found += wrong("spec.ingressClassName", name, names.dns_subdomain_problems(str(name)))
    return found


def host_problems(host: str) -> list[str]:
    """Whether ``host`` is a name, or ``*.`` and a name."""
    if "*" in host:
        return names.wildcard_problems(host)
    return names.dns_subdomain_problems(host)


def _host_errors(host: str, path: str) -> list[FieldError]:
    if not host:
        return []
    found = wrong(path, host, host_problems(host))
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return found
    return [fields.invalid(path, host, "must be a DNS name, not an IP address"), *found]


def _path_errors(one: Object, path: str) -> list[FieldError]:
    kind, text = one.get("pathType"), str(one.get("path") or "")
    if kind is None:
        return [fields.required(f"{path}.pathType", "pathType must be specified")]
    found: list[FieldError] = []
    where = f"{path}.path"
    absolute = text.startswith("/")
    if kind in ("Exact", "Prefix"):
        if not absolute:
            found.append(fields.invalid(where, text, "must be an absolute path"))
        for part in _INSIDE:
            if part in text:
                found.append(fields.invalid(where, text, f"must not contain '{part}'"))
        for part in _AT_END:
            if text.endswith(part):
                found.append(fields.invalid(where, text, f"cannot end with '{part}'"))
    elif kind == "ImplementationSpecific":
        if text and not absolute:
            found.append(fields.invalid(where, text, "must be an absolute path"))
    else:
        found.append(fields.not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    return found + _backend_errors(mapping(one, "backend"), f"{path}.backend")


def _backend_errors(backend: Object, path: str) -> list[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [fields.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        needed = ("kind", "name")
        return [fields.required(f"{path}.resource.{k}") for k in needed if not resource.get(k)]
    if service is None:
        return [fields.invalid(path, "", "resource or service backend is required")]
    found: list[FieldError] = []
    name = str(service.get("name") or "")
    if not name:
        found.append(fields.required(f"{path}.service.name"))
    else:
        found += wrong(f"{path}.service.name", name, names.dns_1035_label_problems(name))
    port = mapping(service, "port")
    number, word = port.get("number") or 0, str(port.get("name") or "")
    where = f"{path}.service.port"
    if number and word:
        found.append(fields.invalid(path, "", "cannot set both port name & port number"))
    elif word:
        found += wrong(f"{where}.name", word, names.port_name_problems(word))
    elif number:
        found += wrong(f"{where}.number", number, names.port_problems(number))
    else:
        found.append(fields.required(path, "port name or number is required"))
    return found


def _class_defaults(ingress_class: Object) -> None:
    parameters = mapping(ingress_class, "spec").get("parameters")
    if isinstance(parameters, dict):
        parameters.setdefault("scope", "Cluster")


def _check_class(ingress_class: Object, old: Object | None) -> list[FieldError]:
    spec, path = mapping(ingress_class, "spec"), "spec.controller"
    controller = str(spec.get("controller") or "")
    found = [fields.too_long(path, _CONTROLLER_MAX)] if len(controller) > _CONTROLLER_MAX else []
    found += naming.prefixed_path_errors(controller, path)
    if (parameters := spec.get("parameters")) is not None:
        found += _parameter_errors(parameters, "spec.parameters")
    return found + unchanged(spec, old and mapping(old, "spec"), "spec", "controller")


def _parameter_errors(parameters: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    group = parameters.get("apiGroup")
    if group is not None:
        found += wrong(f"{path}.apiGroup", group, names.dns_subdomain_problems(str(group)))
    found += [fields.required(f"{path}.{k}") for k in ("kind", "name") if not parameters.get(k)]
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope not in _SCOPES:
        return [*found, fields.not_supported(f"{path}.scope", scope, _SCOPES)]
    if scope == "Namespace" and namespace is None:
        message = "`parameters.scope` is set to 'Namespace'"
        found.append(fields.required(f"{path}.namespace", message))
    if scope == "Cluster" and namespace is not None:
        message = "`parameters.scope` is set to 'Cluster'"
        found.append(fields.forbidden(f"{path}.namespace", message))
    return found


SPEC = KindSpec(resources.INGRESS, check=_check, initial_status=lambda _i: {"loadBalancer": {}})
CLASS = KindSpec(resources.INGRESS_CLASS, _class_defaults, _check_class)
