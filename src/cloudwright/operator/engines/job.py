"""A Job: pods until enough of them succeeded, counted exactly once.

A pod that ended is first noted by uid in ``status.uncountedTerminatedPods``, then loses its
tracking finalizer, and only then is counted, so that no crash in between counts it twice or never.

Source: kubernetes ``pkg/controller/job`` (``job_controller.go``, ``indexed_job_utils.go``,
``backoff_utils.go``, ``pod_failure_policy.go``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cloudwright._base.clock import parse_rfc3339, rfc3339
from cloudwright.model import conditions
from cloudwright.model import pods as podstate
from cloudwright.model.objects import (
    Object,
    annotations_of,
    deleting,
    finalizers_of,
    name_of,
    uid_of,
)
from cloudwright.operator.engines.ownership import pod_from
from cloudwright.operator.engines.templates import copy

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
_FIRST_BACKOFF, _LONGEST_BACKOFF = 10.0, 600.0


@dataclass(slots=True)
class Verdict:
    """How a Job ends: a condition that is set first, and the final one once no pod runs."""

    interim: str
    final: str
    reason: str
    message: str


@dataclass(slots=True)
class Step:
    """What to do: pods to make (``None`` or an index), to delete, to release of the finalizer."""

    create: list[int | None] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    release: list[Object] = field(default_factory=list)
    status: Object = field(default_factory=dict)
    again: float | None = None
    notes: list[tuple[str, str, str]] = field(default_factory=list)


def finished(job: Mapping[str, Any]) -> str:
    """``Complete`` or ``Failed`` when it has ended, else empty."""
    for kind in ("Complete", "Failed"):
        if conditions.is_true((job.get("status") or {}).get("conditions"), kind):
            return kind
    return ""


def expires_in(job: Mapping[str, Any], now: datetime) -> float | None:
    """Seconds until a finished Job is to be deleted (``ttlSecondsAfterFinished``)."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    kind = finished(job)
    if ttl is None or not kind:
        return None
    entry = conditions.find(job["status"].get("conditions"), kind) or {}
    ended = parse_rfc3339(str(entry["lastTransitionTime"]))
    return (ended + timedelta(seconds=int(ttl)) - now).total_seconds()


