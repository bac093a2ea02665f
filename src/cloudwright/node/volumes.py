"""Which files a pod's volumes hold, and where they are mounted. Pure; ``projection`` writes them.

configMap, secret, projected and downwardAPI volumes are read-only and follow their objects live
(except ``subPath`` mounts, as upstream); emptyDir belongs to the pod; hostPath is refused unless
allowed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudwright.model.objects import (
    Object,
    annotations_of,
    labels_of,
    name_of,
    namespace_of,
    resource_version,
    uid_of,
)
from cloudwright.node import environment
from cloudwright.node.environment import Lookup
from cloudwright.node.errors import ConfigError, VolumeError

DEFAULT_MODE = 0o644
WRITABLE_MODE = 0o777
_KINDS = (
    "configMap",
    "secret",
    "projected",
    "downwardAPI",
    "emptyDir",
    "hostPath",
    "persistentVolumeClaim",
    "ephemeral",
)
_WRITABLE = ("emptyDir", "hostPath", "persistentVolumeClaim", "ephemeral")


ROOT_CA = "kube-root-ca.crt"
"""In every pod, and no configuration of its own: the pod is not told of its revisions."""
TOKEN_SECONDS = 3600
TokenKey = tuple[str, str, int]
"""A pod's uid, an audience (empty: the API's), seconds."""


@dataclass(frozen=True, slots=True)
class Content:
    """One file of a projected volume."""

    data: bytes
    mode: int = DEFAULT_MODE


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """What a volume is: projected ``files``, or a writable directory, or a path of the host."""

    name: str
    files: Mapping[str, Content] | None = None
    host_path: str | None = None
    config_maps: tuple[str, ...] = ()
    """``name@resourceVersion`` of the ConfigMaps in it."""
    size_limit: int | None = None
    read_only: bool = False
    """Nobody may write to it, whatever a mount says."""


@dataclass(frozen=True, slots=True)
class MountPlan:
    """One ``volumeMounts`` entry of a container."""

    volume: str
    destination: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(slots=True)
class _Files:
    files: dict[str, Content] = field(default_factory=dict)
    config_maps: list[str] = field(default_factory=list)


def plan(
    pod: Object,
    lookup: Lookup,
    machine: Mapping[str, Any],
    *,
    allow_host_path: bool = False,
    claims: Mapping[tuple[str, str], tuple[str, bool]] | None = None,
    tokens: Mapping[TokenKey, str] | None = None,
) -> list[VolumePlan]:
    """Every volume of the pod; ``claims`` has directory and read-only flag of bound claims,
    ``tokens`` those of the pod's service account.

    Raises:
        VolumeError: a volume's words are wrong or not supported, or an object that it needs does
            not exist (yet).
    """
    return [
        _claimed(pod, entry, claims or {})
        if entry.get("persistentVolumeClaim") is not None or entry.get("ephemeral") is not None
        else _volume(pod, entry, lookup, machine, tokens or {}, allow_host_path)
        for entry in pod["spec"].get("volumes") or []
    ]


def _claimed(
    pod: Object,
    entry: Mapping[str, Any],
    claims: Mapping[tuple[str, str], tuple[str, bool]],
) -> VolumePlan:
    """The directory behind a claim."""
    name = str(entry["name"])
    claim = (entry.get("persistentVolumeClaim") or {}).get("claimName")
    key = (namespace_of(pod), str(claim or f"{name_of(pod)}-{name}"))
    if key not in claims:
        raise VolumeError(f'volume "{name}": persistentvolumeclaim "{key[1]}" is not mounted yet')
    path, read_only = claims[key]
    return VolumePlan(name, host_path=path, read_only=read_only)


def token_key(pod: Object, source: Mapping[str, Any]) -> TokenKey:
    """What tells the tokens of this node's pods apart."""
    seconds = int(source.get("expirationSeconds") or TOKEN_SECONDS)
    return uid_of(pod), str(source.get("audience") or ""), seconds


def applied(plans: list[VolumePlan]) -> str:
    """The value of the annotation ``cloudwright.dev/config-applied``; empty without ConfigMaps."""
    return ",".join(sorted({entry for plan_ in plans for entry in plan_.config_maps}))


def _volume(
    pod: Object,
    entry: Mapping[str, Any],
    lookup: Lookup,
    machine: Mapping[str, Any],
    tokens: Mapping[TokenKey, str],
    allow_host_path: bool,
) -> VolumePlan:
    name = str(entry["name"])
    kind = next((kind for kind in _KINDS if entry.get(kind) is not None), "")
    if kind == "emptyDir":
        limit = entry["emptyDir"].get("sizeLimit")
        return VolumePlan(name, size_limit=None if limit is None else _size(name, limit))
    if kind == "hostPath":
        if not allow_host_path:
            raise VolumeError(
                f'volume "{name}": hostPath volumes are not allowed on this node',
                hint="use emptyDir, configMap or secret, or start the node with host paths allowed",
            )
        return VolumePlan(name, host_path=str(entry["hostPath"]["path"]))
    if not kind:
        found = ", ".join(key for key in entry if key != "name") or "none"
        raise VolumeError(
            f'volume "{name}": unsupported type: {found}', hint=f"one of: {', '.join(_KINDS)}"
        )
    files = _Files()
    body = entry[kind]
    sources = body.get("sources") or [] if kind == "projected" else [{kind: body}]
    mode = int(body.get("defaultMode") or DEFAULT_MODE)
    try:
        for source in sources:
            _source(files, pod, source, lookup, machine, tokens, mode)
    except ConfigError as error:
        raise VolumeError(
            f'MountVolume.SetUp failed for volume "{name}": {error.message}', hint=error.hint
        ) from error
    return VolumePlan(name, files=files.files, config_maps=tuple(files.config_maps))


