"""What may stand in a container: image, ports, environment, mounts, probes, resources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from cloudwright.model import fields, names, quantities
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import (
    mapping,
    members,
    not_negative,
    one_of,
    positive,
    repeated,
    wrong,
)
from cloudwright.model.objects import Object

SIDECAR_UID = 1337
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")


def containers(spec: Object, path: str) -> list[FieldError]:
    """Errors of ``initContainers`` and ``containers``."""
    volumes = {str(volume.get("name")) for volume in members(spec, "volumes")}
    if not members(spec, "containers"):
        return [fields.required(f"{path}.containers")]
    found: list[FieldError] = []
    seen: set[str] = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(members(spec, kind)):
            where = f"{path}.{kind}[{index}]"
            name = str(container.get("name") or "")
            if name in seen and name:
                found.append(fields.duplicate(f"{where}.name", name))
            seen.add(name)
            found += _container(container, where, volumes)
    return found


def image_problems(image: str) -> list[str]:
    """Whether ``image`` may name an image."""
    if image != image.strip():
        return ["must not have leading or trailing whitespace"]
    if re.search(r"\s", image):
        return ["must not contain whitespace"]
    return []


def env(entries: list[Any], path: str) -> list[FieldError]:
    """Errors of a list of environment variables."""
    found: list[FieldError] = []
    for index, entry in enumerate(entries):
        where = f"{path}[{index}]"
        name = str(entry.get("name") or "")
        if not name:
            found.append(fields.required(f"{where}.name"))
        else:
            found += wrong(f"{where}.name", name, names.env_name_problems(name))
        if (source := entry.get("valueFrom")) is not None:
            found += _env_source(source, entry, f"{where}.valueFrom")
    return found


def _env_source(source: Object, entry: Object, path: str) -> list[FieldError]:
    chosen = [name for name in _ENV_SOURCES if source.get(name)]
    if len(chosen) != 1:
        message = "may not have more than one field specified at a time"
        text = message if chosen else f"must specify one of: {', '.join(_ENV_SOURCES)}"
        return [fields.invalid(path, "", text)]
    if entry.get("value"):
        message = "may not be specified when `value` is not empty"
        return [fields.invalid(path, "", message)]
    reference = source[chosen[0]]
    needed = {"fieldRef": "fieldPath", "resourceFieldRef": "resource"}.get(chosen[0], "key")
    where = f"{path}.{chosen[0]}.{needed}"
    value = str(reference.get(needed) or "")
    if not value:
        return [fields.required(where)]
    return wrong(where, value, names.config_key_problems(value)) if needed == "key" else []


def resources(given: Mapping[str, Any], path: str) -> list[FieldError]:
    """Errors of ``resources``: quantities, and requests that exceed their limits."""
    found: list[FieldError] = []
    amounts: dict[str, dict[str, Decimal]] = {"limits": {}, "requests": {}}
    for kind, parsed in amounts.items():
        for name, value in mapping(given, kind).items():
            if kind == "requests" and mapping(given, "limits").get(name) == value:
                continue  # filled in from the limit, and told there
            where = f"{path}.{kind}[{name}]"
            problems = quantities.problems(value)
            found += wrong(where, value, problems)
            found += wrong(where, name, names.qualified_name_problems(name))
            if not problems:
                parsed[name] = quantities.parse(value)
    for name, amount in amounts["requests"].items():
        limit = amounts["limits"].get(name)
        if limit is not None and amount > limit:
            shown = given["requests"][name]
            message = f"must be less than or equal to {name} limit of {given['limits'][name]}"
            found.append(fields.invalid(f"{path}.requests", shown, message))
    return found


def security(context: Mapping[str, Any], path: str) -> list[FieldError]:
    """Errors of a security context: what no pod may be here."""
    found = not_negative(context, path, "runAsUser", "runAsGroup", "fsGroup")
    for key in ("runAsUser", "runAsGroup"):
        if context.get(key) == SIDECAR_UID:
            message = f"{SIDECAR_UID} is reserved for the sidecar: choose another number"
            found.append(fields.forbidden(f"{path}.{key}", message))
    if context.get("privileged"):
        message = "privileged containers are not supported: add the capabilities that are needed"
        found.append(fields.forbidden(f"{path}.privileged", message))
    if context.get("runAsNonRoot") and context.get("runAsUser") == 0:
        message = "must not be 0 when runAsNonRoot is true"
        found.append(fields.invalid(f"{path}.runAsUser", 0, message))
    if context.get("procMount") not in (None, "Default"):
        found += one_of(context, path, "procMount", ("Default",))
    return found


def _container(container: Object, path: str, volumes: set[str]) -> list[FieldError]:
    found: list[FieldError] = []
    name, image = str(container.get("name") or ""), str(container.get("image") or "")
    if not name:
        found.append(fields.required(f"{path}.name"))
    else:
        found += wrong(f"{path}.name", name, names.dns_label_problems(name))
    if not image.strip():
        found.append(fields.required(f"{path}.image"))
    else:
        found += wrong(f"{path}.image", image, image_problems(image))
    found += one_of(container, path, "imagePullPolicy", ("Always", "IfNotPresent", "Never"))
    found += one_of(container, path, "terminationMessagePolicy", ("File", "FallbackToLogsOnError"))
    ports = members(container, "ports")
    found += _ports(ports, f"{path}.ports")
    found += env(members(container, "env"), f"{path}.env")
    found += _env_from(members(container, "envFrom"), f"{path}.envFrom")
    found += _mounts(members(container, "volumeMounts"), f"{path}.volumeMounts", volumes)
    named = {str(port["name"]) for port in ports if port.get("name")}
    for kind in _PROBES:
        if (probe := container.get(kind)) is not None:
            found += _probe(probe, f"{path}.{kind}", kind, named)
    for kind, handler in mapping(container, "lifecycle").items():
        if isinstance(handler, dict):
            found += _handler(handler, f"{path}.lifecycle.{kind}", named)
    found += resources(mapping(container, "resources"), f"{path}.resources")
    return found + security(mapping(container, "securityContext"), f"{path}.securityContext")


def _ports(ports: list[Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    numbers: set[tuple[Any, Any, Any]] = set()
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        if port.get("name"):
            name = str(port["name"])
            found += wrong(f"{where}.name", name, names.port_name_problems(name))
        number = port.get("containerPort")
        if number is None:
            found.append(fields.required(f"{where}.containerPort"))
        else:
            found += wrong(f"{where}.containerPort", number, names.port_problems(number))
        found += one_of(port, where, "protocol", _PROTOCOLS)
        if port.get("hostPort"):
            message = "ports of the host are not supported: use a Service or a Route"
            found.append(fields.forbidden(f"{where}.hostPort", message))
        key = (number, port.get("protocol"), port.get("name"))
        if key in numbers:
            found.append(fields.duplicate(where, number))
        numbers.add(key)
    return found + repeated(ports, path, "name")


def _env_from(entries: list[Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for index, entry in enumerate(entries):
        chosen = [name for name in ("configMapRef", "secretRef") if entry.get(name)]
        if len(chosen) != 1:
            message = "must specify one of: `configMapRef` or `secretRef`"
            found.append(fields.invalid(f"{path}[{index}]", "", message))
        elif not entry[chosen[0]].get("name"):
            found.append(fields.required(f"{path}[{index}].{chosen[0]}.name"))
    return found


def _mounts(mounts: list[Any], path: str, volumes: set[str]) -> list[FieldError]:
    found: list[FieldError] = []
    for index, mount in enumerate(mounts):
        where = f"{path}[{index}]"
        name = str(mount.get("name") or "")
        if not name:
            found.append(fields.required(f"{where}.name"))
        elif name not in volumes:
            found.append(fields.invalid(f"{where}.name", name, "there is no volume of this name"))
        target = str(mount.get("mountPath") or "")
        if not target:
            found.append(fields.required(f"{where}.mountPath"))
        for key in ("mountPath", "subPath"):
            text = str(mount.get(key) or "")
            if ".." in text.split("/"):
                found.append(fields.invalid(f"{where}.{key}", text, "must not contain '..'"))
        if str(mount.get("subPath") or "").startswith("/"):
            message = "must be a relative path"
            found.append(fields.invalid(f"{where}.subPath", mount["subPath"], message))
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        target = str(mount.get("mountPath") or "")
        if target and target in seen:
            found.append(fields.invalid(f"{path}[{index}].mountPath", target, "must be unique"))
        seen.add(target)
    return found


def _probe(probe: Object, path: str, kind: str, ports: set[str]) -> list[FieldError]:
    found = _handler(probe, path, ports)
    found += not_negative(probe, path, "initialDelaySeconds", "terminationGracePeriodSeconds")
    found += positive(
        probe, path, "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"
    )
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        value = probe["successThreshold"]
        found.append(fields.invalid(f"{path}.successThreshold", value, "must be 1"))
    return found


def _handler(handler: Object, path: str, ports: set[str]) -> list[FieldError]:
    chosen = [name for name in _HANDLERS if handler.get(name)]
    if not chosen:
        return [fields.required(path, "must specify a handler type")]
    if len(chosen) > 1:
        message = "may not specify more than 1 handler type"
        return [fields.forbidden(f"{path}.{name}", message) for name in chosen[1:]]
    name = chosen[0]
    return list(_handler_errors(name, handler[name], f"{path}.{name}", ports))


def _handler_errors(name: str, action: Object, path: str, ports: set[str]) -> Iterator[FieldError]:
    if name == "exec":
        if not action.get("command"):
            yield fields.required(f"{path}.command")
        return
    if name == "sleep":
        yield from positive(action, path, "seconds")
        return
    if name == "httpGet":
        yield from one_of(action, path, "scheme", ("HTTP", "HTTPS"))
        if not str(action.get("path") or "/").startswith("/"):
            yield fields.invalid(f"{path}.path", action["path"], "must start with '/'")
    port = action.get("port")
    if port is None:
        yield fields.required(f"{path}.port")
    elif isinstance(port, str):
        problems = names.port_name_problems(port)
        yield from wrong(f"{path}.port", port, problems)
        if not problems and port not in ports:
            yield fields.invalid(f"{path}.port", port, "the container has no port of this name")
    else:
        yield from wrong(f"{path}.port", port, names.port_problems(port))
