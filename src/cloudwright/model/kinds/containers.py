"""What may stand in a container: image, ports, environment, mounts, probes, resources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import requirements
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
_NOT_EPHEMERAL = (
    *("ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules"),
    *("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"),
)
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_ENV_SOURCES = (*("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"),)
_ONE_SOURCE = (
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or "
    "`fileKeyRef`"
)
_FIELDS = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName"),
    *("spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP"),
    *("status.podIPs", "metadata.labels", "metadata.annotations", "spec.restartPolicy"),
    *("spec.schedulerName", "spec.hostNetwork", "status.phase", "status.nominatedNodeName"),
)
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]")
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_ID_MAX = 2**31 - 1


def containers(spec: Object, path: str) -> list[FieldError]:
    """Errors of ``initContainers`` and ``containers``."""
    volumes = {str(volume.get("name")) for volume in members(spec, "volumes")}
    if not members(spec, "containers"):
        return [fields.required(f"{path}.containers")]
    found: list[FieldError] = []
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(members(spec, kind)):
            where = f"{path}.{kind}[{index}]"
            name = str(container.get("name") or "")
            found += _container(container, where, volumes)
            if kind == "initContainers":
                found += _init_errors(container, where)
            if name in seen and name:
                found.append(fields.duplicate(f"{where}.name", name))
            seen.add(name)
    return found + _ephemeral(spec, f"{path}.ephemeralContainers", volumes, seen)


def _ephemeral(spec: Object, path: str, volumes: set[str], others: set[str]) -> list[FieldError]:
    """Errors of ``ephemeralContainers``: they look at ``others`` and are no part of the work."""
    found: list[FieldError] = []
    names, message = set(others), "cannot be set for an Ephemeral Container"
    for index, container in enumerate(members(spec, "ephemeralContainers")):
        where = f"{path}[{index}]"
        name, target = container.get("name"), container.get("targetContainerName")
        found += _container(container, where, volumes)
        if name in names:
            found.append(fields.duplicate(f"{where}.name", name))
        names.add(str(name))
        if target and target not in others:
            found.append(fields.not_found(f"{where}.targetContainerName", target))
        for key in _NOT_EPHEMERAL:
            if container.get(key):
                found.append(fields.forbidden(f"{where}.{key}", message))
        for at, mount in enumerate(members(container, "volumeMounts")):
            for key in ("subPath", "subPathExpr"):
                if mount.get(key):
                    found.append(fields.forbidden(f"{where}.volumeMounts[{at}].{key}", message))
    return found


def _init_errors(container: Object, path: str) -> list[FieldError]:
    """An init container has probes only if it goes on running beside the others."""
    found = one_of(container, path, "restartPolicy", ("Always", "Never", "OnFailure"))
    if container.get("restartPolicy") == "Always":
        return found
    message = "may not be set for init containers without restartPolicy=Always"
    for key in ("lifecycle", *_PROBES):
        if container.get(key) is not None:
            found.append(fields.forbidden(f"{path}.{key}", message))
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
        elif not all(" " <= sign <= "~" and sign != "=" for sign in name):
            message = "a valid environment variable name must consist only of printable ASCII "
            message += "characters other than '='"
            found.append(fields.invalid(f"{where}.name", name, message))
        if (source := entry.get("valueFrom")) is not None:
            found += _env_source(source, entry, f"{where}.valueFrom")
    return found


def _env_source(source: Object, entry: Object, path: str) -> list[FieldError]:
    chosen = [name for name in _ENV_SOURCES if source.get(name)]
    if len(chosen) != 1:
        message = "may not have more than one field specified at a time"
        text = message if chosen else _ONE_SOURCE
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
    if chosen[0] == "fieldRef" and value not in _FIELDS and not _SUBSCRIPT.fullmatch(value):
        message = f"error converting fieldPath: field label not supported: {value}"
        return [fields.invalid(where, value, message)]
    return wrong(where, value, names.config_key_problems(value)) if needed == "key" else []


def id_errors(value: Any, path: str) -> list[FieldError]:
    """What is wrong with the number of a user or group, where it is given."""
    if value is None or 0 <= value <= _ID_MAX:
        return []
    message = f"must be between 0 and {_ID_MAX}, inclusive"
    return [fields.invalid(path, value, message)]


def security(context: Mapping[str, Any], path: str) -> list[FieldError]:
    """Errors of a security context: what no pod may be here."""
    found: list[FieldError] = []
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        found += id_errors(context.get(key), f"{path}.{key}")
    for index, group in enumerate(members(context, "supplementalGroups")):
        found += id_errors(group, f"{path}.supplementalGroups[{index}]")
    for index, one in enumerate(members(context, "sysctls")):
        name = str(one.get("name") or "")
        if len(name) > 253 or _SYSCTL.fullmatch(name) is None:
            message = f"must have at most 253 characters and match regex ^{_SYSCTL.pattern}$"
            found.append(fields.invalid(f"{path}.sysctls[{index}].name", name, message))
    found += one_of(context, path, "fsGroupChangePolicy", ("Always", "OnRootMismatch"))
    if (profile := context.get("seccompProfile")) is not None:
        kinds = ("Localhost", "RuntimeDefault", "Unconfined")
        found += one_of(profile, f"{path}.seccompProfile", "type", kinds)
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
        found += one_of(context, path, "procMount", ("Default", "Unmasked"))
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
    found += one_of(container, path, "terminationMessagePolicy", ("File", "FallbackToLogsOnError"))
    found += one_of(container, path, "imagePullPolicy", ("Always", "IfNotPresent", "Never"))
    ports = members(container, "ports")
    found += _ports(ports, f"{path}.ports")
    found += env(members(container, "env"), f"{path}.env")
    found += _env_from(members(container, "envFrom"), f"{path}.envFrom")
    found += _mounts(members(container, "volumeMounts"), f"{path}.volumeMounts", volumes)
    for index, device in enumerate(members(container, "volumeDevices")):
        where = f"{path}.volumeDevices[{index}]"
        if device.get("name") not in volumes:
            found.append(fields.not_found(f"{where}.name", device.get("name") or ""))
        if not device.get("devicePath"):
            found.append(fields.required(f"{where}.devicePath"))
    named = {str(port["name"]) for port in ports if port.get("name")}
    for kind in _PROBES:
        if (probe := container.get(kind)) is not None:
            found += _probe(probe, f"{path}.{kind}", kind, named)
    for kind, handler in mapping(container, "lifecycle").items():
        if isinstance(handler, dict):
            found += _handler(handler, f"{path}.lifecycle.{kind}", named)
    found += requirements.errors(mapping(container, "resources"), f"{path}.resources")
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
        if not number:
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
        chosen = [n for n in ("configMapRef", "secretRef") if entry.get(n) is not None]
        for name in chosen:
            if not entry[name].get("name"):
                found.append(fields.required(f"{path}[{index}].{name}.name"))
        if not chosen:
            message = "must specify one of: `configMapRef` or `secretRef`"
            found.append(fields.invalid(path, "", message))
        elif len(chosen) > 1:
            message = "may not have more than one field specified at a time"
            found.append(fields.invalid(path, "", message))
    return found


def _mounts(mounts: list[Any], path: str, volumes: set[str]) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        where = f"{path}[{index}]"
        name = str(mount.get("name") or "")
        if not name:
            found.append(fields.required(f"{where}.name"))
        if name not in volumes:
            found.append(fields.not_found(f"{where}.name", name))
        target = str(mount.get("mountPath") or "")
        if not target:
            found.append(fields.required(f"{where}.mountPath"))
        if target in seen:
            found.append(fields.invalid(f"{where}.mountPath", target, "must be unique"))
        seen.add(target)
        for key in ("subPath", "subPathExpr"):
            text = str(mount.get(key) or "")
            if text.startswith("/"):
                found.append(fields.invalid(f"{path}.{key}", text, "must be a relative path"))
            if ".." in text.split("/"):
                found.append(fields.invalid(f"{path}.{key}", text, "must not contain '..'"))
    return found


def _probe(probe: Object, path: str, kind: str, ports: set[str]) -> list[FieldError]:
    found = _handler(probe, path, ports)
    found += not_negative(probe, path, "initialDelaySeconds", "terminationGracePeriodSeconds")
    found += not_negative(
        probe, path, "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"
    )
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        value = probe["successThreshold"]
        found.append(fields.invalid(f"{path}.successThreshold", value, "must be 1"))
    return found


def _handler(handler: Object, path: str, ports: set[str]) -> list[FieldError]:
    chosen = [name for name in _HANDLERS if handler.get(name) is not None]
    if not chosen:
        return [fields.required(path, "must specify a handler type")]
    name = chosen[0]
    found = list(_handler_errors(name, handler[name], f"{path}.{name}", ports))
    message = "may not specify more than 1 handler type"
    return found + [fields.forbidden(f"{path}.{other}", message) for other in chosen[1:]]


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
