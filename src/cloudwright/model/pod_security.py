"""The Pod Security Standards: what ``baseline`` and ``restricted`` forbid. Pure.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ (the newest version of each)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

LEVELS = ("privileged", "baseline", "restricted")
Spec = Mapping[str, Any]
Finding = tuple[str, str]
"""What is forbidden, and where: ``("host namespaces", "hostNetwork=true")``."""

_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)
_SELINUX = frozenset(
    ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
)
_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
        "image",
    }
)


def violations(level: str, metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    """What ``level`` forbids in a pod, in upstream's order; empty for ``privileged``."""
    if level == "privileged":
        return []
    found: dict[object, list[Finding]] = {}
    for needed, check in _CHECKS:
        if needed == "baseline" or level == "restricted":
            found[check] = check(metadata, spec)
    for stricter, weaker in _REPLACES.items():
        if found.get(stricter):
            found[weaker] = []
    return [finding for findings in found.values() for finding in findings]


def message(level: str, version: str, findings: Iterable[Finding]) -> str:
    """``violates PodSecurity "restricted:latest": …`` as clients see it."""
    shown = ", ".join(f"{what} ({where})" if where else what for what, where in findings)
    return f'violates PodSecurity "{level}:{version}": {shown}'


def _containers(spec: Spec) -> Iterator[Mapping[str, Any]]:
    for name in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(name) or ()


