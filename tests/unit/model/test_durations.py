from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("1m30s", 90),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("-2s", -2),
        ("0", 0),
        ("+1s", 1),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1x", "1s ", "1 s", "--1s", "-", "1s1"])
def test_other_text_shows_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 15s"):
        durations.parse(text)


@given(st.integers(-(10**9), 10**9))
def test_durations_come_back(millis: int) -> None:
    assert durations.parse(durations.render(millis / 1000)) == pytest.approx(millis / 1000)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (125, "2m5s"),
        (120, "2m"),
        (700, "11m"),
        (10800, "3h"),
        (11000, "3h3m"),
        (40 * 3600, "40h"),
        (50 * 3600, "2d2h"),
        (30 * 86400, "30d"),
        (800 * 86400, "2y70d"),
        (3650 * 86400, "10y"),
    ],
)
def test_ages_look_as_kubectl_shows_them(seconds: float, text: str) -> None:
    assert durations.age(seconds) == text
