"""A CronJob: which Job is due now, and which old ones may go.

Source: kubernetes ``pkg/controller/cronjob`` (``cronjob_controllerv2.go``, ``utils.go``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from cloudwright._base.clock import parse_rfc3339, rfc3339
from cloudwright.model.cron import Schedule, ScheduleError, parse
from cloudwright.model.objects import (
    Object,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from cloudwright.operator.engines.job import finished
from cloudwright.operator.engines.templates import copy

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_TOO_MANY = 100


@dataclass(slots=True)
class Step:
    """What to do now."""

    create: Object | None = None
    replace: list[Object] = field(default_factory=list)
    """Running Jobs that give way to the new one."""
    forget: list[Object] = field(default_factory=list)
    status: Object = field(default_factory=dict)
    again: float | None = None
    notes: list[tuple[str, str, str]] = field(default_factory=list)


def step(cron: Object, owned: Sequence[Object], now: datetime) -> Step:
    """What a CronJob does at ``now``; ``owned`` are its Jobs."""
    spec = cron["spec"]
    found = Step(status=copy(cron.get("status") or {}))
    running = _active(owned, found)
    found.forget = _old(spec, owned)
    if spec.get("suspend"):
        return found
    schedule = _schedule(spec, found)
    if schedule is None:
        return found
    due = _due(cron, schedule, found, now)
    following = schedule.after(now)
    if following is not None:
        found.again = max((following - now).total_seconds(), 0.0)
    if due is None:
        return found
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and due + timedelta(seconds=int(deadline)) < now:
        text = f"Missed scheduled time to start a job: {format_datetime(due)}"
        found.notes.append(("Warning", "MissSchedule", text))
        return found
    policy = spec.get("concurrencyPolicy") or "Allow"
    if any(name_of(one) == job_name(cron, due) for one in owned):
        return found
    if policy == "Forbid" and running:
        text = (
            "Not starting job because prior execution is running and concurrency policy is Forbid"
        )
        found.notes.append(("Normal", "JobAlreadyActive", text))
        return found
    if policy == "Replace":
        found.replace = running
    found.create = new_job(cron, due, schedule)
    found.status["lastScheduleTime"] = rfc3339(due)
    return found


def _schedule(spec: Object, found: Step) -> Schedule | None:
    text, zone = str(spec["schedule"]), spec.get("timeZone")
    try:
        if zone is not None:
            parse("* * * * *", str(zone))
    except ScheduleError as error:
        message = f'invalid timeZone: "{zone}": {error}'
        found.notes.append(("Warning", "UnknownTimeZone", message))
        return None
    try:
        return parse(text, str(zone or ""))
    except ScheduleError as error:
        message = f'unparseable schedule: "{text}" : {error}'
        found.notes.append(("Warning", "UnparseableSchedule", message))
        return None


def job_name(cron: Object, due: datetime) -> str:
    """The name of the Job of a time: the minutes since 1970 make it unique."""
    return f"{name_of(cron)}-{int(due.timestamp()) // 60}"


def new_job(cron: Object, due: datetime, schedule: Schedule) -> Object:
    """The Job of a scheduled time, which it tells as a clock in the CronJob's zone shows it."""
    there = due.astimezone(schedule.zone if cron["spec"].get("timeZone") else UTC)
    template = copy(cron["spec"]["jobTemplate"])
    metadata = template.get("metadata") or {}
    annotations = {
        **(metadata.get("annotations") or {}),
        SCHEDULED: there.isoformat().replace("+00:00", "Z"),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cron, due),
            "namespace": namespace_of(cron),
            "labels": labels_of(template),
            "annotations": annotations,
            "ownerReferences": [owner_reference(cron)],
        },
        "spec": template["spec"],
    }


def reference(job: Object) -> Object:
    """A running Job as ``status.active`` lists it."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name_of(job),
        "namespace": namespace_of(job),
        "uid": uid_of(job),
        "resourceVersion": job["metadata"].get("resourceVersion", ""),
    }


def _active(owned: Sequence[Object], found: Step) -> list[Object]:
    """Update what the status says of running Jobs; returns them."""
    known = {one.get("uid"): str(one.get("name")) for one in found.status.get("active") or ()}
    running = [one for one in owned if not finished(one)]
    for one in owned:
        kind = finished(one)
        if kind and uid_of(one) in known:
            text = f"Saw completed job: {name_of(one)}, condition: {kind}"
            found.notes.append(("Normal", "SawCompletedJob", text))
        if not kind and uid_of(one) not in known:
            text = f"Saw a job that the controller did not create or forgot: {name_of(one)}"
            found.notes.append(("Warning", "UnexpectedJob", text))
        if kind == "Complete":
            ended = str(one["status"].get("completionTime") or "")
            if ended > str(found.status.get("lastSuccessfulTime") or ""):
                found.status["lastSuccessfulTime"] = ended
    there = {uid_of(one) for one in owned}
    for uid, name in known.items():
        if uid not in there:
            found.notes.append(("Normal", "MissingJob", f"Active job went missing: {name}"))
    found.status["active"] = [reference(one) for one in running]
    if not running:
        found.status.pop("active")
    return running


def _due(cron: Object, schedule: Schedule, found: Step, now: datetime) -> datetime | None:
    """The newest time that is due and was not scheduled yet."""
    spec, status = cron["spec"], cron.get("status") or {}
    start = parse_rfc3339(
        str(status.get("lastScheduleTime") or cron["metadata"]["creationTimestamp"])
    )
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        start = max(start, now - timedelta(seconds=int(deadline)))
    first = schedule.after(start)
    second = first and schedule.after(first)
    if first is None or second is None:
        text = "time difference between two schedules is less than 1 second"
        message = f"invalid schedule: {spec['schedule']} : {text}"
        found.notes.append(("Warning", "InvalidSchedule", message))
        return None
    if now < first:
        return None
    newest = first
    if second <= now:
        # A long sleep leaves many missed times behind: only the newest counts, so look from nearby.
        missed = int((now - first) / (second - first)) + 1
        if missed > _TOO_MANY:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds"
            message = f"{text} or check clock skew"
            found.notes.append(("Warning", "TooManyMissedTimes", message))
        for time in schedule.times(first + (second - first) * (missed - 2)):
            if time > now:
                break
            newest = max(newest, time)
    return newest


def _old(spec: Object, owned: Sequence[Object]) -> list[Object]:
    """Finished Jobs beyond the history limits, oldest first."""
    found: list[Object] = []
    for kind, limit in (
        ("Complete", "successfulJobsHistoryLimit"),
        ("Failed", "failedJobsHistoryLimit"),
    ):
        if spec.get(limit) is None:
            continue
        ended = sorted((one for one in owned if finished(one) == kind), key=_started)
        found += ended[: max(len(ended) - int(spec[limit]), 0)]
    return found


def _started(job: Object) -> tuple[bool, str, str]:
    """By start; those that never started last."""
    start = str((job.get("status") or {}).get("startTime") or "")
    return not start, start, name_of(job)
