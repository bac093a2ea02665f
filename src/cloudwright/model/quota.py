"""What an object counts for in a ``ResourceQuota`` (upstream's evaluators). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from cloudwright.model.objects import Object
from cloudwright.model.pods import quality_of_service, with_overhead
from cloudwright.model.quantities import format_bytes, format_cpu, parse

Usage = dict[str, Decimal]
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_LEGACY = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    }
)
_ONE = Decimal(1)


def count_name(group: str, plural: str) -> str:
    """``count/deployments.apps``."""
    return f"count/{plural}.{group}" if group else f"count/{plural}"


def usage(group: str, plural: str, obj: Object) -> Usage:
    """What ``obj`` uses, by quota resource name."""
    found: Usage = {count_name(group, plural): _ONE}
    if group:
        return found
    if plural == "pods":
        if running(obj):
            found["pods"] = _ONE
            found.update(_compute(obj))
    elif plural in _LEGACY:
        found[plural] = _ONE
    if plural == "services":
        found.update(_service(obj))
    elif plural == "persistentvolumeclaims":
        found.update(_claim(obj))
    return found


def running(pod: Object) -> bool:
    """Whether a pod still counts: neither ended nor gone by force."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def concerns(quota: Object, group: str, plural: str, obj: Object) -> bool:
    """Whether the quota's scopes select ``obj``."""
    spec = quota.get("spec") or {}
    wanted = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    wanted += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not wanted:
        return True
    if group or plural != "pods":
        return False
    return all(_in_scope(one, obj) for one in wanted)


def missing(quota: Object, pod: Object) -> dict[str, list[str]]:
    """Limited compute resources that a pod does not state: resource → containers without it."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    spec = pod.get("spec") or {}
    found: dict[str, list[str]] = {}
    for name in sorted(hard):
        half, resource = _half(name)
        if half is None:
            continue
        for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
            stated = (container.get("resources") or {}).get(half) or {}
            if resource not in stated:
                found.setdefault(name, []).append(str(container.get("name")))
    return found


def exceeded(hard: Mapping[str, Any], used: Mapping[str, Any], delta: Usage) -> list[str]:
    """Names of limited resources that would go over their limit by ``delta``, sorted."""
    return sorted(
        name
        for name, more in delta.items()
        if more > 0 and name in hard and parse(used.get(name, 0)) + more > parse(hard[name])
    )


def total(parts: Iterable[Usage], names: Iterable[str]) -> dict[str, str]:
    """The sum of several usages, of ``names`` only, as quantities."""
    wanted = set(names)
    found = dict.fromkeys(wanted, Decimal(0))
    for part in parts:
        for name in wanted.intersection(part):
            found[name] += part[name]
    return {name: text(name, value) for name, value in sorted(found.items())}


def counted(hard: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The resources (group, plural) that a quota's limits are about."""
    found: dict[tuple[str, str], None] = {}
    for name in hard:
        if name.startswith("count/"):
            plural, _, group = name.removeprefix("count/").partition(".")
            found[(group, plural)] = None
        elif name.startswith("services"):
            found[("", "services")] = None
        elif name.endswith(("requests.storage", "persistentvolumeclaims")):
            found[("", "persistentvolumeclaims")] = None
        elif name in ("configmaps", "secrets", "replicationcontrollers", "resourcequotas"):
            found[("", name)] = None
        else:
            found[("", "pods")] = None
    return list(found)


def text(name: str, value: Decimal) -> str:
    """A usage as a quantity."""
    if name.endswith("cpu"):
        return format_cpu(int(value * 1000))
    return format_bytes(int(value))


def pretty(names: Iterable[str], values: Mapping[str, str]) -> str:
    """``cpu=1,pods=2`` as messages show amounts."""
    return ",".join(f"{name}={values.get(name, '0')}" for name in names)


def _compute(pod: Object) -> Usage:
    found: Usage = {}
    for half in ("requests", "limits"):
        for resource, value in with_overhead(pod, half).items():
            if resource in _COMPUTE:
                found[f"{half}.{resource}"] = value
                if half == "requests":
                    found[resource] = value
            elif half == "requests":
                found[f"requests.{resource}"] = value
                if resource.startswith("hugepages-"):
                    found[resource] = value
    return found


def _service(service: Object) -> Usage:
    spec = service.get("spec") or {}
    ports = spec.get("ports") or ()
    found: Usage = {}
    if spec.get("type") == "NodePort":
        found["services.nodeports"] = Decimal(len(ports))
    elif spec.get("type") == "LoadBalancer":
        found["services.loadbalancers"] = _ONE
        if spec.get("allocateLoadBalancerNodePorts", True):
            found["services.nodeports"] = Decimal(len(ports))
    return found


def _claim(claim: Object) -> Usage:
    spec = claim.get("spec") or {}
    requests = (spec.get("resources") or {}).get("requests") or {}
    found: Usage = {}
    if "storage" in requests:
        found["requests.storage"] = parse(requests["storage"])
    name = spec.get("storageClassName")
    if name:
        suffix = f"{name}.storageclass.storage.k8s.io"
        found[f"{suffix}/persistentvolumeclaims"] = _ONE
        if "storage" in requests:
            found[f"{suffix}/requests.storage"] = parse(requests["storage"])
    return found


def _half(name: str) -> tuple[str | None, str]:
    if name in _COMPUTE:
        return "requests", name
    half, _, resource = name.partition(".")
    if half in ("requests", "limits") and resource in _COMPUTE:
        return half, resource
    return None, ""


def _in_scope(wanted: Mapping[str, Any], pod: Object) -> bool:
    name, spec = wanted.get("scopeName"), pod.get("spec") or {}
    if name == "Terminating":
        return spec.get("activeDeadlineSeconds") is not None
    if name == "NotTerminating":
        return spec.get("activeDeadlineSeconds") is None
    if name in ("BestEffort", "NotBestEffort"):
        return bool((_quality(pod) == "BestEffort") == (name == "BestEffort"))
    if name == "CrossNamespacePodAffinity":
        return _crosses(spec.get("affinity") or {})
    if name == "PriorityClass":
        return _expression(wanted, str(spec.get("priorityClassName") or ""))
    return False


def _quality(pod: Object) -> str:
    return str((pod.get("status") or {}).get("qosClass") or quality_of_service(pod))


def _expression(wanted: Mapping[str, Any], value: str) -> bool:
    operator, values = wanted.get("operator"), wanted.get("values") or ()
    if operator == "Exists":
        return bool(value)
    if operator == "DoesNotExist":
        return not value
    return bool((value in values) == (operator == "In"))


def _crosses(affinity: Mapping[str, Any]) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind) or {}
        terms = list(found.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [
            one.get("podAffinityTerm") or {}
            for one in found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(one.get("namespaces") or one.get("namespaceSelector") is not None for one in terms):
            return True
    return False
