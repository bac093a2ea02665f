"""Why a pod is as it is: the first cause, in words that say what to do. Pure.

Answers ``cloudwright why pod/NAME`` from the pod's object and its events alone, so that it also
works when no agent runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudwright.model import conditions
from cloudwright.model.objects import Object, name_of, namespace_of


@dataclass(frozen=True, slots=True)
class Answer:
    """One cause: what it is, the evidence behind it, and what to do about it."""

    text: str
    evidence: tuple[str, ...] = ()
    hint: str | None = None


def explain(pod: Object, events: Iterable[Mapping[str, Any]] = ()) -> Answer:
    """The first cause of a pod's state; ``events`` are those about the pod, in any order."""
    told = sorted(events, key=_when, reverse=True)
    status = pod.get("status") or {}
    for look in (_deleting, _unscheduled, _finished, _no_sandbox, _waiting, _ended, _unready):
        answer = look(pod, status, told)
        if answer is not None:
            return answer
    if conditions.is_true(status.get("conditions"), "Ready"):
        restarts = sum(int(e.get("restartCount") or 0) for e in _entries(status))
        again = f", after {restarts} restart{'s' * (restarts != 1)}" if restarts else ""
        return Answer(f"it is ready and gets requests{again}", _last_exits(status))
    return Answer("it was bound to its node, which has not reported on it yet", _lines(told, 1))


Told = Sequence[Mapping[str, Any]]


def _deleting(pod: Object, status: Mapping[str, Any], told: Told) -> Answer | None:
    since = pod["metadata"].get("deletionTimestamp")
    if not since:
        return None
    running = [e["name"] for e in _entries(status) if "running" in (e.get("state") or {})]
    waits = _find(told, "FailedPreStopHook", "FailedDrain", "FailedKillPod", "Killing")
    finalizers = pod["metadata"].get("finalizers") or []
    if running:
        text = f"it is being deleted (deadline {since}); still running: {', '.join(running)}"
    elif finalizers:
        text = f"it has ended; its finalizers are waited for: {', '.join(finalizers)}"
    else:
        text = "it is being deleted; its containers have ended and its node cleans up"
    return Answer(text, _lines(waits, 3))


def _unscheduled(pod: Object, status: Mapping[str, Any], told: Told) -> Answer | None:
    if pod["spec"].get("nodeName"):
        return None
    condition = conditions.find(status.get("conditions"), "PodScheduled") or {}
    failed = _find(told, "FailedScheduling")
    reason = condition.get("message") or (failed[0].get("message") if failed else "")
    text = f"it is not scheduled: {reason}" if reason else "no scheduler has looked at it yet"
    return Answer(text, _lines(failed, 1), "cloudwright get nodes; cloudwright top nodes")


