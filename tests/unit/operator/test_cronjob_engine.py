"""CronJobs: which Job is due, what is said, what is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model.objects import Object, annotations_of, name_of
from cloudwright.operator.engines import cronjob as engine

MADE = datetime(2026, 3, 28, 12, tzinfo=UTC)


def cron(schedule: str = "0 * * * *", **spec: Any) -> Object:
    """A CronJob, made at noon."""
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": "c",
            "namespace": "d",
            "uid": "c",
            "creationTimestamp": rfc3339(MADE),
        },
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {}}, **spec},
    }


def job(name: str, start: str, kind: str = "") -> Object:
    """One of its Jobs, perhaps ended."""
    entries = [{"type": kind, "status": "True"}] if kind else []
    status: Object = {"conditions": entries}
    if start:
        status["startTime"] = start
    return {"metadata": {"name": name, "uid": name, "namespace": "d"}, "spec": {}, "status": status}


def reasons(step: engine.Step) -> list[str]:
    """What is said."""
    return [reason for _, reason, _ in step.notes]


def test_the_job_of_a_time_zone_tells_the_time_there() -> None:
    found = engine.step(
        cron("30 3 * * *", timeZone="Europe/Berlin"), [], datetime(2026, 3, 29, 2, tzinfo=UTC)
    )
    assert found.create is not None
    told = annotations_of(found.create)[engine.SCHEDULED]
    assert told == "2026-03-29T03:30:00+02:00"  # the first morning of summer time
    assert found.status["lastScheduleTime"] == "2026-03-29T01:30:00Z"


def test_without_a_zone_it_tells_utc() -> None:
    found = engine.step(cron(), [], MADE + timedelta(hours=1))
    assert found.create is not None
    assert annotations_of(found.create)[engine.SCHEDULED] == "2026-03-28T13:00:00Z"
    assert found.again == 3600.0


def test_a_wrong_zone_or_schedule_is_told() -> None:
    found = engine.step(cron(timeZone="Europe/Nowhere"), [], MADE + timedelta(hours=2))
    assert (found.create, reasons(found)) == (None, ["UnknownTimeZone"])
    found = engine.step(cron("x"), [], MADE)
    assert reasons(found) == ["UnparseableSchedule"]
    found = engine.step(cron("0 0 31 2 *"), [], MADE)
    assert reasons(found) == ["InvalidSchedule"]


def test_of_many_missed_times_the_newest_counts() -> None:
    now = MADE + timedelta(days=30, minutes=5)
    found = engine.step(cron(), [], now)
    assert reasons(found) == ["TooManyMissedTimes"]
    assert found.status["lastScheduleTime"] == rfc3339(now.replace(minute=0))


def test_irregular_times_are_found_after_a_long_sleep() -> None:
    wish = cron("30 6-16/4 * * 1-5")
    found = engine.step(wish, [], datetime(2026, 4, 14, 15, tzinfo=UTC))
    assert found.status["lastScheduleTime"] == "2026-04-14T14:30:00Z"


def test_too_late_is_told() -> None:
    wish = cron(startingDeadlineSeconds=60)
    wish["status"] = {"lastScheduleTime": rfc3339(MADE)}
    assert engine.step(wish, [], MADE + timedelta(hours=1, minutes=2)).create is None
    assert engine.step(wish, [], MADE + timedelta(hours=1, seconds=30)).create is not None


def test_history_forgets_the_oldest_and_keeps_what_never_started() -> None:
    owned = [
        job("new", "2026-03-28T11:00:00Z", "Complete"),
        job("never", "", "Complete"),
        job("old", "2026-03-28T09:00:00Z", "Complete"),
        job("failed", "2026-03-28T09:30:00Z", "Failed"),
        job("runs", "2026-03-28T08:00:00Z"),
    ]
    wish = cron(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=0)
    assert [name_of(one) for one in engine.step(wish, owned, MADE).forget] == ["old", "failed"]
    assert engine.step(cron(), owned, MADE).forget == []  # no limits, as of old objects


def test_jobs_that_appear_end_or_vanish_are_told() -> None:
    wish = cron()
    wish["status"] = {"active": [{"uid": "a", "name": "a"}, {"uid": "b", "name": "b"}]}
    owned = [job("a", "2026-03-28T11:00:00Z", "Failed"), job("x", "2026-03-28T11:00:00Z")]
    found = engine.step(wish, owned, MADE)
    assert reasons(found) == ["SawCompletedJob", "UnexpectedJob", "MissingJob"]
    assert [one["uid"] for one in found.status["active"]] == ["x"]
