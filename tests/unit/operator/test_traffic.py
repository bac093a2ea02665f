"""Requests, errors, latency from two looks at the proxies' counters, and the judgement on them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.operator.engines.judgement import judge
from cloudwright.operator.engines.traffic import Traffic, between, counters, quantile

PAGE = """
# TYPE cloudwright_proxy_requests_total counter
cloudwright_proxy_requests_total{proxy="gateway",direction="gateway",service="default/pay:80",code="2xx",peer=""} 90
cloudwright_proxy_requests_total{proxy="gateway",direction="gateway",service="default/pay:80",code="5xx",peer=""} 6
cloudwright_proxy_requests_total{proxy="a\\"b",direction="outbound",service="default/pay:80",code="none",peer=""} 4
cloudwright_proxy_requests_total{proxy="p",direction="inbound",service="default/pay:80",code="5xx",peer=""} 50
cloudwright_proxy_requests_total{proxy="p",direction="outbound",service="default/pay-canary:80",code="2xx",peer=""} 7
cloudwright_proxy_request_duration_seconds_bucket{proxy="gateway",direction="gateway",service="default/pay:80",le="0.1"} 50
cloudwright_proxy_request_duration_seconds_bucket{proxy="gateway",direction="gateway",service="default/pay:80",le="+Inf"} 100
cloudwright_proxy_request_duration_seconds_sum{proxy="gateway",direction="gateway",service="default/pay:80"} 3
cloudwright_proxy_snapshot_version{proxy="gateway"} 7
"""  # noqa: E501


def test_only_the_services_asked_for_and_only_who_asked_them_counts() -> None:
    found = counters(PAGE, ["default/pay", "other/pay"])
    assert found["other/pay"] == {}
    traffic = between({}, found["default/pay"], 10, 50)
    assert (traffic.requests, traffic.errors, traffic.seconds) == (100, 10, 10)
    assert traffic.latency == pytest.approx(0.1)
    assert between({}, counters(PAGE, ["default/pay-canary"])["default/pay-canary"], 1, 99) == (
        Traffic(7, 0, None, 1)
    )


def test_a_proxy_that_began_anew_counts_from_zero() -> None:
    old = {("requests", "a"): 100.0, ("requests", "gone"): 9.0}
    new = {("requests", "a"): 3.0, ("requests", "b"): 2.0}
    assert between(old, new, 1, 99).requests == 5


@given(
    st.lists(st.integers(0, 50), min_size=3, max_size=3),
    st.lists(st.integers(0, 50), min_size=3, max_size=3),
)
def test_what_grows_is_what_is_told(before: list[int], more: list[int]) -> None:
    names = [("requests", text) for text in "abc"]
    old = dict(zip(names, map(float, before), strict=True))
    new = {name: old[name] + extra for name, extra in zip(names, more, strict=True)}
    assert between(old, new, 1, 99).requests == sum(more)


def test_quantiles_lie_inside_of_their_bucket() -> None:
    buckets = {0.1: 10.0, 0.5: 90.0, float("inf"): 100.0}
    assert quantile(buckets, 5) == pytest.approx(0.05)
    assert quantile(buckets, 50) == pytest.approx(0.1 + 0.4 * 40 / 80)
    assert quantile(buckets, 99) == float("inf")
    assert quantile({}, 99) is None
    assert quantile({0.1: 0.0, float("inf"): 0.0}, 99) is None


@given(
    st.dictionaries(st.sampled_from([0.1, 0.2, 0.4, 0.8]), st.integers(0, 9), min_size=1),
    st.integers(1, 100),
)
def test_a_higher_quantile_is_never_lower(counts: dict[float, int], percentile: int) -> None:
    total, cumulative = 0.0, {}
    for bound in sorted(counts):
        total += counts[bound]
        cumulative[bound] = total
    cumulative[float("inf")] = total
    one, other = quantile(cumulative, percentile), quantile(cumulative, 100)
    assert (one is None) == (total == 0)
    assert one is None or other is None or one <= other


@pytest.mark.parametrize(
    ("analysis", "traffic", "word", "said"),
    [
        ({}, None, "Open", "0 of the 20 requests"),
        ({}, Traffic(19, 19, None, 1), "Open", "19 of the 20 requests"),
        ({"minRequests": 1}, Traffic(1, 0, None, 1), "Good", "0 of 1 requests failed"),
        ({}, Traffic(1000, 10, None, 1), "Good", "(1 %)"),
        ({}, Traffic(1000, 11, None, 1), "Bad", "more than 1 %"),
        ({"errorRate": 0}, Traffic(1000, 1, None, 1), "Bad", "more than 0 %"),
        ({"latency": "250ms"}, Traffic(100, 0, 0.2, 1), "Good", "p99 is 200 ms"),
        ({"latency": "250ms"}, Traffic(100, 0, 0.3, 1), "Bad", "p99 is 300 ms, more than 250 ms"),
        (
            {"latency": "250ms", "latencyPercentile": 50},
            Traffic(100, 0, float("inf"), 1),
            "Bad",
            "p50 is too long to measure",
        ),
    ],
)
def test_judgements(
    analysis: dict[str, object], traffic: Traffic | None, word: str, said: str
) -> None:
    verdict = judge(analysis, traffic)
    assert verdict.word == word
    assert said in verdict.message
