"""Whether an object has become what it is meant to be, told as one line (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from cloudwright.model.objects import Object, generation, name_of


@dataclass(frozen=True, slots=True)
class Readiness:
    """``failed``: it will not get there by itself."""

    done: bool
    text: str
    failed: bool = False


def condition(obj: Object, kind: str) -> Object:
    """The condition of that type, or an empty mapping."""
    for found in (obj.get("status") or {}).get("conditions") or []:
        if str(found.get("type", "")).lower() == kind.lower():
            return dict(found)
    return {}


def readiness(obj: Object) -> Readiness:
    """How far ``obj`` is; kinds that never become anything are done at once."""
    judge = {
        "MicroService": _microservice,
        "Deployment": _deployment,
        "ReplicaSet": _replicaset,
        "StatefulSet": _statefulset,
        "DaemonSet": _daemonset,
        "Job": _job,
        "PersistentVolumeClaim": _claim,
        "Pod": _pod,
    }.get(str(obj.get("kind")))
    return judge(obj) if judge else Readiness(True, f"{obj.get('kind')} {name_of(obj)} is there")


def _microservice(obj: Object) -> Readiness:
    status = obj.get("status") or {}
    wanted = int(obj.get("spec", {}).get("replicas", 1))
    phase, message = str(status.get("phase") or "Pending"), str(status.get("message") or "")
    counts = f"{status.get('readyReplicas', 0)}/{wanted} ready"
    text = f"{name_of(obj)}: {phase}, {counts}" + (f", {message}" if message else "")
    current = int(status.get("observedGeneration", 0)) >= generation(obj)
    if current and phase in ("RolledBack", "Failed"):
        return Readiness(False, text, failed=True)
    ready = condition(obj, "Ready").get("status") == "True"
    return Readiness(current and ready, text)


def _deployment(obj: Object) -> Readiness:
    """As ``kubectl rollout status`` decides."""
    status, name = obj.get("status") or {}, name_of(obj)
    wanted = int(obj.get("spec", {}).get("replicas", 1))
    if int(status.get("observedGeneration", 0)) < generation(obj):
        return Readiness(False, f"{name}: waiting for the controller to see the change")
    if condition(obj, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return Readiness(False, f"{name}: exceeded its progress deadline", failed=True)
    updated, total = int(status.get("updatedReplicas", 0)), int(status.get("replicas", 0))
    available = int(status.get("availableReplicas", 0))
    if updated < wanted:
        return Readiness(False, f"{name}: {updated} of {wanted} new replicas made")
    if total > updated:
        return Readiness(False, f"{name}: {total - updated} old replicas still end")
    if available < updated:
        return Readiness(False, f"{name}: {available} of {updated} new replicas available")
    return Readiness(True, f"{name}: successfully rolled out")


def _replicaset(obj: Object) -> Readiness:
    wanted = int(obj.get("spec", {}).get("replicas", 1))
    ready = int((obj.get("status") or {}).get("readyReplicas", 0))
    return Readiness(ready >= wanted, f"{name_of(obj)}: {ready}/{wanted} ready")


def _statefulset(obj: Object) -> Readiness:
    """As ``kubectl rollout status`` decides; a partition holds back the lower ordinals."""
    status, spec, name = obj.get("status") or {}, obj.get("spec") or {}, name_of(obj)
    wanted = int(spec.get("replicas", 1))
    if int(status.get("observedGeneration", 0)) < generation(obj):
        return Readiness(False, f"{name}: waiting for the controller to see the change")
    ready, updated = int(status.get("readyReplicas", 0)), int(status.get("updatedReplicas", 0))
    if ready < wanted:
        return Readiness(False, f"{name}: {ready} of {wanted} pods ready")
    strategy = spec.get("updateStrategy") or {}
    held = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    due = max(wanted - held, 0) if strategy.get("type") != "OnDelete" else 0
    if updated < due:
        return Readiness(False, f"{name}: {updated} of {due} pods updated")
    return Readiness(True, f"{name}: successfully rolled out")


def _daemonset(obj: Object) -> Readiness:
    status, name = obj.get("status") or {}, name_of(obj)
    if int(status.get("observedGeneration", 0)) < generation(obj):
        return Readiness(False, f"{name}: waiting for the controller to see the change")
    wanted = int(status.get("desiredNumberScheduled", 0))
    updated = int(status.get("updatedNumberScheduled", 0))
    available = int(status.get("numberAvailable", 0))
    if updated < wanted:
        return Readiness(False, f"{name}: {updated} of {wanted} nodes have the new pod")
    if available < wanted:
        return Readiness(False, f"{name}: {available} of {wanted} pods available")
    return Readiness(True, f"{name}: successfully rolled out")


def _job(obj: Object) -> Readiness:
    status, name = obj.get("status") or {}, name_of(obj)
    failed = condition(obj, "Failed")
    if failed.get("status") == "True":
        text = f"{name}: failed: {failed.get('message') or failed.get('reason')}"
        return Readiness(False, text, failed=True)
    wanted = (obj.get("spec") or {}).get("completions") or 1
    text = f"{name}: {status.get('succeeded', 0)} of {wanted} succeeded"
    return Readiness(condition(obj, "Complete").get("status") == "True", text)


def _claim(obj: Object) -> Readiness:
    """A claim that waits for its first consumer is as far as it gets alone."""
    phase = str((obj.get("status") or {}).get("phase") or "Pending")
    return Readiness(phase != "Lost", f"{name_of(obj)}: {phase}", failed=phase == "Lost")


def _pod(obj: Object) -> Readiness:
    phase = str((obj.get("status") or {}).get("phase") or "Pending")
    if phase == "Succeeded":
        return Readiness(True, f"{name_of(obj)}: {phase}")
    if phase == "Failed":
        return Readiness(False, f"{name_of(obj)}: {phase}", failed=True)
    ready = condition(obj, "Ready").get("status") == "True"
    return Readiness(ready, f"{name_of(obj)}: {phase}{', ready' if ready else ''}")
