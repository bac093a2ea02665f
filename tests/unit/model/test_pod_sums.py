"""What pods take and how well they are served: upstream's cases."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import quota
from cloudwright.model.pods import quality_of_service, total_requests
from cloudwright.model.shares import of_total

Amounts = dict[str, str]


def container(
    requests: Amounts | None = None, limits: Amounts | None = None, **more: Any
) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


BOTH = {"cpu": "100m", "memory": "64Mi"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container()]}, "BestEffort"),
        ({"containers": [container({"cpu": "0"}, {"memory": "0"})]}, "BestEffort"),
        ({"containers": [container({"example.com/gpu": "1"})]}, "BestEffort"),
        ({"containers": [container(BOTH, BOTH)]}, "Guaranteed"),
        ({"containers": [container({}, BOTH)]}, "Guaranteed"),
        ({"containers": [container(BOTH, {"cpu": "0.1", "memory": "65536Ki"})]}, "Guaranteed"),
        ({"containers": [container(BOTH, {"cpu": "200m", "memory": "64Mi"})]}, "Burstable"),
        ({"containers": [container({}, {"cpu": "1"})]}, "Burstable"),
        ({"containers": [container(BOTH, BOTH), container()]}, "Burstable"),
        ({"containers": [container(BOTH, BOTH)], "initContainers": [container()]}, "Burstable"),
        (
            {"containers": [container()], "resources": {"requests": BOTH, "limits": BOTH}},
            "Guaranteed",
        ),
    ],
)
def test_quality_of_service(spec: dict[str, Any], expected: str) -> None:
    pod = {"spec": spec}
    assert quality_of_service(pod) == expected
    wish = {"spec": {"scopes": ["BestEffort"]}}
    assert quota.concerns(wish, "", "pods", pod) == (expected == "BestEffort")


def test_requests_count_sidecars_and_the_largest_init_container() -> None:
    pod: dict[str, Any] = {
        "spec": {
            "containers": [container({"cpu": "1"}), container({}, {"cpu": "1"})],
            "initContainers": [
                container({"cpu": "500m"}, restartPolicy="Always"),
                container({"cpu": "3"}),
            ],
            "overhead": {"cpu": "250m"},
        }
    }
    assert total_requests(pod) == {"cpu": Decimal("3.75")}
    pod["spec"]["initContainers"] = pod["spec"]["initContainers"][:1]
    assert total_requests(pod) == {"cpu": Decimal("2.75")}
    pod["spec"]["resources"] = {"requests": {"cpu": "2"}}
    assert total_requests(pod) == {"cpu": Decimal("2.25")}


@given(st.integers(0, 300), st.integers(0, 5000))
def test_shares(percent: int, total: int) -> None:
    text = f"{percent}%"
    low, high = of_total(text, total, up=False), of_total(text, total)
    assert low <= percent * total / 100 <= high
    assert high - low <= 1
    assert of_total(percent, total) == percent


def test_what_is_no_share() -> None:
    with pytest.raises(ValueError, match=r"neither a whole number nor a percentage"):
        of_total("half", 3)
