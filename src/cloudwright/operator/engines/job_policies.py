"""A Job's rules about its pods: what a failure means, when it is enough, how long to wait. Pure.

Source: kubernetes ``pkg/controller/job`` (``pod_failure_policy.go``, ``success_policy.go``,
``backoff_utils.go``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model import pods as podstate
from cloudwright.model.objects import Object, annotations_of, deleting, name_of, namespace_of
from cloudwright.operator.engines.indexes import numbers

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
_FIRST_BACKOFF, _LONGEST_BACKOFF = 10.0, 600.0


def replaces_failed_only(job: Mapping[str, Any]) -> bool:
    """Whether a pod is replaced once it has ended, not when it is told to."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or bool(spec.get("podFailurePolicy"))


def has_failed(job: Mapping[str, Any], pod: Object) -> bool:
    """Whether a pod counts as failed: it has, or it is being deleted and nobody waits for that."""
    phase = podstate.phase(pod)
    if phase == "Failed":
        return True
    return deleting(pod) and phase != "Succeeded" and not replaces_failed_only(job)


def action_on(job: Mapping[str, Any], pod: Object) -> tuple[str, str]:
    """The action of the first matching ``podFailurePolicy`` rule, ``Count`` by default; and for
    ``FailJob`` the message.
    """
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for index, rule in enumerate(rules):
        action = str(rule.get("action"))
        where = f"matching {action} rule at index {index}"
        if rule.get("onExitCodes"):
            entry = _exited(pod, rule["onExitCodes"])
            if entry is not None:
                code = entry["state"]["terminated"]["exitCode"]
                head = f"Container {entry.get('name')} for pod {namespace_of(pod)}/{name_of(pod)}"
                return action, f"{head} failed with exit code {code} {where}"
        elif rule.get("onPodConditions"):
            kind = _condition(pod, rule["onPodConditions"])
            if kind:
                head = f"Pod {namespace_of(pod)}/{name_of(pod)} has condition {kind}"
                return action, f"{head} {where}"
    return "Count", ""


def _exited(pod: Object, codes: Mapping[str, Any]) -> Object | None:
    status = pod.get("status") or {}
    entries = [*(status.get("containerStatuses") or ())]
    entries += status.get("initContainerStatuses") or ()
    for entry in entries:
        if codes.get("containerName") not in (None, entry.get("name")):
            continue
        code = ((entry.get("state") or {}).get("terminated") or {}).get("exitCode")
        if not code:
            continue
        if (code in codes.get("values", ())) == (codes.get("operator") == "In"):
            return dict(entry)
    return None


def _condition(pod: Object, patterns: Iterable[Mapping[str, Any]]) -> str:
    wanted = {(one.get("type"), one.get("status") or "True") for one in patterns}
    for entry in (pod.get("status") or {}).get("conditions") or ():
        if (entry.get("type"), entry.get("status")) in wanted:
            return str(entry["type"])
    return ""


def enough(job: Mapping[str, Any], done: Collection[int]) -> str | None:
    """The message of the first ``successPolicy`` rule that the succeeded indexes fulfil."""
    rules = (job["spec"].get("successPolicy") or {}).get("rules") or ()
    completions = int(job["spec"].get("completions") or 0)
    for index, rule in enumerate(rules) if done else ():
        named, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        wanted = numbers(named, completions) if named is not None else set(done)
        if not wanted:
            continue
        have = len(wanted & set(done))
        whole = named is not None and have == len(wanted)
        if whole or (count is not None and have >= int(count)):
            return f"Matched rules at index {index}"
    return None


def restarted_too_often(job: Mapping[str, Any], pods: Iterable[Object]) -> bool:
    """Container restarts are failures when the pod restarts them itself."""
    if (job["spec"]["template"].get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    total = 0
    for pod in pods:
        if podstate.phase(pod) in ("Running", "Pending"):
            status = pod.get("status") or {}
            entries = [*(status.get("initContainerStatuses") or ())]
            entries += status.get("containerStatuses") or ()
            total += sum(int(entry.get("restartCount") or 0) for entry in entries)
    return total >= max(backoff_limit(job), 1)


def backoff_limit(job: Mapping[str, Any]) -> int:
    """How many failures are borne."""
    limit = job["spec"].get("backoffLimit")
    return 6 if limit is None else int(limit)


def index_failures(pod: Object, name: str = FAILURES) -> int:
    """How often pods of its index had failed before it, as the pod knows."""
    text = annotations_of(pod).get(name, "0")
    return int(text) if text.isdigit() else 0


def inherited(job: Mapping[str, Any], replaced: Object | None) -> dict[str, str]:
    """Annotations by which the next pod of an index knows how often it failed."""
    if job["spec"].get("backoffLimitPerIndex") is None:
        return {}
    counted = ignored = 0
    if replaced is not None:
        passed = action_on(job, replaced)[0] == "Ignore"
        counted = index_failures(replaced) + (not passed)
        ignored = index_failures(replaced, IGNORED) + passed
    return {FAILURES: str(counted), **({IGNORED: str(ignored)} if ignored else {})}


def index_lost(job: Mapping[str, Any], pod: Object) -> bool:
    """Whether with this pod its index has failed for good."""
    limit = job["spec"].get("backoffLimitPerIndex")
    if limit is None or not has_failed(job, pod):
        return False
    action = action_on(job, pod)[0]
    if action == "FailIndex":
        return True
    return action != "Ignore" and index_failures(pod) >= int(limit)


def wait_of_index(replaced: Object | None, now: datetime) -> float:
    """Seconds before the next pod of an index may be made."""
    if replaced is None:
        return 0.0
    row = index_failures(replaced) + index_failures(replaced, IGNORED) + 1
    return _left(row, ended_at(replaced), now)


def wait(job: Mapping[str, Any], pods: Sequence[Object], now: datetime) -> float:
    """Seconds before the next pod may be made: longer after each failure in a row."""
    ends = sorted(
        (ended_at(pod), has_failed(job, pod))
        for pod in pods
        if podstate.is_terminal(pod) or has_failed(job, pod)
    )
    row = 0
    for _, failed in reversed(ends):
        if not failed:
            break
        row += 1
    return _left(row, ends[-1][0], now) if row else 0.0


def _left(row: int, since: datetime, now: datetime) -> float:
    delay = min(_FIRST_BACKOFF * 2.0 ** min(row - 1, 10), _LONGEST_BACKOFF)
    return max((since + timedelta(seconds=delay) - now).total_seconds(), 0.0)


def ended_at(pod: Object) -> datetime:
    """When it ended: as its containers say, its readiness, its deletion; else its creation."""
    spec, status, metadata = pod.get("spec") or {}, pod.get("status") or {}, pod["metadata"]
    sidecars = {
        one.get("name")
        for one in spec.get("initContainers") or ()
        if one.get("restartPolicy") == "Always"
    }
    entries = [*(status.get("containerStatuses") or ())]
    entries += [e for e in status.get("initContainerStatuses") or () if e.get("name") in sidecars]
    times = [
        str(((entry.get("state") or {}).get("terminated") or {}).get("finishedAt") or "")
        for entry in entries
    ]
    if times and all(times):
        return max(parse_rfc3339(text) for text in times)
    ready = podstate.readiness(pod) or {}
    if ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return parse_rfc3339(str(ready["lastTransitionTime"]))
    if deleting(pod):
        grace = timedelta(seconds=int(metadata.get("deletionGracePeriodSeconds") or 0))
        return parse_rfc3339(str(metadata["deletionTimestamp"])) - grace
    return parse_rfc3339(podstate.created_at(pod))