def _finished(pod: Object, status: Mapping[str, Any], told: Told) -> Answer | None:
    phase = status.get("phase")
    if phase == "Succeeded":
        return Answer("it has run to its end: every container exited with code 0")
    if phase != "Failed":
        return None
    if status.get("message"):
        return Answer(f"it failed: {status['message']}")
    for entry in _entries(status):
        ended = (entry.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            policy = pod["spec"].get("restartPolicy") or "Always"
            text = f"it failed: {_exit(entry['name'], ended)}, and restartPolicy is {policy}"
            return Answer(text, _words(ended), _logs(pod, entry["name"]))
    return Answer("it failed", _lines(told, 3))


def _no_sandbox(pod: Object, status: Mapping[str, Any], told: Told) -> Answer | None:
    have = status.get("conditions")
    if not have or conditions.is_true(have, "PodReadyToStartContainers"):
        return None
    failed = _find(told, "FailedCreatePodSandBox")
    if not failed:
        return None
    text = f"its network, sandbox or sidecar cannot be made: {failed[0].get('message')}"
    return Answer(text, _lines(failed, 1), "cloudwright doctor")


def _waiting(pod: Object, status: Mapping[str, Any], told: Told) -> Answer | None:
    for entry in _entries(status):
        waiting = (entry.get("state") or {}).get("waiting")
        if not waiting:
            continue
        reason, message = waiting.get("reason") or "", waiting.get("message") or ""
        name = entry["name"]
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            hint = f"cloudwright build DIR -t {entry.get('image')}"
            return Answer(f'container "{name}" waits for its image: {message}', (), hint)
        if reason == "CrashLoopBackOff":
            ended = (entry.get("lastState") or {}).get("terminated") or {}
            text = (
                f"it is restarting: {_exit(name, ended)} "
                f"({entry.get('restartCount', 0)} restarts); {message.split(' restarting')[0]}"
            )
            evidence = (*_words(ended), *_lines(_find(told, "Killing", "Unhealthy"), 2))
            return Answer(text, evidence, _logs(pod, name, previous=True))
        if message and reason not in ("ContainerCreating", "PodInitializing"):
            return Answer(f'container "{name}" cannot start ({reason}): {message}')
        mounts = _find(told, "FailedMount")
        if mounts:
            text = f'container "{name}" waits for a volume: {mounts[0].get("message")}'
            return Answer(text, _lines(mounts, 1))
    return None


def _ended(pod: Object, status: Mapping[str, Any], told: Told) -> Answer | None:
    """A container that has just ended and will start again, or an init container that runs."""
    for entry in _entries(status):
        ended = (entry.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            name = entry["name"]
            return Answer(
                f"it is restarting: {_exit(name, ended)}",
                _words(ended),
                _logs(pod, name),
            )
    for entry in status.get("initContainerStatuses") or []:
        if "running" in (entry.get("state") or {}):
            text = f'init container "{entry["name"]}" still runs'
            return Answer(text, (), _logs(pod, entry["name"]))
    return None


def _unready(pod: Object, status: Mapping[str, Any], told: Told) -> Answer | None:
    ready = conditions.find(status.get("conditions"), "Ready")
    if ready is None or ready.get("status") == "True":
        return None
    if ready.get("reason") in ("SidecarNotReady", "ReadinessGatesNotReady"):
        return Answer(f"it is not ready: {ready.get('message')}")
    unready = [
        e
        for e in status.get("containerStatuses") or []
        if not e.get("ready") and "running" in (e.get("state") or {})
    ]
    if not unready:
        return None
    entry = unready[0]
    kind = "readiness" if entry.get("started") else "startup"
    for event in _find(told, "Unhealthy"):
        if str(event.get("message", "")).lower().startswith(f"{kind} probe"):
            text = f'it is not ready: container "{entry["name"]}": {event["message"]}'
            return Answer(text, _lines([event], 1), _logs(pod, entry["name"]))
    if kind == "startup":
        text = f'container "{entry["name"]}" runs, but its start is not complete'
    else:
        text = f'it is not ready: container "{entry["name"]}" has not passed its readiness probe'
    return Answer(text, (), _logs(pod, entry["name"]))


def _exit(name: str, ended: Mapping[str, Any]) -> str:
    code = int(ended.get("exitCode") or 0)
    if ended.get("reason") == "OOMKilled":
        return f'container "{name}" used more memory than its limit and was killed (OOM)'
    if code > 128:
        return f'container "{name}" was ended by signal {code - 128} (exit code {code})'
    return f'container "{name}" exited with code {code}'


def _words(ended: Mapping[str, Any]) -> tuple[str, ...]:
    message = str(ended.get("message") or "")
    return tuple(message.splitlines()[-5:])


def _last_exits(status: Mapping[str, Any]) -> tuple[str, ...]:
    result = []
    for entry in status.get("containerStatuses") or []:
        ended = (entry.get("lastState") or {}).get("terminated")
        if ended:
            result.append(f"before: {_exit(entry['name'], ended)} at {ended.get('finishedAt')}")
    return tuple(result)


def _logs(pod: Object, container: str, *, previous: bool = False) -> str:
    flag = " --previous" if previous else ""
    return f"cloudwright logs {name_of(pod)} -n {namespace_of(pod)} -c {container}{flag}"


def _entries(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]


def _find(told: Told, *reasons: str) -> list[Mapping[str, Any]]:
    return [event for event in told if event.get("reason") in reasons]


def _lines(told: Told, count: int) -> tuple[str, ...]:
    return tuple(f"{e.get('reason')}: {e.get('message')}" for e in told[:count])


def _when(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