def _context(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return container.get("securityContext") or {}


def _named(spec: Spec, bad: Callable[[Mapping[str, Any]], bool]) -> list[str]:
    return [f'"{one.get("name")}"' for one in _containers(spec) if bad(one)]


def _plural(names: list[str]) -> str:
    return f"container {names[0]}" if len(names) == 1 else f"containers {', '.join(names)}"


def _one(names: list[str], what: str, tail: str) -> list[Finding]:
    return [(what, f"{_plural(names)} must {tail}")] if names else []


def _app_armor(metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    fine = ("RuntimeDefault", "Localhost", None)
    found = []
    if ((spec.get("securityContext") or {}).get("appArmorProfile") or {}).get("type") not in fine:
        found.append("pod")
    for one in _containers(spec):
        if (_context(one).get("appArmorProfile") or {}).get("type") not in fine:
            found.append(f'container "{one.get("name")}"')
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    for key, value in (metadata.get("annotations") or {}).items():
        fine_value = value in ("", "runtime/default") or value.startswith("localhost/")
        if key.startswith(prefix) and not fine_value:
            found.append(f'annotation "{key}"')
    return [("forbidden AppArmor profile", " and ".join(found))] if found else []


def _added(container: Mapping[str, Any]) -> list[str]:
    return list((_context(container).get("capabilities") or {}).get("add") or ())


def _capabilities(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    names = _named(spec, lambda one: bool(set(_added(one)) - _CAPABILITIES))
    extra = sorted({cap for one in _containers(spec) for cap in _added(one)} - _CAPABILITIES)
    shown = ", ".join(f'"{cap}"' for cap in extra)
    return _one(
        names,
        "non-default capabilities",
        f"not include {shown} in securityContext.capabilities.add",
    )


def _host_namespaces(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return [("host namespaces", ", ".join(found))] if found else []


def _host_paths(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    names = [f'"{one.get("name")}"' for one in spec.get("volumes") or () if "hostPath" in one]
    if not names:
        return []
    return [("hostPath volumes", f"volume{'s' if len(names) > 1 else ''} {', '.join(names)}")]


def _host_ports(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    ports = [
        str(port["hostPort"])
        for one in _containers(spec)
        for port in one.get("ports") or ()
        if port.get("hostPort")
    ]
    names = _named(spec, lambda one: any(p.get("hostPort") for p in one.get("ports") or ()))
    if not names:
        return []
    uses = "uses hostPort" if len(names) == 1 else "use hostPorts"
    return [("hostPort", f"{_plural(names)} {uses} {', '.join(ports)}")]


def _host_probes(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    def bad(container: Mapping[str, Any]) -> bool:
        probes = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
        probes += list((container.get("lifecycle") or {}).values())
        return any(
            (probe.get(kind) or {}).get("host")
            for probe in probes
            if probe
            for kind in ("httpGet", "tcpSocket")
        )

    names = _named(spec, bad)
    return [("probe or lifecycle host", f"{_plural(names)} uses a host")] if names else []


def _privileged(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    names = _named(spec, lambda one: bool(_context(one).get("privileged")))
    return _one(names, "privileged", "not set securityContext.privileged=true")


def _proc_mount(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    if spec.get("hostUsers") is False:
        return []
    names = _named(spec, lambda one: _context(one).get("procMount") not in (None, "Default"))
    return _one(names, "procMount", 'not set securityContext.procMount to "Unmasked"')


def _seccomp_baseline(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    def bad(context: Mapping[str, Any]) -> bool:
        return (context.get("seccompProfile") or {}).get("type") == "Unconfined"

    found = ["pod"] if bad(spec.get("securityContext") or {}) else []
    names = _named(spec, lambda one: bad(_context(one)))
    found += [_plural(names)] if names else []
    tail = 'must not set securityContext.seccompProfile.type to "Unconfined"'
    return [("seccompProfile", f"{' and '.join(found)} {tail}")] if found else []


def _selinux(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    found = []
    contexts = [spec.get("securityContext") or {}, *(_context(one) for one in _containers(spec))]
    for context in contexts:
        options = context.get("seLinuxOptions") or {}
        if options.get("type", "") not in _SELINUX:
            found.append(f'type "{options["type"]}"')
        found += [f"{name} may not be set" for name in ("user", "role") if options.get(name)]
    return [("seLinuxOptions", "; ".join(found))] if found else []


def _sysctls(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    found = [
        str(one.get("name"))
        for one in (spec.get("securityContext") or {}).get("sysctls") or ()
        if one.get("name") not in _SYSCTLS
    ]
    return [("forbidden sysctls", ", ".join(found))] if found else []


def _host_process(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    def bad(context: Mapping[str, Any]) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    found = ["pod"] if bad(spec.get("securityContext") or {}) else []
    names = _named(spec, lambda one: bad(_context(one)))
    found += [_plural(names)] if names else []
    tail = "must not set securityContext.windowsOptions.hostProcess=true"
    return [("hostProcess", f"{' and '.join(found)} {tail}")] if found else []


def _volume_types(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    names, kinds = [], set()
    for one in spec.get("volumes") or ():
        kind = next((key for key in one if key != "name"), "emptyDir")
        if kind not in _VOLUMES:
            names.append(f'"{one.get("name")}"')
            kinds.add(f'"{kind}"')
    if not names:
        return []
    volumes = f"volume{'s' if len(names) > 1 else ''} {', '.join(names)}"
    uses = "uses restricted volume type" if len(names) == 1 else "use restricted volume types"
    return [("restricted volume types", f"{volumes} {uses} {', '.join(sorted(kinds))}")]


def _escalation(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    names = _named(spec, lambda one: _context(one).get("allowPrivilegeEscalation") is not False)
    what = "allowPrivilegeEscalation != false"
    return _one(names, what, "set securityContext.allowPrivilegeEscalation=false")


def _run_as_non_root(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    of_pod = (spec.get("securityContext") or {}).get("runAsNonRoot")
    bad = _named(spec, lambda one: _context(one).get("runAsNonRoot") is False)
    silent = _named(spec, lambda one: _context(one).get("runAsNonRoot") is None)
    if bad:
        text = "not set securityContext.runAsNonRoot=false"
        return _one(bad, "runAsNonRoot != true", text)
    if of_pod is not True and silent:
        return [
            (
                "runAsNonRoot != true",
                f"pod or {_plural(silent)} must set securityContext.runAsNonRoot=true",
            )
        ]
    return []


def _run_as_user(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    found = ["pod"] if (spec.get("securityContext") or {}).get("runAsUser") == 0 else []
    names = _named(spec, lambda one: _context(one).get("runAsUser") == 0)
    found += [_plural(names)] if names else []
    return [("runAsUser=0", f"{' and '.join(found)} must not set runAsUser=0")] if found else []


def _seccomp_restricted(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    fine = ("RuntimeDefault", "Localhost")
    of_pod = ((spec.get("securityContext") or {}).get("seccompProfile") or {}).get("type")

    def missing(container: Mapping[str, Any]) -> bool:
        return (_context(container).get("seccompProfile") or {}).get("type") is None

    names = _named(spec, missing)
    if of_pod in fine or not names:
        return []
    tail = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return [("seccompProfile", f"pod or {_plural(names)} {tail}")]


def _drop_all(_metadata: Mapping[str, Any], spec: Spec) -> list[Finding]:
    def keeps(container: Mapping[str, Any]) -> bool:
        return "ALL" not in ((_context(container).get("capabilities") or {}).get("drop") or ())

    def adds(container: Mapping[str, Any]) -> bool:
        return bool(set(_added(container)) - {"NET_BIND_SERVICE"})

    keeping, adding = _named(spec, keeps), _named(spec, adds)
    extra = sorted({cap for one in _containers(spec) for cap in _added(one)} - {"NET_BIND_SERVICE"})
    parts = []
    if keeping:
        parts.append(f'{_plural(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        shown = ", ".join(f'"{cap}"' for cap in extra)
        text = f"must not include {shown} in securityContext.capabilities.add"
        parts.append(f"{_plural(adding)} {text}")
    return [("unrestricted capabilities", "; ".join(parts))] if parts else []


_CHECKS: tuple[tuple[str, Callable[[Mapping[str, Any], Spec], list[Finding]]], ...] = (
    ("restricted", _escalation),
    ("baseline", _app_armor),
    ("baseline", _capabilities),
    ("restricted", _drop_all),
    ("baseline", _host_namespaces),
    ("baseline", _host_paths),
    ("baseline", _host_ports),
    ("baseline", _host_probes),
    ("baseline", _privileged),
    ("baseline", _proc_mount),
    ("restricted", _volume_types),
    ("restricted", _run_as_non_root),
    ("restricted", _run_as_user),
    ("baseline", _selinux),
    ("baseline", _seccomp_baseline),
    ("restricted", _seccomp_restricted),
    ("baseline", _sysctls),
    ("baseline", _host_process),
)
"""In the order of upstream's names for them, which is the order of messages."""
_REPLACES = {_drop_all: _capabilities, _seccomp_restricted: _seccomp_baseline}
"""Checks of ``restricted`` that say more than one of ``baseline``."""
