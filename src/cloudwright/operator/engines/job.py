"""A Job: pods until enough of them succeeded, counted exactly once.

A pod that ended is first noted by uid in ``status.uncountedTerminatedPods``, then loses its
tracking finalizer, and only then is counted, so that no crash in between counts it twice or never.

Source: kubernetes ``pkg/controller/job`` (``job_controller.go``, ``indexed_job_utils.go``,
``tracking_utils.go``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
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
from cloudwright.operator.engines import job_policies as policies
from cloudwright.operator.engines.indexes import numbers, ranges
from cloudwright.operator.engines.ownership import pod_from
from cloudwright.operator.engines.templates import copy

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
MANAGER = "kubernetes.io/job-controller"
_MOST_UNCOUNTED = 500
_MOST_AT_ONCE = 500
_MOST_NAME = 58
"""Characters of a generated name that are not random."""


@dataclass(slots=True)
class Verdict:
    """How a Job ends: a condition that is set first, and the final one once no pod runs."""

    interim: str
    final: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Place:
    """A pod to make: its index, and the failed pod of that index which it replaces."""

    index: int | None = None
    replaced: Object | None = None


@dataclass(slots=True)
class Step:
    """What to do, in this order: the status, pods to release of the finalizer, to delete (those in
    ``drop`` lose their finalizer first, and count for nothing), to make.
    """

    create: list[Place] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    drop: list[Object] = field(default_factory=list)
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


def new_pod(job: Object, place: Place) -> Object:
    """A pod of the Job."""
    index = place.index
    extra: dict[str, Any] = {"generateName": f"{name_of(job)}-", "finalizers": [TRACKING]}
    if index is not None:
        end = f"-{index}-"
        extra["generateName"] = name_of(job)[: _MOST_NAME - len(end)] + end
        extra["annotations"] = {INDEX: str(index), **policies.inherited(job, place.replaced)}
        extra["labels"] = {INDEX: str(index)}
    pod = pod_from(job["spec"]["template"], job, **extra)
    if index is not None:
        pod["spec"]["hostname"] = f"{name_of(job)}-{index}"
        for container in [
            *(pod["spec"].get("initContainers") or ()),
            *(pod["spec"].get("containers") or ()),
        ]:
            env = container.get("env") or []
            if all(one.get("name") != "JOB_COMPLETION_INDEX" for one in env):
                path = f"metadata.labels['{INDEX}']"
                entry = {"name": "JOB_COMPLETION_INDEX"}
                container["env"] = [*env, {**entry, "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    return pod


@dataclass(slots=True)
class _View:
    """What is known of the Job at this moment."""

    job: Object
    pods: Sequence[Object]
    status: Object
    now: datetime
    active: list[Object]
    noted: dict[str, list[str]]
    """Pods that ended, in the status by uid, whose finalizer is still there."""
    succeeded: int
    failed: int
    done: set[int]
    """Succeeded indexes."""
    lost: set[int]
    """Failed indexes (with ``backoffLimitPerIndex``)."""
    delayed: dict[int, Object]
    """By index: the failed pod that is kept until another one replaces it."""


def step(job: Object, pods: Sequence[Object], now: datetime) -> Step:
    """What brings the Job forward, and its status."""
    status = copy(job.get("status") or {})
    found = Step(status=status)
    if not job["spec"].get("suspend") and not status.get("startTime"):
        status["startTime"] = rfc3339(now)
    view = _look(job, pods, status, now)
    verdict = _verdict(view)
    if verdict is not None:
        found.delete = list(view.active)
    else:
        _pursue(view, found)
        verdict = _completed(view, found)
        if verdict is None:
            _suspension(job, status, found, now)
    _track(view, found, verdict)
    if verdict is not None:
        _end(view, found, verdict)
    ending = {uid_of(pod) for pod in (*found.delete, *found.drop)}
    remaining = [pod for pod in view.active if uid_of(pod) not in ending]
    status["active"] = len(remaining)
    status["ready"] = sum(podstate.is_ready(pod) for pod in remaining)
    status["terminating"] = _terminating(pods) + len(ending)
    for name in ("active", "succeeded", "failed", "startTime"):
        if not status.get(name):
            status.pop(name, None)
    return found


def _terminating(pods: Sequence[Object]) -> int:
    return sum(deleting(pod) and not podstate.is_terminal(pod) for pod in pods)


# -- looking


def _look(job: Object, pods: Sequence[Object], status: Object, now: datetime) -> _View:
    noted = _settle(job, pods, status)
    fresh = [pod for pod in pods if TRACKING in finalizers_of(pod) and _valid(job, pod)]
    fresh = [pod for pod in fresh if uid_of(pod) not in {*noted["succeeded"], *noted["failed"]}]
    succeeded = [pod for pod in fresh if podstate.phase(pod) == "Succeeded"]
    failed = [pod for pod in fresh if policies.has_failed(job, pod)]
    counted = [pod for pod in failed if policies.action_on(job, pod)[0] != "Ignore"]
    active = [pod for pod in pods if podstate.is_active(pod)]
    done: set[int] = set()
    lost: set[int] = set()
    total = int(status.get("succeeded") or 0) + len(succeeded) + len(noted["succeeded"])
    if indexed(job):
        completions = int(job["spec"]["completions"])
        done = numbers(status.get("completedIndexes") or "", completions)
        done |= {index for pod in succeeded if (index := index_of(pod)) is not None}
        total = len(done)
        if job["spec"].get("backoffLimitPerIndex") is not None:
            lost = numbers(status.get("failedIndexes") or "", completions)
            for pod in pods:
                index = index_of(pod) if TRACKING in finalizers_of(pod) else None
                if index is not None and index < completions and policies.index_lost(job, pod):
                    lost.add(index)
    return _View(
        job=job,
        pods=pods,
        status=status,
        now=now,
        active=active,
        noted=noted,
        succeeded=total,
        failed=int(status.get("failed") or 0) + len(counted) + len(noted["failed"]),
        done=done,
        lost=lost,
        delayed=_delayed(job, pods, active, done | lost),
    )


def _valid(job: Object, pod: Object) -> bool:
    """Whether a pod counts: those of an indexed Job need an index that is one."""
    if not indexed(job):
        return True
    index = index_of(pod)
    return index is not None and index < int(job["spec"]["completions"])


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


def _delayed(
    job: Object, pods: Sequence[Object], active: Sequence[Object], settled: AbstractSet[int]
) -> dict[int, Object]:
    """By index: the failed pod that tells its replacement how often the index failed."""
    found: dict[int, Object] = {}
    if job["spec"].get("backoffLimitPerIndex") is None:
        return found
    running = {index_of(pod) for pod in active}
    for pod in pods:
        index = index_of(pod)
        held = TRACKING in finalizers_of(pod) and _valid(job, pod)
        if index is None or not held or index in running or index in settled:
            continue
        if not policies.has_failed(job, pod):
            continue
        known = found.get(index)
        if known is None or _rank(known) <= _rank(pod):
            found[index] = pod
    return found


def _rank(pod: Object) -> tuple[int, datetime]:
    counts = policies.index_failures(pod) + policies.index_failures(pod, policies.IGNORED)
    return counts, policies.ended_at(pod)


# -- deciding


def _verdict(view: _View) -> Verdict | None:
    """How the Job ends, when something other than the last pod ends it."""
    spec, status, entries = view.job["spec"], view.status, view.status.get("conditions")
    for kind, final in (("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")):
        entry = conditions.find(entries, kind)
        if entry is not None and entry.get("status") == "True":
            return Verdict(kind, final, entry.get("reason", ""), entry.get("message", ""))
    for pod in view.pods:
        if spec.get("podFailurePolicy") and policies.has_failed(view.job, pod):
            action, message = policies.action_on(view.job, pod)
            if action == "FailJob":
                return Verdict("FailureTarget", "Failed", "PodFailurePolicy", message)
    if view.failed > policies.backoff_limit(view.job) or policies.restarted_too_often(
        view.job, view.pods
    ):
        return _failure("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    started, deadline = status.get("startTime"), spec.get("activeDeadlineSeconds")
    timed = deadline is not None and started and not spec.get("suspend")
    if timed and parse_rfc3339(str(started)) + timedelta(seconds=int(deadline)) <= view.now:
        return _failure("DeadlineExceeded", "Job was active longer than specified deadline")
    return _by_indexes(view) if indexed(view.job) else None


def _failure(reason: str, message: str) -> Verdict:
    return Verdict("FailureTarget", "Failed", reason, message)


def _by_indexes(view: _View) -> Verdict | None:
    spec = view.job["spec"]
    most = spec.get("maxFailedIndexes")
    if most is not None and len(view.lost) > int(most):
        text = "Job has exceeded the specified maximal number of failed indexes"
        return _failure("MaxFailedIndexesExceeded", text)
    if view.lost and len(view.lost) + len(view.done) >= int(spec["completions"]):
        return _failure("FailedIndexes", "Job has failed indexes")
    message = policies.enough(view.job, view.done)
    if message is not None:
        return Verdict("SuccessCriteriaMet", "Complete", "SuccessPolicy", message)
    return None


def _completed(view: _View, found: Step) -> Verdict | None:
    """Whether enough pods succeeded and none is left."""
    if len(view.active) - len(found.drop) + len(found.create) > 0:
        return None
    wanted = view.job["spec"].get("completions")
    if view.succeeded >= (1 if wanted is None else int(wanted)):
        text = "Reached expected number of succeeded pods"
        return Verdict("SuccessCriteriaMet", "Complete", "CompletionsReached", text)
    return None


def _pursue(view: _View, found: Step) -> None:
    """Bring the number of running pods to what is wanted."""
    spec, active = view.job["spec"], view.active
    if spec.get("suspend"):
        found.drop = list(active)
        return
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None:
        ends = parse_rfc3339(view.status["startTime"]) + timedelta(seconds=int(deadline))
        found.again = max((ends - view.now).total_seconds(), 0.0)
    wanted = _wanted(view)
    found.drop = _surplus(view, max(len(active) - wanted, 0))[:_MOST_AT_ONCE]
    if found.drop:
        return
    waiting = _terminating(view.pods) if policies.replaces_failed_only(view.job) else 0
    missing = min(wanted - waiting - len(active), _MOST_AT_ONCE)
    if missing <= 0:
        return
    places = _places(view, missing)
    if spec.get("backoffLimitPerIndex") is not None:
        waits = {p: policies.wait_of_index(place.replaced, view.now) for p, place in places.items()}
    else:
        waits = dict.fromkeys(places, policies.wait(view.job, view.pods, view.now))
    found.create = [place for position, place in places.items() if waits[position] <= 0]
    later = [seconds for seconds in waits.values() if seconds > 0]
    if later:
        found.again = min([*later, *([] if found.again is None else [found.again])])


def _wanted(view: _View) -> int:
    spec = view.job["spec"]
    parallelism = spec.get("parallelism")
    parallelism = 1 if parallelism is None else int(parallelism)
    if spec.get("completions") is None:
        return len(view.active) if view.succeeded else parallelism
    return min(parallelism, max(int(spec["completions"]) - view.succeeded, 0))


def _surplus(view: _View, least: int) -> list[Object]:
    """Running pods that are too many: repeated and impossible indexes, then the least useful."""
    gone: list[Object] = []
    left = sorted(view.active, key=_usefulness)
    if indexed(view.job):
        kept: dict[int, Object] = {}
        for pod in reversed(left):
            index = index_of(pod)
            if index is None or not _valid(view.job, pod) or index in kept:
                gone.append(pod)
            else:
                kept[index] = pod
        left = [pod for pod in left if pod not in gone]
    return gone + left[: max(least - len(gone), 0)]


def _usefulness(pod: Object) -> tuple[bool, bool, bool, tuple[int, ...]]:
    """Ascending: not placed, not running, not ready; of equals the youngest first."""
    placed = bool((pod.get("spec") or {}).get("nodeName"))
    age = tuple(-ord(character) for character in podstate.created_at(pod))
    return placed, podstate.phase(pod) == "Running", podstate.is_ready(pod), age


def _places(view: _View, missing: int) -> dict[int, Place]:
    """The pods to make, by index (by number where there are none)."""
    if not indexed(view.job):
        return {number: Place() for number in range(missing)}
    taken = {index_of(pod) for pod in view.active} | view.done | view.lost
    if policies.replaces_failed_only(view.job):
        taken |= {index_of(p) for p in view.pods if deleting(p) and not podstate.is_terminal(p)}
    free = (index for index in range(int(view.job["spec"]["completions"])) if index not in taken)
    chosen = [index for index, _ in zip(free, range(missing), strict=False)]
    return {index: Place(index, view.delayed.get(index)) for index in chosen}


def _suspension(job: Object, status: Object, found: Step, now: datetime) -> None:
    entry = conditions.find(status.get("conditions"), "Suspended") or {}
    if job["spec"].get("suspend"):
        if entry.get("status") != "True":
            status["conditions"] = conditions.set_condition(
                status.get("conditions"), "Suspended", "True", "JobSuspended", "Job suspended", now
            )
            status.pop("startTime", None)
            found.notes.append(("Normal", "Suspended", "Job suspended"))
    elif entry.get("status") == "True":
        status["conditions"] = conditions.set_condition(
            status.get("conditions"), "Suspended", "False", "JobResumed", "Job resumed", now
        )
        status["startTime"] = rfc3339(now)
        found.notes.append(("Normal", "Resumed", "Job resumed"))


# -- counting


def _track(view: _View, found: Step, verdict: Verdict | None) -> None:
    """Note ended pods; those that are noted may lose their finalizer."""
    job, status, noted = view.job, view.status, view.noted
    dropped = {uid_of(pod) for pod in found.drop}
    delayed = {uid_of(pod) for pod in view.delayed.values()}
    done = numbers(status.get("completedIndexes") or "")
    for pod in view.pods:
        uid = uid_of(pod)
        if TRACKING not in finalizers_of(pod) or uid in dropped:
            continue
        succeeded, failed = podstate.phase(pod) == "Succeeded", policies.has_failed(job, pod)
        if verdict is None and not succeeded and (not failed or uid in delayed):
            continue
        found.release.append(pod)
        if succeeded and uid not in noted["failed"]:
            if not indexed(job):
                noted["succeeded"] += [] if uid in noted["succeeded"] else [uid]
            elif (index := index_of(pod)) is not None and _valid(job, pod):
                done.add(index)
        elif failed or (verdict is not None and verdict.final == "Failed"):
            counts = _valid(job, pod) and policies.action_on(job, pod)[0] != "Ignore"
            if counts and uid not in noted["failed"]:
                noted["failed"].append(uid)
        if len(noted["succeeded"]) + len(noted["failed"]) >= _MOST_UNCOUNTED:
            break
    if indexed(job):
        status["completedIndexes"] = ranges(done)
        status["succeeded"] = len(done)
        if not done:
            del status["completedIndexes"]
        if job["spec"].get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = ranges(view.lost)
    status["uncountedTerminatedPods"] = {key: value for key, value in noted.items() if value}


def _end(view: _View, found: Step, verdict: Verdict) -> None:
    """The first condition; the last one once it is known and nothing runs or is uncounted."""
    status, now = view.status, view.now
    had = conditions.is_true(status.get("conditions"), verdict.interim)
    status["conditions"] = conditions.set_condition(
        status.get("conditions"), verdict.interim, "True", verdict.reason, verdict.message, now
    )
    running = [pod for pod in view.pods if not podstate.is_terminal(pod)]
    if not had or running or status["uncountedTerminatedPods"] or found.release:
        return
    status["conditions"] = conditions.set_condition(
        status["conditions"], verdict.final, "True", verdict.reason, verdict.message, now
    )
    if verdict.final == "Failed":
        found.notes.append(("Warning", verdict.reason, verdict.message))
        return
    status["completionTime"] = rfc3339(now)
    wanted = view.job["spec"].get("completions")
    if wanted is not None and int(status.get("succeeded") or 0) > int(wanted):
        text = "Too many succeeded pods running after completion count reached"
        found.notes.append(("Warning", "TooManySucceededPods", text))
    found.notes.append(("Normal", "Completed", "Job completed"))
