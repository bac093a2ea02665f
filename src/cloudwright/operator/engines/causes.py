"""The first cause why pods do not become ready, in one sentence, from what their status says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudwright.model import pods as podstate
from cloudwright.model.objects import Object, name_of, uid_of

_IMAGE = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
_HARMLESS = ("ContainerCreating", "PodInitializing")


def first_cause(
    pods: Sequence[Object], owner: Object | None = None, events: Sequence[Object] = ()
) -> str:
    """Why the newest pods are not ready; empty when nothing is known (yet).

    ``owner`` is their ReplicaSet (it knows why pods could not be made), ``events`` are warnings
    about the pods, in any order.
    """
    failure = podstate.condition(owner, "ReplicaFailure") if owner else None
    if failure is not None and failure.get("status") == "True":
        return f"pods cannot be created: {failure.get('message', '')}"
    waiting = [pod for pod in pods if not podstate.is_ready(pod)]
    for pod in sorted(waiting, key=podstate.created_at):
        cause = pod_cause(pod, events)
        if cause:
            return f"pod {name_of(pod)}: {cause}"
    return ""


def pod_cause(pod: Mapping[str, Any], events: Sequence[Object] = ()) -> str:
    """Why one pod is not ready: placement, image, start, crash, probe, in this order."""
    scheduled = podstate.condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        return f"not scheduled: {scheduled.get('message', '')}"
    if podstate.phase(pod) == "Failed":
        status = pod.get("status", {})
        return f"failed: {status.get('message') or status.get('reason') or 'it ended'}"
    for status in _statuses(pod):
        text = _container(status)
        if text:
            return text
    probe = _probe_event(pod, events)
    if probe:
        return probe
    entry = podstate.condition(pod, "ContainersReady") or podstate.condition(pod, "Ready")
    return str((entry or {}).get("message") or "")


def _statuses(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = pod.get("status", {})
    return [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]


def _container(status: Mapping[str, Any]) -> str:
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    message = str(waiting.get("message") or "")
    if reason in _IMAGE:
        return message or f"image {status.get('image', '')} not found"
    ended = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    crashed = reason == "CrashLoopBackOff" or bool(
        state.get("terminated") and int((ended or {}).get("exitCode") or 0)
    )
    if ended and crashed:
        return _exit(status, ended)
    if reason and reason not in _HARMLESS:
        return f"{reason}: {message}" if message else reason
    return ""


def _exit(status: Mapping[str, Any], ended: Mapping[str, Any]) -> str:
    name = status.get("name", "")
    why = str(ended.get("reason") or "")
    extra = f" ({why})" if why and why not in ("Error", "Completed") else ""
    message = str(ended.get("message") or "").strip()
    tail = f": {message.splitlines()[-1]}" if message else ""
    restarts = int(status.get("restartCount") or 0)
    again = f" after {restarts} restarts" if restarts else ""
    return f"container {name} exited with code {ended.get('exitCode')}{extra}{again}{tail}"


def _probe_event(pod: Mapping[str, Any], events: Sequence[Object]) -> str:
    found = [
        event
        for event in events
        if event.get("reason") in ("Unhealthy", "FailedPostStartHook", "FailedMount")
        and (event.get("involvedObject") or {}).get("uid") == uid_of(pod)
    ]
    latest = max(found, key=lambda e: str(e.get("lastTimestamp") or ""), default=None)
    if latest is None:
        return ""
    text = str(latest.get("message") or "")
    return text[:1].lower() + text[1:]
