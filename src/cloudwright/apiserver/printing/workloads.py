"""What ``kubectl get`` shows of what runs pods, scales them and protects them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.apiserver.printing.common import (
    NONE,
    UNKNOWN,
    UNSET,
    Cells,
    age,
    containers_of,
    deleting,
    selector_text,
    since,
    spec_of,
    status_of,
    truth,
)
from cloudwright.model import durations
from cloudwright.model.objects import Object, controller_of

_STATES = (
    *(("Complete", "Complete"), ("Failed", "Failed"), ("", "Terminating")),
    *(("Suspended", "Suspended"), ("FailureTarget", "FailureTarget")),
    ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)
_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _deployment(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    return [
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *containers_of(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def _replicas(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    return [
        spec.get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        *containers_of(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def _stateful_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}"
    return [ready, age(obj, now), *containers_of(spec.get("template"))]


def _daemon_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    numbers = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady")
    pod = (spec.get("template") or {}).get("spec") or {}
    return [
        *(status.get(name, 0) for name in numbers),
        *(status.get(name, 0) for name in ("updatedNumberScheduled", "numberAvailable")),
        selector_text(pod.get("nodeSelector")),
        age(obj, now),
        *containers_of(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def _job(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    done, wanted = status.get("succeeded", 0), spec.get("completions")
    parallel = spec.get("parallelism") or 0
    completions = f"{done}/{wanted}"
    if wanted is None:
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    duration, start, end = "", status.get("startTime"), status.get("completionTime")
    if start:
        until = parse_rfc3339(end) if end else now
        duration = durations.age((until - parse_rfc3339(start)).total_seconds())
    return [
        _job_state(obj),
        completions,
        duration,
        age(obj, now),
        *containers_of(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def _job_state(obj: Object) -> str:
    conditions = status_of(obj).get("conditions") or ()
    true = {one.get("type") for one in conditions if one.get("status") == "True"}
    for kind, shown in _STATES:
        if (kind in true) if kind else deleting(obj):
            return shown
    return "Running"


def _cron_job(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    last = status.get("lastScheduleTime")
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    return [
        spec.get("schedule", ""),
        spec.get("timeZone", NONE),
        truth(spec.get("suspend")),
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        *containers_of(job.get("template")),
        selector_text(job.get("selector")),
    ]


def _autoscaler(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    target, least = spec.get("scaleTargetRef") or {}, spec.get("minReplicas")
    return [
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec.get("metrics") or [], status.get("currentMetrics") or []),
        UNSET if least is None else str(least),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


def _autoscaler_any(obj: Object, now: datetime) -> list[Any]:
    if str(obj.get("apiVersion", "")).endswith("/v1"):
        from cloudwright.model.kinds import hpa_versions

        return _autoscaler(hpa_versions.to_v2(obj), now)
    return _autoscaler(obj, now)


def _metrics(specs: list[Any], statuses: list[Any]) -> str:
    if not specs:
        return NONE
    shown = []
    for index, spec in enumerate(specs):
        key = _SOURCES.get(str(spec.get("type")), "")
        if not key:
            shown.append("<unknown type>")
            continue
        source = spec.get(key) or {}
        status = (statuses[index] if index < len(statuses) else {}).get(key) or {}
        name = f"{source.get('name', '')}: " if "esource" in key else ""
        averaged = " (avg)" if key in ("external", "object") else ""
        target, current = source.get("target") or {}, status.get("current") or {}
        shown.append(name + _metric(target, current, bool(name), averaged))
    if len(shown) > 2:
        return f"{', '.join(shown[:2])} + {len(shown) - 2} more..."
    return ", ".join(shown)


def _metric(target: Object, current: Object, resource: bool, averaged: str) -> str:
    if target.get("averageValue") is not None:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']}{averaged}"
    if resource:
        percent, wanted = current.get("averageUtilization"), target.get("averageUtilization")
        shown = UNKNOWN if percent is None else f"{percent}%"
        return f"{shown}/{'<auto>' if wanted is None else f'{wanted}%'}"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', '0')}"


def _budget(obj: Object, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    return [
        "N/A" if least is None else str(least),
        "N/A" if most is None else str(most),
        status_of(obj).get("disruptionsAllowed", 0),
        age(obj, now),
    ]


def _revision(obj: Object, now: datetime) -> list[Any]:
    owner, shown = controller_of(obj), NONE
    if owner is not None:
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        kind = f"{owner.get('kind', '')}.{group}" if group else str(owner.get("kind", ""))
        shown = f"{kind.lower()}/{owner.get('name', '')}"
    return [shown, obj.get("revision", 0), age(obj, now)]


def _priority(obj: Object, now: datetime) -> list[Any]:
    return [
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        age(obj, now),
        obj.get("preemptionPolicy", ""),
    ]


def _runtime(obj: Object, now: datetime) -> list[Any]:
    return [obj.get("handler", ""), age(obj, now)]


CELLS: dict[tuple[str, str], Cells] = {
    ("", "ReplicationController"): _replicas,
    ("apps", "ControllerRevision"): _revision,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replicas,
    ("apps", "StatefulSet"): _stateful_set,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler_any,
    ("batch", "CronJob"): _cron_job,
    ("batch", "Job"): _job,
    ("node.k8s.io", "RuntimeClass"): _runtime,
    ("policy", "PodDisruptionBudget"): _budget,
    ("scheduling.k8s.io", "PriorityClass"): _priority,
}
