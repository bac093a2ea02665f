"""From a container of a pod to what the runtime is asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cloudwright.model import quantities
from cloudwright.model.objects import Object, name_of, namespace_of, uid_of
from cloudwright.model.sandbox import (
    ContainerSpec,
    ImageConfig,
    Limits,
    LogTarget,
    Mount,
    SecurityContext,
)
from cloudwright.node import environment, etcfiles
from cloudwright.node.errors import ConfigError
from cloudwright.node.names import container_id

SIDECAR_UID = 1337
_LISTS = ("initContainers", "containers", "ephemeralContainers")
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")


def problem(pod: Object) -> str | None:
    """Why this node will never run the pod, or ``None``."""
    spec = pod["spec"]
    for field in _HOST_NAMESPACES:
        if spec.get(field):
            return f"spec.{field} is not supported: every pod has namespaces of its own"
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    for container in containers:
        security = container.get("securityContext") or {}
        if security.get("privileged"):
            return f'container "{container["name"]}": privileged containers are not supported'
        if container.get("restartPolicy") == "Always":
            return f'init container "{container["name"]}": restartPolicy Always is not supported'
    return None


def containers(pod: Object) -> list[dict[str, Any]]:
    """Every container of the pod, of all three lists."""
    spec = pod["spec"]
    return [c for key in _LISTS for c in spec.get(key) or []]


def _is_ephemeral(pod: Object, container: Mapping[str, Any]) -> bool:
    name = container["name"]
    return any(c["name"] == name for c in pod["spec"].get("ephemeralContainers") or [])


def security(pod: Object, container: Mapping[str, Any], image: ImageConfig) -> SecurityContext:
    """The pod's and the container's security contexts put together.

    Raises:
        ConfigError: they contradict ``runAsNonRoot`` or take the sidecar's user.
    """
    outer = pod["spec"].get("securityContext") or {}
    inner = container.get("securityContext") or {}
    both = {**outer, **inner}
    uid, gid = both.get("runAsUser"), both.get("runAsGroup")
    if uid == SIDECAR_UID or image.user.split(":")[0] == str(SIDECAR_UID):
        raise ConfigError(f"user {SIDECAR_UID} belongs to the sidecar", hint="set runAsUser")
    if both.get("runAsNonRoot") and uid == 0:
        raise ConfigError("container's runAsUser breaks non-root policy", hint="set runAsUser")
    profile = (both.get("seccompProfile") or {}).get("type")
    added = (inner.get("capabilities") or {}).get("add") or []
    return SecurityContext(
        uid=None if uid is None else int(uid),
        gid=None if gid is None else int(gid),
        fs_group=None if outer.get("fsGroup") is None else int(outer["fsGroup"]),
        capabilities=tuple(str(c).removeprefix("CAP_") for c in added),
        read_only_root=bool(inner.get("readOnlyRootFilesystem")),
        no_new_privileges=not inner.get("allowPrivilegeEscalation", False),
        seccomp="unconfined" if profile == "Unconfined" else "default",
    )


def limits(container: Mapping[str, Any]) -> Limits:
    """Cgroup limits from ``resources``.

    Raises:
        ConfigError: a quantity is none.
    """
    resources = container.get("resources") or {}
    hard = resources.get("limits") or {}
    soft = {**hard, **(resources.get("requests") or {})}
    try:
        memory = quantities.as_bytes(hard["memory"]) if "memory" in hard else None
        cpu = quantities.cpu_millis(hard["cpu"]) if "cpu" in hard else None
        wanted = quantities.cpu_millis(soft["cpu"]) if "cpu" in soft else None
    except ValueError as error:
        raise ConfigError(f'container "{container["name"]}": resources: {error}') from error
    shares = None if wanted is None else max(2, min(wanted * 1024 // 1000, 262144))
    return Limits(memory_bytes=memory, cpu_millis=cpu, cpu_shares=shares)


def container_spec(
    pod: Object,
    container: Mapping[str, Any],
    attempt: int,
    *,
    image: ImageConfig,
    env: Mapping[str, str],
    mounts: Iterable[Mount],
    log: LogTarget,
    target: str = "",
) -> ContainerSpec:
    """The runtime's order for one attempt. ``target``: whose processes it sees.

    Raises:
        ConfigError: security or resources are wrong.
    """
    uid, name = uid_of(pod), str(container["name"])
    if (container.get("securityContext") or {}).get("privileged"):
        raise ConfigError(f'container "{name}": privileged containers are not supported')
    return ContainerSpec(
        id=container_id(uid, name, attempt),
        sandbox=uid,
        name=name,
        image=str(container["image"]),
        command=environment.expand_all(container.get("command") or [], env),
        args=environment.expand_all(container.get("args") or [], env),
        env={"HOSTNAME": etcfiles.hostname(pod), **env},
        working_dir=str(container.get("workingDir") or ""),
        mounts=tuple(mounts),
        limits=limits(container),
        security=security(pod, container, image),
        log=log,
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        target=target,
        debugs=_is_ephemeral(pod, container),
        annotations={
            "io.kubernetes.pod.name": name_of(pod),
            "io.kubernetes.pod.namespace": namespace_of(pod),
            "io.kubernetes.pod.uid": uid,
            "io.kubernetes.container.name": name,
        },
    )
