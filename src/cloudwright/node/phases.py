"""A pod's status as the API shows it: phase, conditions, containerStatuses (upstream's rules).

Pure: the same view and time give the same status, so that an unchanged pod costs no write.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from cloudwright._base.clock import rfc3339
from cloudwright.model import conditions
from cloudwright.model.sandbox import ContainerState
from cloudwright.node import resizing, restarts
from cloudwright.node.observe import Attempt, ContainerView, PodView
from cloudwright.node.resizing import Resources
from cloudwright.node.restarts import Backoff

TERMINAL = ("Succeeded", "Failed")
RESIZE = ("PodResizePending", "PodResizeInProgress")
OWN = (
    *("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"),
    *RESIZE,
)


def phase(view: PodView) -> str:
    """``Pending``, ``Running``, ``Succeeded`` or ``Failed``; never goes back."""
    recorded = str((view.pod.get("status") or {}).get("phase") or "Pending")
    if recorded in TERMINAL:
        return recorded
    if view.problem is not None and not any(c.attempts for c in view.containers):
        return "Failed"
    computed = _phase(view)
    if recorded == "Running" and computed == "Pending":
        return "Running"
    return computed


def _phase(view: PodView) -> str:
    policy = str(view.pod["spec"].get("restartPolicy") or "Always")
    if view.ending and not any(c.running for c in view.containers):
        return _phase_when_ended(view)
    if not any(c.attempts for c in view.app):
        for container in view.init:
            ended = container.ended
            if ended is None:
                return "Pending"
            if ended.exit_code != 0:
                return "Failed" if policy == "Never" else "Pending"
    lasts = [container.last for container in view.app]
    if any(last is None or last.state is ContainerState.CREATED for last in lasts):
        return "Pending"
    ended_all = [last for last in lasts if last is not None]
    if any(last.state is ContainerState.RUNNING for last in ended_all):
        return "Running"
    if any(restarts.wanted(policy, last.exit_code) for last in ended_all):
        return "Running"
    return "Succeeded" if all(last.exit_code == 0 for last in ended_all) else "Failed"


def _phase_when_ended(view: PodView) -> str:
    lasts = [container.last for container in view.app]
    if not lasts or any(last is None for last in lasts):
        return "Pending"
    ok = all(last is not None and last.exit_code == 0 for last in lasts)
    return "Succeeded" if ok else "Failed"


def status(view: PodView, now: datetime, backoff: Backoff) -> dict[str, Any]:
    """The whole ``status`` of the pod; conditions of other owners are kept."""
    old = view.pod.get("status") or {}
    current = phase(view)
    result: dict[str, Any] = {
        "phase": current,
        "conditions": _conditions(view, current, now),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": old.get("startTime") or rfc3339(now),
        "qosClass": old.get("qosClass") or qos_class(view.pod),
        "containerStatuses": [_container(view, c, current, backoff) for c in view.app],
    }
    if view.init:
        statuses = [_container(view, c, current, backoff) for c in view.init]
        result["initContainerStatuses"] = statuses
    if view.ephemeral:
        statuses = [_container(view, c, current, backoff) for c in view.ephemeral]
        result["ephemeralContainerStatuses"] = statuses
    ip = view.ip or old.get("podIP")
    if ip:
        result["podIP"] = ip
        result["podIPs"] = [{"ip": ip}]
    if current == "Failed" and view.problem is not None:
        result["reason"] = "Unsupported"
        result["message"] = view.problem
    generation = view.pod["metadata"].get("generation")
    if generation is not None:
        result["observedGeneration"] = generation
    return result


def ready(view: PodView) -> bool:
    """Whether the pod should get requests (all but readiness gates, which others decide)."""
    return (
        not view.ending
        and view.sidecar_ready
        and bool(view.app)
        and all(c.running is not None and c.facts.ready and c.facts.stop is None for c in view.app)
    )


def initialized(view: PodView) -> bool:
    """Whether every init container has succeeded."""
    if any(c.attempts for c in view.app):
        return True
    return all(c.ended is not None and c.ended.exit_code == 0 for c in view.init)


Entry = tuple[Literal["True", "False"], str, str]
_TRUE: Entry = ("True", "", "")


def _conditions(view: PodView, current: str, now: datetime) -> list[dict[str, Any]]:
    result = list((view.pod.get("status") or {}).get("conditions") or [])
    containers = _containers_ready(view, current)
    wanted: dict[str, Entry] = {
        "PodReadyToStartContainers": (
            _TRUE if view.sandbox and not view.torn_down else ("False", "", "")
        ),
        "Initialized": _initialized(view, current),
        "Ready": _ready(view, current, containers),
        "ContainersReady": containers,
        "PodScheduled": _TRUE,
    }
    for kind, (value, reason, message) in wanted.items():
        result = conditions.set_condition(result, kind, value, reason, message, now)
    result = _resize_conditions(view, result, now)
    return [_trimmed(entry) if entry.get("type") in OWN else entry for entry in result]


def _resize_conditions(
    view: PodView, entries: list[dict[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """``PodResizePending`` and ``PodResizeInProgress``, each only while it is so."""
    wanted: dict[str, tuple[str, str]] = {}
    if view.pending is not None:
        wanted["PodResizePending"] = (view.pending.reason, view.pending.message)
    elif any(
        c.running and resizing.differences(c.spec, c.facts.resources) for c in view.init + view.app
    ):
        failure = view.resize_failure
        wanted["PodResizeInProgress"] = ("Error", failure.message) if failure else ("", "")
    for kind in RESIZE:
        if kind in wanted:
            entries = conditions.set_condition(entries, kind, "True", *wanted[kind], now)
        else:
            entries = conditions.remove_condition(entries, kind)
    return entries


def _trimmed(entry: Mapping[str, Any]) -> dict[str, Any]:
    empty = {key for key in ("reason", "message") if not entry.get(key)}
    return {key: value for key, value in entry.items() if key not in empty}


def _initialized(view: PodView, current: str) -> Entry:
    if current == "Succeeded":
        return ("True", "PodCompleted", "")
    if initialized(view):
        return _TRUE
    missing = [c.name for c in view.init if c.ended is None or c.ended.exit_code != 0]
    text = f"containers with incomplete status: [{' '.join(missing)}]"
    return ("False", "ContainersNotInitialized", text)


def _containers_ready(view: PodView, current: str) -> Entry:
    if current == "Succeeded":
        return ("False", "PodCompleted", "")
    if current == "Failed":
        return ("False", "PodFailed", "")
    unready = [c.name for c in view.app if not (c.running and c.facts.ready)]
    if unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        return ("False", "ContainersNotReady", text)
    return _TRUE


def _ready(view: PodView, current: str, containers: Entry) -> Entry:
    if current in TERMINAL or containers[0] == "False":
        return containers
    if view.ending:
        return ("False", "PodTerminating", "the pod is being deleted")
    if not view.sidecar_ready:
        return ("False", "SidecarNotReady", "the pod's sidecar does not answer")
    have = {str(c.get("type")): c for c in (view.pod.get("status") or {}).get("conditions") or []}
    gates = [str(g["conditionType"]) for g in view.pod["spec"].get("readinessGates") or []]
    for gate in gates:
        if have.get(gate, {}).get("status") != "True":
            return ("False", "ReadinessGatesNotReady", f'condition "{gate}" is not "True"')
    if not ready(view):
        return ("False", "ContainersNotReady", "a container is being restarted")
    return _TRUE


def _container(
    view: PodView, container: ContainerView, current: str, backoff: Backoff
) -> dict[str, Any]:
    last = container.last
    shown = last if last is not None and last.state is not ContainerState.CREATED else None
    previous = _previous(container, shown)
    state, last_state = _states(view, container, shown, previous, current, backoff)
    running = "running" in state
    count = shown.number if shown is not None else 0
    result: dict[str, Any] = {
        "name": container.name,
        "image": container.spec.get("image", ""),
        "imageID": container.facts.image_id or _old_image(view, container.name),
        "restartCount": count,
        "ready": _is_ready(view, container, running),
        "state": state,
        "lastState": last_state,
    }
    if not container.ephemeral:
        result["started"] = running and container.facts.started
        if running and container.facts.resources is not None:
            result |= _resources(view, container, container.facts.resources)
    if shown is not None:
        result["containerID"] = f"crun://{shown.id}"
    return result


def _resources(view: PodView, container: ContainerView, has: Resources) -> dict[str, Any]:
    """What it has, and what this node keeps free for it."""
    kept = has if view.pending is not None else resizing.stated(container.spec)
    found: dict[str, Any] = {"resources": has}
    if kept.get("requests"):
        found["allocatedResources"] = kept["requests"]
    return found


def _is_ready(view: PodView, container: ContainerView, running: bool) -> bool:
    if container.init:
        return container.ended is not None and container.ended.exit_code == 0
    return running and container.facts.ready and not view.ending and not container.ephemeral


def _previous(container: ContainerView, shown: Attempt | None) -> Attempt | None:
    if shown is None:
        return None
    older = [a for a in container.attempts if a.number < shown.number]
    return older[-1] if older and older[-1].state is ContainerState.EXITED else None


def _states(
    view: PodView,
    container: ContainerView,
    shown: Attempt | None,
    previous: Attempt | None,
    current: str,
    backoff: Backoff,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """``(state, lastState)``."""
    before = {"terminated": _terminated(previous)} if previous is not None else {}
    if shown is not None and shown.state is ContainerState.RUNNING:
        started = {"startedAt": rfc3339(shown.started_at)} if shown.started_at else {}
        return {"running": started}, before
    if shown is not None and not _restarts(view, container, shown, current):
        return {"terminated": _terminated(shown)}, before
    after = {"terminated": _terminated(shown)} if shown is not None else {}
    failure = container.facts.failure
    if failure is not None:
        waiting = {"reason": failure.reason, "message": failure.message}
        return {"waiting": waiting}, after
    if shown is not None:
        return _between(view, container, shown, before, backoff)
    return {"waiting": _waiting(view, container)}, after


def _between(
    view: PodView,
    container: ContainerView,
    shown: Attempt,
    before: dict[str, Any],
    backoff: Backoff,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """An ended container that will start again: back-off, or just now."""
    known = container.facts.streak
    streak = restarts.effective(backoff, shown.number if known is None else known, shown.ran_for)
    pause = restarts.delay(backoff, streak)
    if pause <= 0:
        return {"terminated": _terminated(shown)}, before
    text = (
        f"back-off {pause:g}s restarting failed container={container.name} "
        f"pod={view.pod['metadata']['name']}_{view.pod['metadata'].get('namespace', '')}"
        f"({view.pod['metadata']['uid']})"
    )
    waiting = {"reason": "CrashLoopBackOff", "message": text}
    return {"waiting": waiting}, {"terminated": _terminated(shown)}


def _restarts(view: PodView, container: ContainerView, shown: Attempt, current: str) -> bool:
    if view.ending or current in TERMINAL or container.ephemeral:
        return False
    policy = str(view.pod["spec"].get("restartPolicy") or "Always")
    rule = restarts.init_wanted if container.init else restarts.wanted
    return rule(policy, shown.exit_code)


def _waiting(view: PodView, container: ContainerView) -> dict[str, Any]:
    failure = view.sandbox_failure or view.volumes_failure
    if not container.init and not container.ephemeral and not initialized(view):
        return {"reason": "PodInitializing"}
    if failure is not None:
        return {"reason": "ContainerCreating", "message": failure.message}
    return {"reason": "ContainerCreating"}


def _terminated(attempt: Attempt) -> dict[str, Any]:
    result: dict[str, Any] = {
        "exitCode": attempt.exit_code,
        "reason": attempt.reason,
        "startedAt": rfc3339(attempt.started_at) if attempt.started_at else None,
        "finishedAt": rfc3339(attempt.finished_at) if attempt.finished_at else None,
        "containerID": f"crun://{attempt.id}",
    }
    if attempt.message:
        result["message"] = attempt.message
    return {key: value for key, value in result.items() if value is not None}


def _old_image(view: PodView, name: str) -> str:
    old = view.pod.get("status") or {}
    for entry in (
        *(old.get("initContainerStatuses") or []),
        *(old.get("containerStatuses") or []),
        *(old.get("ephemeralContainerStatuses") or []),
    ):
        if entry.get("name") == name:
            return str(entry.get("imageID") or "")
    return ""


def qos_class(pod: Mapping[str, Any]) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort`` (upstream's rule on cpu and memory)."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    guaranteed, any_set = True, False
    for container in containers:
        resources = container.get("resources") or {}
        limits = resources.get("limits") or {}
        requests = {**limits, **(resources.get("requests") or {})}
        for name in ("cpu", "memory"):
            any_set = any_set or name in requests
            same = name in limits and str(requests.get(name)) == str(limits[name])
            guaranteed = guaranteed and same
    if guaranteed and any_set:
        return "Guaranteed"
    return "Burstable" if any_set else "BestEffort"
