"""CronJob: jobs at times."""

from __future__ import annotations

import re
import zoneinfo

from cloudwright.model import cron, fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import job
from cloudwright.model.kinds.spec import KindSpec, mapping, not_negative, one_of, wrong
from cloudwright.model.objects import Object, name_of

_NAME_MAX = 52
_ZONE = re.compile(r"[A-Za-z0-9._+\-]{1,}")


def _defaults(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    job.template_defaults(spec.setdefault("jobTemplate", {}).setdefault("spec", {}))


def schedule_problems(schedule: str) -> list[str]:
    """Whether ``schedule`` can be read."""
    try:
        cron.parse(schedule)
    except cron.ScheduleError as error:
        return [str(error)]
    return []


def _zone_errors(zone: str) -> list[FieldError]:
    path = "spec.timeZone"
    if not zone:
        return [fields.invalid(path, zone, "timeZone must be nil or non-empty string")]
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _ZONE.fullmatch(part):
            return [fields.invalid(path, zone, f"unknown time zone {zone}")]
    if zone.lower() == "local":
        message = "timeZone must be an explicit time zone as defined in "
        return [fields.invalid(path, zone, f"{message}https://www.iana.org/time-zones")]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):
        return [fields.invalid(path, zone, f"unknown time zone {zone}")]
    return []


def _schedule_errors(spec: Object, old: Object | None) -> list[FieldError]:
    schedule, path = str(spec.get("schedule") or ""), "spec.schedule"
    if not schedule:
        return [fields.required(path)]
    found = wrong(path, schedule, schedule_problems(schedule))
    if "TZ" in schedule:
        allowed = "TZ" in str(mapping(old or {}, "spec").get("schedule") or "")
        if not allowed:
            message = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            found.append(fields.invalid(path, schedule, message))
        elif spec.get("timeZone") is not None:
            message = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            found.append(fields.invalid(path, schedule, message))
    return found


def _check(obj: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(obj, "spec")
    found = _schedule_errors(spec, old)
    found += not_negative(spec, "spec", "startingDeadlineSeconds")
    zone = spec.get("timeZone")
    if zone is not None and (old is None or mapping(old, "spec").get("timeZone") != zone):
        found += _zone_errors(str(zone))
    found += one_of(spec, "spec", "concurrencyPolicy", ("Allow", "Forbid", "Replace"))
    template, path = mapping(mapping(spec, "jobTemplate"), "spec"), "spec.jobTemplate.spec"
    found += job.spec_errors(template, path)
    if template.get("selector") is not None:
        message = "`selector` will be auto-generated"
        found.append(fields.invalid(f"{path}.selector", template["selector"], message))
    if template.get("manualSelector"):
        found.append(fields.not_supported(f"{path}.manualSelector", True, ("nil", "false")))
    found += not_negative(spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    if old is None and len(name_of(obj)) > _NAME_MAX:
        message = f"must be no more than {_NAME_MAX} characters"
        found.append(fields.invalid("metadata.name", name_of(obj), message))
    return found


SPEC = KindSpec(resources.CRON_JOB, _defaults, _check, lambda _cron: {})
