"""A container's environment: ConfigMaps, Secrets, fields of the pod, ``$(VAR)``. Pure.

``Lookup`` answers with an object that is at hand (``ConfigMap`` or ``Secret``), or ``None``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING
from typing import Any

from cloudwright.model import quantities
from cloudwright.model.objects import Object, annotations_of, labels_of, namespace_of
from cloudwright.node.errors import ConfigError

Lookup = Callable[[str, str, str], Object | None]
"""``(kind, namespace, name)``."""

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")
_REFERENCE = re.compile(r"\$(?:\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_NAME = re.compile(r"^[A-Za-z_.-][A-Za-z0-9_.-]*$")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` replaced; ``$$`` is ``$``; an unknown name stays as it is (upstream's rule)."""

    def one(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        return variables.get(name, match[0])

    return _REFERENCE.sub(one, text)


def expand_all(words: Sequence[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    """``expand`` for each word of a command line."""
    return tuple(expand(str(word), variables) for word in words)


def of_api(address: tuple[str, int] | None) -> dict[str, str]:
    """The variables by which clients in a container find the Kubernetes API (as of links)."""
    if address is None:
        return {}
    host, port = address[0], str(address[1])
    url = f"tcp://{host}:{port}"
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
        "KUBERNETES_PORT": url,
        f"KUBERNETES_PORT_{port}_TCP": url,
        f"KUBERNETES_PORT_{port}_TCP_PROTO": "tcp",
        f"KUBERNETES_PORT_{port}_TCP_PORT": port,
        f"KUBERNETES_PORT_{port}_TCP_ADDR": host,
    }


def resolve(
    container: Mapping[str, Any],
    pod: Object,
    lookup: Lookup,
    machine: Mapping[str, Any],
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The variables of ``env`` and ``envFrom``, on top of ``given``.

    ``machine`` is the node's allocatable (``{"cpu": "2", "memory": "…"}``), the limit of a
    container that has none.

    Raises:
        ConfigError: an object or key that is not optional does not exist (yet).
    """
    result: dict[str, str] = dict(given or {})
    for source in container.get("envFrom") or []:
        result.update(_from_object(source, pod, lookup))
    for entry in container.get("env") or []:
        name = str(entry["name"])
        if entry.get("valueFrom"):
            value = _value_from(entry["valueFrom"], container, pod, lookup, machine)
            if value is None:
                continue
            result[name] = value
        else:
            result[name] = expand(str(entry.get("value") or ""), result)
    return result


def _from_object(source: Mapping[str, Any], pod: Object, lookup: Lookup) -> dict[str, str]:
    prefix = str(source.get("prefix") or "")
    for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
        ref = source.get(key)
        if ref:
            obj = _object(kind, pod, ref, lookup)
            data = {} if obj is None else data_of(obj)
            pairs = {f"{prefix}{name}": _text(value) for name, value in data.items()}
            return {name: value for name, value in pairs.items() if _NAME.match(name)}
    return {}


def _object(kind: str, pod: Object, ref: Mapping[str, Any], lookup: Lookup) -> Object | None:
    name = str(ref.get("name") or "")
    obj = lookup(kind, namespace_of(pod), name)
    if obj is None and not ref.get("optional"):
        raise ConfigError(
            f'{kind.lower()} "{name}" not found',
            hint=f"create it in namespace {namespace_of(pod)}, or mark the reference optional",
        )
    return obj


def _value_from(
    source: Mapping[str, Any],
    container: Mapping[str, Any],
    pod: Object,
    lookup: Lookup,
    machine: Mapping[str, Any],
) -> str | None:
    if "fieldRef" in source:
        return field(pod, str(source["fieldRef"].get("fieldPath") or ""))
    if "resourceFieldRef" in source:
        return resource_field(source["resourceFieldRef"], container, machine)
    for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        ref = source.get(key)
        if ref is None:
            continue
        obj = _object(kind, pod, ref, lookup)
        value = None if obj is None else data_of(obj).get(str(ref.get("key")))
        if value is None and not ref.get("optional"):
            where = f"{namespace_of(pod)}/{ref.get('name')}"
            raise ConfigError(f"couldn't find key {ref.get('key')} in {kind} {where}")
        return None if value is None else _text(value)
    raise ConfigError(f"unknown source of an environment variable: {', '.join(source)}")


def data_of(obj: Object) -> dict[str, bytes]:
    """The files of a ConfigMap (``data``, ``binaryData``) or a Secret (``data``, base64).

    Raises:
        ConfigError: a value is not base64.
    """
    secret = obj.get("kind") == "Secret"
    plain = {} if secret else obj.get("data") or {}
    encoded = obj.get("data" if secret else "binaryData") or {}
    result = {str(key): str(value).encode() for key, value in plain.items()}
    for key, value in encoded.items():
        try:
            result[str(key)] = base64.b64decode(str(value), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f"key {key} of {obj['metadata']['name']} is not base64") from error
    return result


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def field(pod: Object, path: str) -> str:
    """The value of a ``fieldRef``.

    Raises:
        ConfigError: that field cannot be referred to.
    """
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    if match := _SUBSCRIPT.match(path):
        table = labels_of(pod) if match[1] == "labels" else annotations_of(pod)
        return table.get(match[2], "")
    simple: dict[str, Any] = {
        "metadata.name": metadata.get("name"),
        "metadata.namespace": metadata.get("namespace"),
        "metadata.uid": metadata.get("uid"),
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.podIP": status.get("podIP"),
        "status.podIPs": ",".join(e["ip"] for e in status.get("podIPs") or []),
        "status.hostIP": status.get("hostIP"),
        "status.hostIPs": ",".join(e["ip"] for e in status.get("hostIPs") or []),
    }
    if path not in simple:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(simple[path] or "")


def resource_field(
    ref: Mapping[str, Any], container: Mapping[str, Any], machine: Mapping[str, Any]
) -> str:
    """The value of a ``resourceFieldRef`` (``limits.cpu``, ``requests.memory`` …), rounded up.

    Raises:
        ConfigError: no such resource, or a bad divisor.
    """
    group, _, name = str(ref.get("resource") or "").partition(".")
    if group not in ("limits", "requests") or name not in ("cpu", "memory", "ephemeral-storage"):
        raise ConfigError(f"unsupported resource: {ref.get('resource')}")
    resources = container.get("resources") or {}
    value = (resources.get(group) or {}).get(name)
    if value is None:
        value = machine.get(name, 0) if group == "limits" else 0
    try:
        divisor = quantities.parse(ref.get("divisor") or 1)
        number = quantities.parse(value) / (divisor or 1)
    except ValueError as error:
        raise ConfigError(f"resource {ref.get('resource')}: {error}") from error
    return str(int(number.to_integral_value(rounding=ROUND_CEILING)))