def indexed(job: Mapping[str, Any]) -> bool:
    """Whether its pods have indexes."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def index_of(pod: Mapping[str, Any]) -> int | None:
    """A pod's completion index."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def new_pod(job: Object, index: int | None, failures: int = 0) -> Object:
    """A pod of the Job."""
    extra: dict[str, Any] = {"generateName": f"{name_of(job)}-", "finalizers": [TRACKING]}
    if index is not None:
        extra["generateName"] = f"{name_of(job)}-{index}-"
        extra["annotations"] = {INDEX: str(index)}
        extra["labels"] = {INDEX: str(index)}
        if job["spec"].get("backoffLimitPerIndex") is not None:
            extra["annotations"][FAILURES] = str(failures)
    pod = pod_from(job["spec"]["template"], job, **extra)
    if index is not None:
        pod["spec"]["hostname"] = f"{name_of(job)}-{index}"
        for container in [
            *(pod["spec"].get("initContainers") or ()),
            *(pod["spec"].get("containers") or ()),
        ]:
            env = container.get("env") or []
            if all(one.get("name") != "JOB_COMPLETION_INDEX" for one in env):
                path = f"metadata.annotations['{INDEX}']"
                entry = {"name": "JOB_COMPLETION_INDEX"}
                container["env"] = [*env, {**entry, "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    return pod


def step(job: Object, pods: Sequence[Object], now: datetime) -> Step:
    """What brings the Job forward, and its status."""
    status = copy(job.get("status") or {})
    found = Step(status=status)
    status.setdefault("startTime", None)
    if not job["spec"].get("suspend") and not status["startTime"]:
        status["startTime"] = rfc3339(now)
    _count(job, pods, status, found)
    active = [pod for pod in pods if podstate.is_active(pod)]
    verdict = _verdict(job, pods, active, status, now)
    if verdict is not None:
        _end(verdict, active, pods, status, found, now)
    else:
        _pursue(job, pods, active, status, found, now)
    status["active"] = len(active) - len(found.delete)
    status["ready"] = sum(podstate.is_ready(pod) for pod in active)
    status["terminating"] = sum(deleting(pod) and not podstate.is_terminal(pod) for pod in pods)
    if status["startTime"] is None:
        del status["startTime"]
    for name in ("active", "succeeded", "failed"):
        if not status.get(name):
            status.pop(name, None)
    return found


# -- counting


def _count(job: Object, pods: Sequence[Object], status: Object, found: Step) -> None:
    """Move ended pods through noted → released → counted."""
    noted = _settle(job, pods, status)
    done = set(_numbers(status.get("completedIndexes") or ""))
    lost = set(_numbers(status.get("failedIndexes") or ""))
    for pod in pods:
        outcome = _outcome(job, pod) if TRACKING in finalizers_of(pod) else None
        if outcome is None:
            continue
        uid, index = uid_of(pod), index_of(pod)
        if outcome and uid not in noted["succeeded"] and uid not in noted["failed"]:
            noted[outcome].append(uid)
        if index is not None and index < int(job["spec"].get("completions") or 0):
            if outcome == "succeeded":
                done.add(index)
            elif outcome == "failed" and _index_lost(job, pod):
                lost.add(index)
        found.release.append(pod)
    if indexed(job):
        status["completedIndexes"] = _ranges(done)
        status["succeeded"] = len(done)
        if not status["completedIndexes"]:
            del status["completedIndexes"]
        if job["spec"].get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = _ranges(lost - done)
    status["uncountedTerminatedPods"] = {key: value for key, value in noted.items() if value}


def _settle(job: Object, pods: Sequence[Object], status: Object) -> dict[str, list[str]]:
    """Count noted pods that lost their finalizer; returns those that still have it."""
    noted = status.get("uncountedTerminatedPods") or {}
    held = {uid_of(pod) for pod in pods if TRACKING in finalizers_of(pod)}
    left: dict[str, list[str]] = {}
    for kind in ("succeeded", "failed"):
        uids = noted.get(kind) or ()
        left[kind] = [uid for uid in uids if uid in held]
        if kind == "failed" or not indexed(job):
            status[kind] = int(status.get(kind) or 0) + len(uids) - len(left[kind])
    return left


def _outcome(job: Object, pod: Object) -> str | None:
    """``succeeded``, ``failed``, empty (is not counted), or ``None`` while it may still run."""
    phase = podstate.phase(pod)
    if phase == "Succeeded":
        return "succeeded"
    if phase == "Failed":
        return "" if _policy(job, pod) == "Ignore" else "failed"
    if deleting(pod) and job["spec"].get("podReplacementPolicy") != "Failed":
        return "failed"
    return None


def _index_lost(job: Object, pod: Object) -> bool:
    limit = job["spec"].get("backoffLimitPerIndex")
    if limit is None:
        return False
    if _policy(job, pod) == "FailIndex":
        return True
    return int(annotations_of(pod).get(FAILURES, "0")) >= int(limit)


def _policy(job: Object, pod: Object) -> str:
    """The action of the first matching ``podFailurePolicy`` rule; ``Count`` by default."""
    for rule in (job["spec"].get("podFailurePolicy") or {}).get("rules") or ():
        codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes and _exited(pod, codes):
            return str(rule.get("action"))
        if patterns and any(
            (podstate.condition(pod, one.get("type")) or {}).get("status")
            == (one.get("status") or "True")
            for one in patterns
        ):
            return str(rule.get("action"))
    return "Count"


def _exited(pod: Object, codes: Mapping[str, Any]) -> bool:
    status = pod.get("status") or {}
    entries = [*(status.get("initContainerStatuses") or ())]
    entries += status.get("containerStatuses") or ()
    for entry in entries:
        if codes.get("containerName") and entry.get("name") != codes["containerName"]:
            continue
        ended = (entry.get("state") or {}).get("terminated")
        if not ended or ended.get("exitCode") == 0:
            continue
        if (ended.get("exitCode") in codes.get("values", ())) == (codes.get("operator") == "In"):
            return True
    return False


# -- deciding


def _verdict(
    job: Object, pods: Sequence[Object], active: Sequence[Object], status: Object, now: datetime
) -> Verdict | None:
    spec = job["spec"]
    for kind, final in (("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")):
        entry = conditions.find(status.get("conditions"), kind)
        if entry is not None and entry.get("status") == "True":
            reason, message = entry.get("reason", ""), entry.get("message", "")
            return Verdict(kind, final, reason, message)
    for pod in pods:
        if podstate.phase(pod) == "Failed" and _policy(job, pod) == "FailJob":
            text = f"Container of pod {name_of(pod)} matches a FailJob rule"
            return Verdict("FailureTarget", "Failed", "PodFailurePolicy", text)
    failed = int(status.get("failed") or 0) + len(_noted(status, "failed"))
    limit = spec.get("backoffLimit")
    if failed + _restarts(job, active) > (6 if limit is None else int(limit)):
        text = "Job has reached the specified backoff limit"
        return Verdict("FailureTarget", "Failed", "BackoffLimitExceeded", text)
    started, deadline = status.get("startTime"), spec.get("activeDeadlineSeconds")
    timed = deadline is not None and started and not spec.get("suspend")
    if timed and parse_rfc3339(str(started)) + timedelta(seconds=int(deadline)) <= now:
        text = "Job was active longer than specified deadline"
        return Verdict("FailureTarget", "Failed", "DeadlineExceeded", text)
    return _criteria(job, active, status)


def _criteria(job: Object, active: Sequence[Object], status: Object) -> Verdict | None:
    spec = job["spec"]
    lost = _numbers(status.get("failedIndexes") or "")
    most = spec.get("maxFailedIndexes")
    if most is not None and len(lost) > int(most):
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict("FailureTarget", "Failed", "MaxFailedIndexesExceeded", text)
    succeeded = int(status.get("succeeded") or 0)
    if not indexed(job):
        succeeded += len(_noted(status, "succeeded"))
    wanted = spec.get("completions")
    text = "Reached expected number of succeeded pods"
    done = Verdict("SuccessCriteriaMet", "Complete", "CompletionsReached", text)
    if wanted is None:
        return done if succeeded > 0 and not active else None
    if indexed(job) and lost and succeeded + len(lost) >= int(wanted):
        text = "Job has failed indexes"
        return Verdict("FailureTarget", "Failed", "FailedIndexes", text)
    return done if succeeded >= int(wanted) else None


def _end(
    verdict: Verdict,
    active: Sequence[Object],
    pods: Sequence[Object],
    status: Object,
    found: Step,
    now: datetime,
) -> None:
    found.delete += [pod for pod in active if not deleting(pod)]
    had = conditions.is_true(status.get("conditions"), verdict.interim)
    status["conditions"] = conditions.set_condition(
        status.get("conditions"), verdict.interim, "True", verdict.reason, verdict.message, now
    )
    running = [pod for pod in pods if not podstate.is_terminal(pod)]
    uncounted = status.get("uncountedTerminatedPods")
    if not had or running or uncounted or found.release:
        return
    status["conditions"] = conditions.set_condition(
        status["conditions"], verdict.final, "True", verdict.reason, verdict.message, now
    )
    if verdict.final == "Complete":
        status["completionTime"] = rfc3339(now)
        found.notes.append(("Normal", "Completed", "Job completed"))
    else:
        found.notes.append(("Warning", verdict.reason, verdict.message))


def _pursue(
    job: Object,
    pods: Sequence[Object],
    active: Sequence[Object],
    status: Object,
    found: Step,
    now: datetime,
) -> None:
    """Suspend, or bring the number of running pods to what is wanted."""
    spec = job["spec"]
    _suspension(job, status, found, now)
    if spec.get("suspend"):
        found.delete += [pod for pod in active if not deleting(pod)]
        return
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None:
        ends = parse_rfc3339(status["startTime"]) + timedelta(seconds=int(deadline))
        found.again = max((ends - now).total_seconds(), 0.0)
    wait = _backoff(pods, now)
    wanted = _wanted(job, pods, active, status)
    if len(active) > wanted:
        surplus = sorted(active, key=lambda pod: (podstate.is_ready(pod), podstate.created_at(pod)))
        found.delete += surplus[: len(active) - wanted]
        return
    missing = wanted - len(active)
    if missing and wait > 0:
        found.again = wait if found.again is None else min(found.again, wait)
    elif missing:
        found.create += _places(job, pods, active, status, missing)


def _suspension(job: Object, status: Object, found: Step, now: datetime) -> None:
    entry = conditions.find(status.get("conditions"), "Suspended") or {}
    if job["spec"].get("suspend"):
        if entry.get("status") != "True":
            status["conditions"] = conditions.set_condition(
                status.get("conditions"), "Suspended", "True", "JobSuspended", "Job suspended", now
            )
            status["startTime"] = None
            found.notes.append(("Normal", "Suspended", "Job suspended"))
    elif entry.get("status") == "True":
        status["conditions"] = conditions.set_condition(
            status.get("conditions"), "Suspended", "False", "JobResumed", "Job resumed", now
        )
        status["startTime"] = rfc3339(now)
        found.notes.append(("Normal", "Resumed", "Job resumed"))


def _wanted(job: Object, pods: Sequence[Object], active: Sequence[Object], status: Object) -> int:
    spec = job["spec"]
    parallelism = spec.get("parallelism")
    parallelism = 1 if parallelism is None else int(parallelism)
    completions = spec.get("completions")
    succeeded = int(status.get("succeeded") or 0)
    if not indexed(job):
        succeeded += len(_noted(status, "succeeded"))
    if completions is None:
        return len(active) if succeeded else parallelism
    left = int(completions) - succeeded - len(_numbers(status.get("failedIndexes") or ""))
    wanted = min(parallelism, max(left, 0))
    if spec.get("podReplacementPolicy") == "Failed":
        ending = sum(deleting(pod) and not podstate.is_terminal(pod) for pod in pods)
        wanted = max(wanted - ending, 0)
    return wanted


def _places(
    job: Object, pods: Sequence[Object], active: Sequence[Object], status: Object, missing: int
) -> list[int | None]:
    if not indexed(job):
        return [None] * missing
    taken = {index_of(pod) for pod in active}
    taken |= set(_numbers(status.get("completedIndexes") or ""))
    taken |= set(_numbers(status.get("failedIndexes") or ""))
    del pods
    free = (index for index in range(int(job["spec"]["completions"])) if index not in taken)
    return [index for index, _ in zip(free, range(missing), strict=False)]


def failures_of(pods: Sequence[Object], index: int | None) -> int:
    """How often the pods of an index failed, as the newest of them knows."""
    counts = [
        int(annotations_of(pod).get(FAILURES, "0")) + 1
        for pod in pods
        if index_of(pod) == index and podstate.phase(pod) == "Failed"
    ]
    return max(counts, default=0)


def _backoff(pods: Sequence[Object], now: datetime) -> float:
    """Seconds before the next pod may be made: longer after each failure in a row."""
    ends = sorted(
        (_ended_at(pod), podstate.phase(pod)) for pod in pods if podstate.is_terminal(pod)
    )
    row = 0
    for _, phase in reversed(ends):
        if phase != "Failed":
            break
        row += 1
    if not row:
        return 0.0
    delay = min(_FIRST_BACKOFF * 2 ** (row - 1), _LONGEST_BACKOFF)
    return max((ends[-1][0] + timedelta(seconds=delay) - now).total_seconds(), 0.0)


def _ended_at(pod: Object) -> datetime:
    times = [
        str(((entry.get("state") or {}).get("terminated") or {}).get("finishedAt") or "")
        for entry in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    known = [text for text in times if text] or [podstate.created_at(pod)]
    return max(parse_rfc3339(text) for text in known)


def _restarts(job: Object, active: Sequence[Object]) -> int:
    """Container restarts count as failures when the pod restarts them itself."""
    template = job["spec"]["template"].get("spec") or {}
    if template.get("restartPolicy") != "OnFailure":
        return 0
    return sum(podstate.restarts(pod) for pod in active)


def _noted(status: Object, kind: str) -> list[str]:
    return (status.get("uncountedTerminatedPods") or {}).get(kind) or []


def _numbers(text: str) -> list[int]:
    """``0-2,5`` → 0, 1, 2, 5."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first.isdigit():
            found += range(int(first), int(last if dash else first) + 1)
    return found


def _ranges(numbers: set[int]) -> str:
    """0, 1, 2, 5 → ``0-2,5``."""
    parts: list[str] = []
    ordered = sorted(numbers)
    at = 0
    while at < len(ordered):
        end = at
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        first, last = ordered[at], ordered[end]
        parts.append(
            str(first)
            if first == last
            else f"{first}-{last}"
            if last > first + 1
            else f"{first},{last}"
        )
        at = end + 1
    return ",".join(parts)
