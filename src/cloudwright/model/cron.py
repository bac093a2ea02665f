"""Schedules of CronJobs: when they are due. Pure.

Read as upstream reads them (robfig/cron v3, ``ParseStandard``): five fields, ``@daily`` and such,
``@every 1h30m``. Times are compared with the clock on the wall: an hour that is skipped in spring
has no runs, one that comes twice in autumn has them twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloudwright.model import durations

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NO_NAMES: Mapping[str, int] = {}
_MONTHS = dict(
    jan=1, feb=2, mar=3, apr=4, may=5, jun=6, jul=7, aug=8, sep=9, oct=10, nov=11, dec=12
)
_DAYS = dict(sun=0, mon=1, tue=2, wed=3, thu=4, fri=5, sat=6)
_BOUNDS: tuple[tuple[int, int, Mapping[str, int]], ...] = (
    (0, 59, _NO_NAMES),
    (0, 23, _NO_NAMES),
    (1, 31, _NO_NAMES),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_YEARS = 5
"""A schedule without a time for so long never has one."""


class ScheduleError(ValueError):
    """The schedule or its time zone cannot be read."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of one expression; ``every`` seconds when it has no fields."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    both_days: bool = False
    """Whether a day must be right in the month and in the week (one of them is a star)."""
    every: float = 0.0
    zone: tzinfo = UTC

    def after(self, start: datetime) -> datetime | None:
        """The first time after ``start``; ``None``: there is none in five years."""
        if self.every:
            return start.replace(microsecond=0) + timedelta(seconds=self.every)
        now = start.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        last = start.astimezone(self.zone).year + _YEARS
        while True:
            there = now.astimezone(self.zone)
            if there.year > last:
                return None
            if there.month not in self.months:
                there = datetime(there.year + there.month // 12, there.month % 12 + 1, 1)
                now = self._midnight(there, now)
            elif not self._on(there):
                now = self._midnight(there + timedelta(days=1), now)
            elif there.hour not in self.hours:
                now += timedelta(minutes=60 - there.minute)
            elif there.minute not in self.minutes:
                later = [minute for minute in self.minutes if minute > there.minute]
                now += timedelta(minutes=min(later, default=60) - there.minute)
            else:
                return now.astimezone(start.tzinfo)

    def times(self, start: datetime) -> Iterator[datetime]:
        """The times after ``start``, ascending."""
        found = self.after(start)
        while found is not None:
            yield found
            found = self.after(found)

    def _on(self, there: datetime) -> bool:
        month, week = there.day in self.days, there.isoweekday() % 7 in self.weekdays
        return month and week if self.both_days else month or week

    def _midnight(self, day: datetime, now: datetime) -> datetime:
        """The beginning of a day there, which comes after ``now``."""
        start = datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)
        return max(start, now + timedelta(minutes=1))


@lru_cache(maxsize=1024)
def parse(text: str, zone: str = "") -> Schedule:
    """A schedule as ``spec.schedule`` and ``spec.timeZone`` have it.

    Raises:
        ScheduleError: it cannot be read; says why in upstream's words.
    """
    if not text:
        raise ScheduleError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        head, _, text = text.partition(" ")
        zone = head.partition("=")[2]
        text = text.strip()
    where = _zone(zone)
    if text.startswith("@every "):
        seconds = _seconds(text.removeprefix("@every "))
        return Schedule(every=max(float(int(seconds)), 1.0), zone=where)
    if text.startswith("@") and text not in _MACROS:
        raise ScheduleError(f"unrecognized descriptor: {text}")
    words = _MACROS.get(text, text).split()
    if len(words) != 5:
        raise ScheduleError(f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]")
    found = [_field(word, *bounds) for word, bounds in zip(words, _BOUNDS, strict=True)]
    minutes, hours, days, months, weekdays = (numbers for numbers, _ in found)
    both = found[2][1] or found[4][1]
    return Schedule(minutes, hours, days, months, weekdays, both, 0.0, where)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(f"unknown time zone {name}") from error


def _seconds(text: str) -> float:
    try:
        return durations.parse(text)
    except ValueError:
        reason = f'time: invalid duration "{text}"'
        raise ScheduleError(f"failed to parse duration {text}: {reason}") from None


def _field(
    word: str, least: int, most: int, names: Mapping[str, int]
) -> tuple[frozenset[int], bool]:
    """The numbers of a field, and whether it has a star."""
    found: set[int] = set()
    star = False
    for part in filter(None, word.split(",")):
        numbers, starred = _range(part, least, most, names)
        found.update(numbers)
        star = star or starred
    return frozenset(found), star


def _range(part: str, least: int, most: int, names: Mapping[str, int]) -> tuple[range, bool]:
    ends, *steps = part.split("/")
    first, *rest = ends.split("-")
    star = first in ("*", "?")
    if star:
        start, end = least, most
    elif len(rest) > 1:
        raise ScheduleError(f"too many hyphens: {part}")
    else:
        start = _number(first, names)
        end = _number(rest[0], names) if rest else start
    step = 1
    if len(steps) > 1:
        raise ScheduleError(f"too many slashes: {part}")
    if steps:
        step = _number(steps[0], _NO_NAMES)
        end = most if not rest else end
        star = star and step <= 1
    if start < least:
        raise ScheduleError(f"beginning of range ({start}) below minimum ({least}): {part}")
    if end > most:
        raise ScheduleError(f"end of range ({end}) above maximum ({most}): {part}")
    if start > end:
        raise ScheduleError(f"beginning of range ({start}) beyond end of range ({end}): {part}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {part}")
    return range(start, end + 1, step), star


def _number(text: str, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    digits = text.removeprefix("-").removeprefix("+") if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        reason = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ScheduleError(f"failed to parse int from {text}: {reason}")
    if text.startswith("-"):
        raise ScheduleError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
