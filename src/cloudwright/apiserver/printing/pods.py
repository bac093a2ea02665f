"""The STATUS, READY and RESTARTS of a pod, by kube-apiserver's rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model import durations
from cloudwright.model.objects import Object

NONE = "<none>"


def cells(pod: Object, now: datetime) -> list[Any]:
    """``Ready Status Restarts Age`` and the wide columns."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    reason, ready, restarts, last = _state(spec, status)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    shown = str(restarts)
    if restarts and last:
        shown = f"{restarts} ({durations.age((now - last).total_seconds())} ago)"
    created = pod["metadata"].get("creationTimestamp")
    age = durations.age((now - parse_rfc3339(created)).total_seconds()) if created else "<unknown>"
    ips = [str(one.get("ip")) for one in status.get("podIPs") or []]
    return [
        f"{ready}/{len(spec.get('containers') or []) + _restartable(spec)}",
        reason,
        shown,
        age,
        (ips[0] if ips else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def _restartable(spec: Mapping[str, Any]) -> int:
    return sum(c.get("restartPolicy") == "Always" for c in spec.get("initContainers") or [])


def _gates(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    gates = spec.get("readinessGates") or []
    if not gates:
        return NONE
    true = {c.get("type") for c in status.get("conditions") or [] if c.get("status") == "True"}
    return f"{sum(g.get('conditionType') in true for g in gates)}/{len(gates)}"


def _state(
    spec: Mapping[str, Any], status: Mapping[str, Any]
) -> tuple[str, int, int, datetime | None]:
    reason = status.get("reason") or status.get("phase") or "Unknown"
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == (
            "SchedulingGated"
        ):
            reason = "SchedulingGated"
    waiting, ready, restarts, last = _initializing(spec, status)
    if waiting is not None and not _initialized(status):
        return waiting, ready, restarts, last
    statuses = status.get("containerStatuses") or []
    restarts = sum(int(s.get("restartCount", 0)) for s in statuses) + (
        restarts if _restartable(spec) else 0
    )
    last = max((m for s in statuses if (m := _last_finish(s))), default=last)
    running = False
    for one in reversed(statuses):
        state = one.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif "terminated" in state:
            reason = _ended(state["terminated"])
        elif one.get("ready") and "running" in state:
            running = True
            ready += 1
    if reason == "Completed" and running:
        reason = "Running" if _condition(status, "Ready") else "NotReady"
    return str(reason), ready, restarts, last


def _initializing(
    spec: Mapping[str, Any], status: Mapping[str, Any]
) -> tuple[str | None, int, int, datetime | None]:
    always = {
        c.get("name")
        for c in spec.get("initContainers") or []
        if c.get("restartPolicy") == "Always"
    }
    total, ready, restarts = len(spec.get("initContainers") or []), 0, 0
    last: datetime | None = None
    reason: str | None = None
    for index, one in enumerate(status.get("initContainerStatuses") or []):
        state = one.get("state") or {}
        restarts += int(one.get("restartCount", 0))
        last = max(filter(None, (last, _last_finish(one))), default=None)
        ended = state.get("terminated")
        if ended is not None and ended.get("exitCode") == 0:
            continue
        if one.get("name") in always and one.get("started"):
            ready += bool(one.get("ready"))
            continue
        if reason is not None:
            continue
        if ended is not None:
            reason = f"Init:{_ended(ended)}"
        elif (state.get("waiting") or {}).get("reason") not in (None, "", "PodInitializing"):
            reason = f"Init:{state['waiting']['reason']}"
        else:
            reason = f"Init:{index}/{total}"
    return reason, ready, restarts, last


def _ended(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _last_finish(status: Mapping[str, Any]) -> datetime | None:
    ended = (status.get("lastState") or {}).get("terminated") or {}
    return parse_rfc3339(ended["finishedAt"]) if ended.get("finishedAt") else None


def _initialized(status: Mapping[str, Any]) -> bool:
    return _condition(status, "Initialized")


def _condition(status: Mapping[str, Any], kind: str) -> bool:
    return any(
        c.get("type") == kind and c.get("status") == "True" for c in status.get("conditions") or []
    )
