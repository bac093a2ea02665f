"""Schedules: as robfig/cron reads them, hours that come twice or never included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright.model.cron import ScheduleError, parse

NEW_YORK, SAO_PAULO = "America/New_York", "America/Sao_Paulo"


@pytest.mark.parametrize(
    ("start", "text", "zone", "expected"),
    [
        ("2012-07-09T14:45:00+00:00", "0/15 * * * *", "", "2012-07-09T15:00:00+00:00"),
        ("2012-07-09T14:59:59+00:00", "0/15 * * * *", "", "2012-07-09T15:00:00+00:00"),
        ("2012-07-09T15:45:00+00:00", "20-35/15 * * * *", "", "2012-07-09T16:20:00+00:00"),
        ("2012-07-09T23:35:51+00:00", "20-35/15 10-12 * * *", "", "2012-07-10T10:20:00+00:00"),
        ("2012-07-09T23:35:00+00:00", "0 0 9 Apr-Oct ?", "", "2012-08-09T00:00:00+00:00"),
        ("2012-07-09T23:35:00+00:00", "0 0 */5 Apr,Aug,Oct Mon", "", "2012-08-01T00:00:00+00:00"),
        ("2012-07-09T23:35:00+00:00", "0 0 * Feb Mon", "", "2013-02-04T00:00:00+00:00"),
        ("2012-07-09T23:35:00+00:00", "0 0 * Feb Mon/2", "", "2013-02-01T00:00:00+00:00"),
        ("2012-12-31T23:59:45+00:00", "* * * * *", "", "2013-01-01T00:00:00+00:00"),
        ("2012-07-09T23:35:00+00:00", "0 0 29 Feb ?", "", "2016-02-29T00:00:00+00:00"),
        ("2012-03-11T00:00:00-05:00", "30 2 11 Mar ?", NEW_YORK, "2013-03-11T02:30:00-04:00"),
        ("2012-03-11T01:00:00-05:00", "0 * * * ?", NEW_YORK, "2012-03-11T03:00:00-04:00"),
        ("2012-03-11T01:00:00-05:00", "0 1 * * ?", NEW_YORK, "2012-03-12T01:00:00-04:00"),
        ("2012-03-11T00:00:00-05:00", "0 2 * * ?", NEW_YORK, "2012-03-12T02:00:00-04:00"),
        ("2012-11-04T00:00:00-04:00", "30 2 04 Nov ?", NEW_YORK, "2012-11-04T02:30:00-05:00"),
        ("2012-11-04T01:45:00-04:00", "30 1 04 Nov ?", NEW_YORK, "2012-11-04T01:30:00-05:00"),
        ("2012-11-04T01:00:00-04:00", "0 * * * ?", NEW_YORK, "2012-11-04T01:00:00-05:00"),
        ("2012-11-04T01:00:00-05:00", "0 1 * * ?", NEW_YORK, "2012-11-05T01:00:00-05:00"),
        ("2012-11-04T00:00:00-04:00", "0 3 3 * ?", NEW_YORK, "2012-12-03T03:00:00-05:00"),
        ("2018-10-17T05:00:00-04:00", "0 9 10 * ?", SAO_PAULO, "2018-11-10T06:00:00-05:00"),
        ("2018-02-14T05:00:00-05:00", "0 9 22 * ?", SAO_PAULO, "2018-02-22T07:00:00-05:00"),
        ("2012-07-09T14:00:00+00:00", "TZ=Asia/Tokyo 0 9 * * *", "", "2012-07-10T00:00:00+00:00"),
        ("2012-07-09T14:00:00.5+00:00", "@every 1h30m", "", "2012-07-09T15:30:00+00:00"),
        ("2012-07-09T14:00:00+00:00", "@weekly", "", "2012-07-15T00:00:00+00:00"),
    ],
)  # fmt: skip
def test_next(start: str, text: str, zone: str, expected: str) -> None:
    assert parse(text, zone).after(datetime.fromisoformat(start)) == datetime.fromisoformat(
        expected
    )


@pytest.mark.parametrize("text", ["0 0 30 Feb ?", "0 0 31 Apr ?", ", 0 * * *"])
def test_never(text: str) -> None:
    assert parse(text).after(datetime(2012, 7, 9, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("60 0 * * *", "end of range (60) above maximum (59): 60"),
        ("0 0 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("0 0 * * 7", "end of range (7) above maximum (6): 7"),
        ("5-1 0 * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 0 * * *", "step of range should be a positive number: */0"),
        ("1/2/3 0 * * *", "too many slashes: 1/2/3"),
        ("1-2-3 0 * * *", "too many hyphens: 1-2-3"),
        (
            "0 0 * * XYZ",
            'failed to parse int from XYZ: strconv.Atoi: parsing "XYZ": invalid syntax',
        ),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("@often", "unrecognized descriptor: @often"),
        ("@every x", 'failed to parse duration x: time: invalid duration "x"'),
    ],
)
def test_errors(text: str, told: str) -> None:
    with pytest.raises(ScheduleError, match=r".") as caught:
        parse(text)
    assert str(caught.value) == told


minute = st.sampled_from(["*", "*/7", "30", "0,15", "59", "1-5"])
hour = st.sampled_from(["*", "*/5", "2", "0", "23", "1-3"])
day = st.sampled_from(["*", "1", "31", "*/9"])
month = st.sampled_from(["*", "2-4", "3,11"])
week = st.sampled_from(["*", "0", "1-5"])
zones = st.sampled_from(["UTC", NEW_YORK, "Australia/Lord_Howe", "Asia/Kolkata"])
starts = st.datetimes(datetime(2024, 1, 1), datetime(2025, 12, 31), timezones=st.just(UTC))


@settings(max_examples=150, deadline=None)
@given(minute, hour, day, month, week, zones, starts)
def test_the_first_minute_whose_clock_agrees(
    m: str, h: str, d: str, mo: str, w: str, zone: str, start: datetime
) -> None:
    schedule = parse(f"{m} {h} {d} {mo} {w}", zone)
    found = schedule.after(start)
    assert found is not None
    now = start.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(3000):  # two days, minute by minute
        there = now.astimezone(ZoneInfo(zone))
        month_day, weekday = there.day in schedule.days, there.isoweekday() % 7 in schedule.weekdays
        agrees = (
            there.minute in schedule.minutes
            and there.hour in schedule.hours
            and there.month in schedule.months
            and (month_day and weekday if schedule.both_days else month_day or weekday)
        )
        if agrees or now == found:
            break
        now += timedelta(minutes=1)
    else:
        assert found > now
        return
    assert now == found
    assert agrees
