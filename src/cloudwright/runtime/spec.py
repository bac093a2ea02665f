"""``config.json`` of a container after the OCI runtime specification 1.0.2. Pure.

The supervisor adds what only it knows: the pod's namespaces by path and the cgroup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudwright.model.sandbox import ContainerSpec, ImageConfig, Limits, SecurityContext
from cloudwright.runtime import seccomp
from cloudwright.runtime.errors import ContainerSpecError
from cloudwright.runtime.specmounts import mounts
from cloudwright.runtime.users import Identity

OCI_VERSION = "1.0.2"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CPU_PERIOD = 100_000
OOM_SCORE = 500
"""Containers are ended for want of memory before the platform is."""

ALLOWED_CAPABILITIES = frozenset(
    {
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    }
)
"""What the Pod Security Standard "baseline" lets a container add."""

DEBUGGING = frozenset({"CAP_SYS_PTRACE"})
"""What a container that looks into others may also have; it sees only its pod's processes."""

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True)
class Host:
    """What the machine offers (``probe.host``)."""

    machine: str
    controllers: frozenset[str]
    oom_score_floor: int = 0
    """Without CAP_SYS_RESOURCE a lower value than our own cannot be set."""
    seccomp: bool = True


def build(
    spec: ContainerSpec, image: ImageConfig, identity: Identity, host: Host
) -> dict[str, Any]:
    """The whole document.

    Raises:
        ContainerSpecError: a field makes no sense; the message names it.
    """
    capabilities = _capabilities(spec.security, spec.debugs)
    return {
        "ociVersion": OCI_VERSION,
        "process": _process(spec, image, identity, host, capabilities),
        "root": {"path": "rootfs", "readonly": spec.security.read_only_root},
        "mounts": mounts(spec.mounts),
        "annotations": _annotations(spec.annotations),
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "cgroup")],
            "resources": _resources(spec.limits, host.controllers),
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            **_seccomp(spec.security, host, capabilities),
        },
    }


def _process(
    spec: ContainerSpec,
    image: ImageConfig,
    identity: Identity,
    host: Host,
    capabilities: list[str],
) -> dict[str, Any]:
    user: dict[str, Any] = {"uid": identity.uid, "gid": identity.gid}
    if identity.groups:
        user["additionalGids"] = list(identity.groups)
    return {
        "terminal": spec.tty,
        "user": user,
        "args": command(spec, image),
        "env": environment(spec, image, identity),
        "cwd": _working_dir(spec.working_dir or image.working_dir or "/"),
        # Ambient too: a process that is not root has no other way to get what it was granted.
        "capabilities": {
            kind: capabilities
            for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")
        },
        "noNewPrivileges": spec.security.no_new_privileges,
        "oomScoreAdj": max(OOM_SCORE, host.oom_score_floor),
    }


def command(spec: ContainerSpec, image: ImageConfig) -> list[str]:
    """Kubernetes' rule: a ``command`` replaces the entry point and drops the image's arguments.

    Raises:
        ContainerSpecError: neither says what to run.
    """
    if spec.command:
        words = [*spec.command, *spec.args]
    else:
        words = [*image.entrypoint, *(spec.args or image.command)]
    if not words:
        raise ContainerSpecError(
            f"container {spec.name!r}: neither it nor its image {spec.image} says what to run",
            hint="set command in the container, or an entry point in the image",
        )
    for word in words:
        if "\0" in word:
            raise ContainerSpecError(f"container {spec.name!r}: command has a NUL character")
    return words


def environment(spec: ContainerSpec, image: ImageConfig, identity: Identity) -> list[str]:
    """The image's variables, then the container's; ``PATH`` and ``HOME`` always exist.

    Raises:
        ContainerSpecError: a name is empty or has ``=``, or a part has a NUL character.
    """
    merged = {"PATH": DEFAULT_PATH, "HOME": identity.home, **image.env, **spec.env}
    if spec.tty:
        merged.setdefault("TERM", "xterm")
    for name, value in merged.items():
        if not name or "=" in name or "\0" in name + value:
            raise ContainerSpecError(f"container {spec.name!r}: env {name!r} cannot be set")
    return [f"{name}={value}" for name, value in merged.items()]


def _working_dir(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ContainerSpecError(f"workingDir {path!r} is not an absolute path")
    return path


def _annotations(wanted: Mapping[str, str]) -> dict[str, str]:
    """Crun takes orders from annotations of its own: those are not for users."""
    for name in wanted:
        if name.startswith(("run.oci.", "org.criu.")):
            raise ContainerSpecError(f"annotation {name} is reserved for the container runtime")
    return dict(wanted)


def _capabilities(security: SecurityContext, debugs: bool = False) -> list[str]:
    wanted, may = set(), ALLOWED_CAPABILITIES | (DEBUGGING if debugs else frozenset())
    for name in security.capabilities:
        full = name.upper() if name.upper().startswith("CAP_") else f"CAP_{name.upper()}"
        if full not in may:
            allowed = ", ".join(sorted(one[4:] for one in may))
            raise ContainerSpecError(
                f"capabilities.add: {name} is not allowed", hint=f"allowed are {allowed}"
            )
        wanted.add(full)
    return sorted(wanted)


def _resources(limits: Limits, controllers: frozenset[str]) -> dict[str, Any]:
    """Only for controllers that exist: crun refuses a limit that it cannot set."""
    resources: dict[str, Any] = {}
    if "devices" in controllers or "memory" in controllers:
        resources["devices"] = [{"allow": False, "access": "rwm"}]
    if limits.memory_bytes is not None and "memory" in controllers:
        resources["memory"] = {"limit": limits.memory_bytes}
    cpu: dict[str, int] = {}
    if limits.cpu_millis is not None:
        cpu["period"] = CPU_PERIOD
        cpu["quota"] = max(limits.cpu_millis * CPU_PERIOD // 1000, 1000)
    if limits.cpu_shares is not None:
        cpu["shares"] = min(max(limits.cpu_shares, 2), 262_144)
    if cpu and "cpu" in controllers:
        resources["cpu"] = cpu
    if limits.pids is not None and "pids" in controllers:
        resources["pids"] = {"limit": limits.pids}
    return resources


def _seccomp(security: SecurityContext, host: Host, capabilities: list[str]) -> dict[str, Any]:
    if security.seccomp == "unconfined" or not host.seccomp:
        return {}
    if security.seccomp != "default":
        raise ContainerSpecError(
            f"seccomp profile {security.seccomp!r} is not known",
            hint="use default or unconfined",
        )
    profile = seccomp.profile(host.machine, frozenset(capabilities))
    if profile is None:
        raise ContainerSpecError(f"there is no seccomp profile for {host.machine}")
    return {"seccomp": profile}
