"""How many pods the load asks for: the rule, its limits and its windows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.operator.engines.autoscale import Load, size
from cloudwright.operator.engines.scaling import Advice
from tests.unit.operator.builders import NOW


def spec(**wish: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": "500m"}}
    return {"autoscaling": {"maxReplicas": 10, **wish}, "resources": resources}


def wanted(current: int, load: Load, *history: Advice, **wish: Any) -> int:
    return size(spec(**wish), current, load, history, NOW).replicas


def ago(seconds: float, replicas: int) -> Advice:
    return Advice(NOW - timedelta(seconds=seconds), replicas)


@pytest.mark.parametrize(
    ("current", "rate", "expected"),
    [
        (2, 200, 2),  # as wished
        (2, 215, 2),  # within a tenth
        (2, 230, 3),
        (2, 1000, 6),  # at most four more
        (5, 5000, 10),  # at most doubled, and no more than allowed
        (0, 500, 1),  # nothing runs: nothing is known of its load
    ],
)
def test_up_by_requests(current: int, rate: float, expected: int) -> None:
    assert wanted(current, Load(requests_per_second=rate), requestsPerSecond=100) == expected


def test_down_only_after_a_window() -> None:
    quiet = Load(requests_per_second=10)
    now = {"requestsPerSecond": 100, "scaleDownStabilization": "0s"}
    assert wanted(4, quiet, **now) == 1
    assert wanted(4, quiet, ago(299, 4), requestsPerSecond=100) == 4
    assert wanted(4, quiet, ago(301, 4), ago(10, 2), requestsPerSecond=100) == 2
    assert wanted(4, quiet, minReplicas=3, **now) == 3


def test_up_only_after_a_window_that_is_wished() -> None:
    busy = Load(requests_per_second=1000)
    wish = {"requestsPerSecond": 100, "scaleUpStabilization": "1m"}
    assert wanted(4, busy, ago(30, 4), **wish) == 4
    assert wanted(4, busy, ago(61, 4), ago(30, 8), **wish) == 8


def test_cpu_in_per_cent_of_what_is_requested() -> None:
    # Two pods that use a whole core together use 100 % of 500m each.
    found = size(spec(cpu=50), 2, Load(cpu_cores=1.0), (), NOW)
    assert found.replicas == 4
    assert "100 of 50 per cent of CPU" in found.message


def test_the_larger_of_two_wishes_counts_and_a_missing_one_takes_no_pod_away() -> None:
    wish = {"cpu": 50, "requestsPerSecond": 100, "scaleDownStabilization": "0s"}
    assert wanted(2, Load(requests_per_second=100, cpu_cores=1.0), **wish) == 4
    assert wanted(4, Load(requests_per_second=1, cpu_cores=None), **wish) == 4
    assert wanted(4, Load(), **wish) == 4


@given(
    current=st.integers(0, 30),
    rate=st.floats(0, 1e6),
    history=st.lists(st.tuples(st.integers(0, 600), st.integers(1, 30)), max_size=5),
    least=st.integers(1, 5),
)
def test_never_outside_of_what_is_allowed(
    current: int, rate: float, history: list[tuple[int, int]], least: int
) -> None:
    looked = [ago(seconds, replicas) for seconds, replicas in history]
    load = Load(requests_per_second=rate)
    found = wanted(current, load, *looked, minReplicas=least, requestsPerSecond=10)
    assert least <= found <= 10
    if current >= 1:
        assert found <= max(2 * current, current + 4, least)
