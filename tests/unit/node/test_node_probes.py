from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudwright.node import probes

CONTAINER = {
    "ports": [{"name": "http", "containerPort": 8080}],
    "readinessProbe": {
        "httpGet": {"port": "http", "path": "/r"}, "periodSeconds": 5, "successThreshold": 2,
    },
    "livenessProbe": {"tcpSocket": {"port": 9}, "failureThreshold": 2, "initialDelaySeconds": 4},
    "startupProbe": {"grpc": {"port": 7, "service": "s"}, "failureThreshold": 3},
}  # fmt: skip


def begin(kind: probes.Kind) -> probes.ProbeState:
    spec = probes.spec_of(CONTAINER, kind)
    assert spec is not None
    return probes.begin(spec, 100.0)


def test_defaults_named_ports_and_requests() -> None:
    state = begin("readiness")
    assert probes.mesh_request(state.spec) == {
        "type": "http", "port": 8080, "path": "/r", "headers": {}, "scheme": "http",
        "timeout_ms": 1000,
    }  # fmt: skip
    assert state.next_at == 100.0, "the first question is asked at once"
    assert begin("liveness").next_at == 104.0
    assert probes.mesh_request(begin("startup").spec)["service"] == "s"
    assert probes.spec_of({}, "liveness") is None


def test_readiness_needs_its_thresholds() -> None:
    state = begin("readiness")
    oks = []
    for time, answer in enumerate([True, True, False, False, False, True, True]):
        outcome = probes.observe(state, answer, "no", 100.0 + 5 * time)
        state = outcome.state
        oks.append(state.ok)
        assert not outcome.exhausted
    assert oks == [False, True, True, True, False, False, True]


def test_eager_failures_of_a_start_are_not_counted() -> None:
    state, now, counted = begin("startup"), 100.0, 0
    for _ in range(200):
        outcome = probes.observe(state, False, "no", now)
        state, counted = outcome.state, counted + (outcome.warning is not None)
        if outcome.exhausted:
            break
        assert state.next_at > now
        now = state.next_at
    assert counted == 3
    assert now == 120.0, "three failures, one period apart"


@given(st.lists(st.booleans(), max_size=60))
def test_liveness_is_exhausted_only_by_failures_in_a_row(answers: list[bool]) -> None:
    state, row = begin("liveness"), 0
    for answer in answers:
        outcome = probes.observe(state, answer, "no", state.next_at)
        assert outcome.state.next_at >= state.next_at + state.spec.period
        state, row = outcome.state, 0 if answer else row + 1
        assert outcome.exhausted == (row >= 2)
        assert state.ok == (row < 2 and (state.ok or answer))
