"""A CronJob: which Job is due now, and which old ones may go.

Source: kubernetes ``pkg/controller/cronjob`` (``cronjob_controllerv2.go``, ``utils.go``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from cloudwright._base.clock import parse_rfc3339, rfc3339
from cloudwright.model.objects import (
    Object,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from cloudwright.operator.engines import job as jobs
from cloudwright.operator.engines.templates import copy

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_TOO_MANY = 100


class ScheduleError(ValueError):
    """The schedule or its time zone cannot be read."""


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


def schedule(text: str, start: datetime, zone: str = "") -> CronSim:
    """The times after ``start`` at which a Job is due, in ascending order.

    Raises:
        ScheduleError: it cannot be read; says why.
    """
    try:
        where = ZoneInfo(zone) if zone else start.tzinfo
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ScheduleError(f"unknown time zone {zone}") from error
    expression = _MACROS.get(text.strip(), text.strip()).replace("?", "*")
    try:
        return CronSim(expression, start.astimezone(where))
    except CronSimError as error:
        raise ScheduleError(f"invalid schedule: {text} : {error}") from error


def step(cron: Object, owned: Sequence[Object], now: datetime) -> Step:
    """What a CronJob does at ``now``; ``owned`` are its Jobs.

    Raises:
        ScheduleError: its schedule cannot be read.
    """
    spec = cron["spec"]
    found = Step(status=copy(cron.get("status") or {}))
    running = _active(cron, owned, found)
    found.forget = _old(spec, owned)
    if spec.get("suspend"):
        return found
    due, following = _due(cron, now)
    found.again = max((following - now).total_seconds(), 0.0)
    if due is None:
        return found
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and due + timedelta(seconds=int(deadline)) < now:
        text = f"Missed scheduled time to start a job: {due.isoformat()}"
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
    found.create = new_job(cron, due)
    found.status["lastScheduleTime"] = rfc3339(due)
    return found


def job_name(cron: Object, due: datetime) -> str:
    """The name of the Job of a time: the minutes since 1970 make it unique."""
    return f"{name_of(cron)}-{int(due.timestamp()) // 60}"


def new_job(cron: Object, due: datetime) -> Object:
    """The Job of a scheduled time."""
    template = copy(cron["spec"]["jobTemplate"])
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), SCHEDULED: due.isoformat()}
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


def _active(cron: Object, owned: Sequence[Object], found: Step) -> list[Object]:
    """Update what the status says of running Jobs; returns them."""
    known = {one.get("uid") for one in found.status.get("active") or ()}
    running = [one for one in owned if not jobs.finished(one)]
    for one in owned:
        kind = jobs.finished(one)
        if kind and uid_of(one) in known:
            text = f"Saw completed job: {name_of(one)}, condition: {kind}"
            found.notes.append(("Normal", "SawCompletedJob", text))
        if kind == "Complete":
            ended = str(one["status"].get("completionTime") or "")
            if ended > str(found.status.get("lastSuccessfulTime") or ""):
                found.status["lastSuccessfulTime"] = ended
    found.status["active"] = [reference(one) for one in running]
    if not running:
        found.status.pop("active")
    del cron
    return running


def _due(cron: Object, now: datetime) -> tuple[datetime | None, datetime]:
    """The newest time that is due and was not scheduled yet, and the next one after now."""
    spec, status = cron["spec"], cron.get("status") or {}
    zone = str(spec.get("timeZone") or "")
    start = parse_rfc3339(
        str(status.get("lastScheduleTime") or cron["metadata"]["creationTimestamp"])
    )
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        start = max(start, now - timedelta(seconds=int(deadline)))
    following = next(schedule(spec["schedule"], now, zone))
    newest = None
    # A long sleep leaves many missed times behind: only the newest counts, so look from nearby.
    for _ in range(_TOO_MANY):
        later = next(schedule(spec["schedule"], start, zone))
        if later > now:
            break
        newest, start = later, later
    else:
        near = max(start, now - (following - now) * 2)
        for time in schedule(spec["schedule"], near, zone):
            if time > now:
                break
            newest = time
    return newest, following


def _old(spec: Object, owned: Sequence[Object]) -> list[Object]:
    """Finished Jobs beyond the history limits, oldest first."""
    found: list[Object] = []
    for kind, limit, usual in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        keep = spec.get(limit)
        keep = usual if keep is None else int(keep)
        ended = sorted(
            (one for one in owned if jobs.finished(one) == kind),
            key=lambda one: str((one.get("status") or {}).get("startTime") or ""),
        )
        found += ended[: max(len(ended) - keep, 0)]
    return found