def _source(
    into: _Files,
    pod: Object,
    source: Mapping[str, Any],
    lookup: Lookup,
    machine: Mapping[str, Any],
    tokens: Mapping[TokenKey, str],
    mode: int,
) -> None:
    if source.get("configMap") is not None:
        _object_files(into, pod, "ConfigMap", source["configMap"], lookup, mode)
    elif source.get("secret") is not None:
        _object_files(into, pod, "Secret", source["secret"], lookup, mode)
    elif source.get("downwardAPI") is not None:
        for item in source["downwardAPI"].get("items") or []:
            data = _downward(pod, item, machine).encode()
            into.files[_path(item["path"])] = Content(data, int(item.get("mode") or mode))
    elif source.get("serviceAccountToken") is not None:
        wanted = source["serviceAccountToken"]
        text = tokens.get(token_key(pod, wanted))
        if text is None:
            raise ConfigError(f"no token for {wanted.get('path')} yet")
        into.files[_path(wanted["path"])] = Content(text.encode(), mode)
    else:
        raise ConfigError(f"unsupported projected source: {', '.join(source) or 'none'}")


def _object_files(
    into: _Files, pod: Object, kind: str, body: Mapping[str, Any], lookup: Lookup, mode: int
) -> None:
    name = str(body.get("name") or body.get("secretName") or "")
    obj = lookup(kind, namespace_of(pod), name)
    if obj is None:
        if body.get("optional"):
            return
        raise ConfigError(
            f'{kind.lower()} "{name}" not found', hint=f"create it in {namespace_of(pod)}"
        )
    data = environment.data_of(obj)
    if kind == "ConfigMap" and name != ROOT_CA:
        into.config_maps.append(f"{name}@{resource_version(obj)}")
    items = body.get("items")
    if not items:
        into.files.update({_path(key): Content(value, mode) for key, value in data.items()})
        return
    for item in items:
        key = str(item["key"])
        if key in data:
            into.files[_path(item["path"])] = Content(data[key], int(item.get("mode") or mode))
        elif not body.get("optional"):
            raise ConfigError(f'{kind.lower()} "{name}" has no key "{key}"')


def _downward(pod: Object, item: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    if "resourceFieldRef" in item:
        ref = item["resourceFieldRef"]
        named = ref.get("containerName")
        for container in pod["spec"].get("containers") or []:
            if container["name"] == named:
                return environment.resource_field(ref, container, machine)
        raise ConfigError(f'no container "{named}" for resourceFieldRef')
    path = str((item.get("fieldRef") or {}).get("fieldPath") or "")
    if path in ("metadata.labels", "metadata.annotations"):
        table = labels_of(pod) if path == "metadata.labels" else annotations_of(pod)
        return "\n".join(f'{key}="{_quoted(value)}"' for key, value in sorted(table.items()))
    return environment.field(pod, path)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _path(text: Any) -> str:
    """A relative path below the volume.

    Raises:
        ConfigError: it would lie outside, or take the place of our own ``..data``.
    """
    path = posixpath.normpath(str(text))
    if path.startswith(("/", "..")) or path == ".":
        raise ConfigError(f'path "{text}" must be relative, without ".." at its start')
    return path


def _size(name: str, limit: Any) -> int:
    from cloudwright.model import quantities

    try:
        return quantities.as_bytes(limit)
    except ValueError as error:
        raise VolumeError(f'volume "{name}": sizeLimit: {error}') from error


def mounts(pod: Object, container: Mapping[str, Any], env: Mapping[str, str]) -> list[MountPlan]:
    """The mounts of one container.

    Raises:
        ConfigError: a mount names no volume, leaves its volume, or needs what is not supported.
    """
    kinds = {
        str(v["name"]): next((k for k in _KINDS if v.get(k) is not None), "")
        for v in pod["spec"].get("volumes") or []
    }
    result = []
    for entry in container.get("volumeMounts") or []:
        volume = str(entry["name"])
        if volume not in kinds:
            raise ConfigError(f'volumeMounts: the pod has no volume "{volume}"')
        sub = str(entry.get("subPath") or "")
        if entry.get("subPathExpr"):
            sub = environment.expand(str(entry["subPathExpr"]), env)
        if sub:
            sub = _path(sub)
            if kinds[volume] in _WRITABLE and kinds[volume] != "hostPath":
                _guard_sub_path(pod, volume, sub)
        fixed = kinds[volume] not in _WRITABLE
        read_only = fixed or bool(entry.get("readOnly"))
        result.append(MountPlan(volume, str(entry["mountPath"]), sub, read_only))
    return result


def _guard_sub_path(pod: Object, volume: str, sub: str) -> None:
    """Refuse a subPath whose parent a container can write to.

    It could put a symbolic link to the host's files in its place before the next start.
    """
    spec = pod["spec"]
    for container in (*(spec.get("initContainers") or []), *(spec.get("containers") or [])):
        for entry in container.get("volumeMounts") or []:
            other = posixpath.normpath(str(entry.get("subPath") or entry.get("subPathExpr") or "."))
            inside = other == "." or sub.startswith(f"{other}/")
            if entry["name"] == volume and inside and not entry.get("readOnly"):
                raise ConfigError(
                    f'volume "{volume}": subPath "{sub}" lies in a directory that container '
                    f'"{container["name"]}" may write to',
                    hint="use a second emptyDir volume instead of a subPath",
                )


def source_of(root: Path, volume: VolumePlan, mount: MountPlan) -> Path:
    """The host path that is bound into the container; ``root`` holds the pod's volumes."""
    base = Path(volume.host_path) if volume.host_path is not None else root / volume.name
    return base / mount.sub_path if mount.sub_path else base
