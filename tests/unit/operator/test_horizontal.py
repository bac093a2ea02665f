"""HorizontalPodAutoscalers: what each metric asks for, how fast, and what is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.clock import rfc3339
from cloudwright.model import conditions
from cloudwright.model.objects import Object
from cloudwright.operator.engines import replicas
from cloudwright.operator.engines.horizontal import (
    Decision,
    Measured,
    Scale,
    World,
    decide,
    quantity,
    scaled,
)
from cloudwright.operator.engines.replicas import Sample, Unknown
from cloudwright.operator.engines.scaling import Advice, Behavior, History, settle
from tests.unit.operator.builders import NOW

PLAIN = Behavior(rates=False)


def pod(name: str, *, ready: bool = True, phase: str = "Running", **changed: Any) -> Object:
    """A pod that asks for one core, started an hour ago."""
    since = rfc3339(NOW - timedelta(minutes=50))
    return {
        "metadata": {"name": name, **changed.pop("metadata", {})},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}], **changed},
        "status": {
            "phase": phase,
            "startTime": rfc3339(NOW - timedelta(hours=1)),
            "conditions": [
                {"type": "Ready", "status": str(ready), "lastTransitionTime": since},
            ],
        },
    }


def pods(*names: str) -> list[Object]:
    """Ready pods."""
    return [pod(name) for name in names]


def samples(**values: int) -> dict[str, Sample]:
    """Fresh samples in thousandths."""
    return {name: Sample(value, NOW) for name, value in values.items()}


def utilized(
    current: int, target: int, there: Sequence[Object], measured: Mapping[str, Sample]
) -> int:
    found = replicas.by_utilization(PLAIN, current, target, there, measured, NOW, resource="cpu")
    return found.replicas


@pytest.mark.parametrize(
    ("current", "target", "measured", "expected"),
    [
        (3, 30, {"a": 300, "b": 500, "c": 700}, 5),  # 50 % of 30 %
        (3, 30, {"a": 300, "b": 500}, 3),  # who is not measured uses nothing if it grows
        (3, 50, {"a": 100, "b": 100, "c": 100}, 1),
        (3, 50, {"a": 100, "b": 100}, 3),  # … and all when it shrinks
        (3, 100, {"a": 1050, "b": 1050, "c": 1050}, 3),  # within a tenth
        (3, 100, {"a": 910, "b": 910, "c": 910}, 3),
    ],
)  # fmt: skip
def test_utilization(current: int, target: int, measured: dict[str, int], expected: int) -> None:
    assert utilized(current, target, pods("a", "b", "c"), samples(**measured)) == expected


def test_starting_pods_damp_a_growth_and_pending_ones_too() -> None:
    there = [pod("a"), pod("b", ready=False), pod("c", phase="Pending")]
    there[1]["status"]["startTime"] = rfc3339(NOW - timedelta(seconds=60))
    # Alone `a` would ask for 2 of 1; with two that use nothing yet it is as wished.
    assert utilized(3, 50, there, samples(a=1000, b=1000)) == 3
    assert utilized(3, 20, there, samples(a=1000, b=1000)) == 5


def test_a_pod_that_was_ready_once_counts() -> None:
    there = [pod("a"), pod("b", ready=False)]
    assert utilized(2, 50, there, samples(a=1000, b=1000)) == 4


def test_a_sample_from_before_readiness_says_nothing() -> None:
    there = pods("a")
    there[0]["status"]["startTime"] = rfc3339(NOW - timedelta(seconds=90))
    there[0]["status"]["conditions"][0]["lastTransitionTime"] = rfc3339(NOW)
    with pytest.raises(Unknown, match=r"did not receive metrics for targeted pods"):
        utilized(1, 50, there, samples(a=1000))


def test_deleted_and_failed_pods_are_ignored() -> None:
    there = [
        pod("a"),
        pod("b", metadata={"deletionTimestamp": rfc3339(NOW)}),
        pod("c", phase="Failed"),
    ]
    assert utilized(3, 50, there, samples(a=1000, b=9000, c=9000)) == 2


def test_what_is_not_requested_is_told() -> None:
    with pytest.raises(Unknown, match=r"missing request for memory in container c of Pod a"):
        replicas.by_utilization(PLAIN, 1, 50, pods("a"), samples(a=1), NOW, resource="memory")
    with pytest.raises(Unknown, match=r"container x not found in Pod a"):
        replicas.by_utilization(
            PLAIN, 1, 50, pods("a"), samples(a=1), NOW, resource="cpu", container="x"
        )
    with pytest.raises(Unknown, match=r"no pods returned by selector"):
        utilized(1, 50, [], samples(a=1))


def test_requests_of_sidecars_and_of_the_pod() -> None:
    one = {"requests": {"cpu": "1"}}
    sidecar = {"name": "s", "restartPolicy": "Always", "resources": one}
    once = {"name": "i", "resources": one}
    there = [pod("a", initContainers=[sidecar, once])]
    found = replicas.by_utilization(PLAIN, 1, 50, there, samples(a=1000), NOW, resource="cpu")
    assert (found.percent, found.value, found.replicas) == (50, 1000, 1)
    there = [pod("a", resources={"requests": {"cpu": "4"}})]
    found = replicas.by_utilization(PLAIN, 1, 50, there, samples(a=1000), NOW, resource="cpu")
    assert found.percent == 25


def test_use_per_pod() -> None:
    found = replicas.by_use(PLAIN, 2, 10_000, pods("a", "b"), samples(a=20_000, b=10_000), NOW)
    assert (found.replicas, found.value) == (3, 15_000)
    # Memory counts from the first moment.
    there = pods("a")
    there[0]["status"]["startTime"] = rfc3339(NOW)
    assert replicas.by_use(PLAIN, 1, 1000, there, samples(a=2000), NOW).replicas == 2


def test_one_number_for_all() -> None:
    three = pods("a", "b", "c")
    assert replicas.by_total(PLAIN, 3, 10_000, 20_000, three).replicas == 6
    assert replicas.by_total(PLAIN, 3, 10_000, 10_900, []).replicas == 3
    assert replicas.by_share(PLAIN, 3, 10_000, 65_000) == replicas.Proposal(7, 21_667)
    assert replicas.by_share(PLAIN, 3, 10_000, 31_000).replicas == 3
    assert replicas.by_total(PLAIN, 3, 1, 2**62, three).replicas == 2**31 - 1


# -- windows, rates, bounds


def rules(up: Mapping[str, Any] | None = None, down: Mapping[str, Any] | None = None) -> Behavior:
    return Behavior.of({"behavior": {"scaleUp": up, "scaleDown": down}})


def step(behavior: Behavior, current: int, asked: int, history: History | None = None) -> Any:
    return settle(behavior, (1, 100), current, asked, history or History(), NOW)


def ago(seconds: float, number: int) -> Advice:
    return Advice(NOW - timedelta(seconds=seconds), number)


def test_without_a_behavior() -> None:
    assert step(PLAIN, 3, 50).replicas == 6
    assert step(PLAIN, 3, 50).limit[0] == "ScaleUpLimit"
    assert step(PLAIN, 1, 50).replicas == 4
    assert step(PLAIN, 50, 1).replicas == 1  # at once, when nothing else was asked for
    held = step(PLAIN, 50, 1, History([ago(299, 40), ago(301, 60)]))
    assert (held.replicas, held.able[0]) == (40, "ScaleDownStabilized")
    assert settle(PLAIN, (2, 5), 5, 50, History(), NOW).limit[0] == "TooManyReplicas"
    assert settle(PLAIN, (2, 5), 5, 1, History(), NOW).limit[0] == "TooFewReplicas"


def test_policies_look_back_over_what_was_done() -> None:
    up = {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}
    assert step(rules(up), 10, 50).replicas == 14
    done = History(changes=[(NOW - timedelta(seconds=30), 3), (NOW - timedelta(seconds=61), 9)])
    assert step(rules(up), 10, 50, done).replicas == 11
    # What went away meanwhile may come back.
    done = History(changes=[(NOW - timedelta(seconds=30), -2)])
    assert step(rules(up), 10, 50, done).replicas == 16
    down = {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
    }
    found = step(rules(down=down), 80, 1)
    assert (found.replicas, found.limit[0]) == (72, "ScaleDownLimit")


@pytest.mark.parametrize(
    ("select", "up", "down"), [("Max", 20, 7), ("Min", 13, 9), ("Disabled", 10, 10)]
)
def test_select_policy(select: str, up: int, down: int) -> None:
    policies = [
        {"type": "Pods", "value": 3, "periodSeconds": 60},
        {"type": "Percent", "value": 100, "periodSeconds": 60},
    ]
    grow = rules({"policies": policies, "selectPolicy": select})
    assert step(grow, 10, 50).replicas == up
    policies[1]["value"] = 10
    shrink = {"policies": policies, "selectPolicy": select, "stabilizationWindowSeconds": 0}
    assert step(rules(down=shrink), 10, 1).replicas == down


def test_windows_of_a_behavior() -> None:
    calm = rules({"stabilizationWindowSeconds": 60})
    found = step(calm, 4, 8, History([ago(30, 4), ago(90, 2)]))
    assert (found.replicas, found.able[0]) == (4, "ScaleUpStabilized")
    found = step(rules(), 8, 2, History([ago(200, 6)]))
    assert (found.replicas, found.able[0]) == (6, "ScaleDownStabilized")


def test_tolerance_of_a_behavior() -> None:
    wide = Behavior.of({"behavior": {"scaleUp": {"tolerance": "0.5"}, "scaleDown": {}}})
    assert replicas.by_total(wide, 2, 100, 149, pods("a", "b")).replicas == 2
    assert replicas.by_total(wide, 2, 100, 80, pods("a", "b")).replicas == 2  # ceil(1.6)
    assert replicas.by_total(wide, 4, 100, 70, pods(*"abcd")).replicas == 3


# -- the whole


def autoscaler(*metrics: Object, **spec: Any) -> Object:
    return {
        "metadata": {"name": "h", "namespace": "d", "generation": 1},
        "spec": {"minReplicas": 1, "maxReplicas": 10, "metrics": list(metrics), **spec},
    }


CPU: Object = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}
QUEUE: Object = {
    "type": "External",
    "external": {
        "metric": {"name": "queue"},
        "target": {"type": "AverageValue", "averageValue": "10"},
    },
}


def look(wish: Object, current: int, *measured: Measured | str, **more: Any) -> Decision:
    there = pods(*[f"p{number}" for number in range(current)])
    world = World(wish, Scale(current, current), there, measured, NOW)
    return decide(world, more.get("history") or History())


def entry(found: Decision, kind: str) -> tuple[str, str, str]:
    one = conditions.find(found.status["conditions"], kind) or {}
    return one["status"], one["reason"], one["message"]


def test_it_grows_and_says_why() -> None:
    history = History()
    found = look(autoscaler(CPU), 2, samples(p0=1000, p1=1000), history=history)
    assert (found.replicas, found.reason) == (
        4,
        "cpu resource utilization (percentage of request) above target",
    )
    text = "the HPA was able to successfully calculate a replica count from cpu resource"
    told = ("True", "ValidMetricFound", f"{text} utilization (percentage of request)")
    assert entry(found, "ScalingActive") == told
    current = {"averageUtilization": 100, "averageValue": "1"}
    assert found.status["currentMetrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "current": current}}
    ]
    scaled(found, history, 2, NOW)
    assert entry(found, "AbleToScale")[1] == "SucceededRescale"
    assert found.status["lastScaleTime"] == rfc3339(NOW)
    assert history.changes == [(NOW, 2)]


def test_the_largest_wish_counts() -> None:
    found = look(autoscaler(CPU, QUEUE), 2, samples(p0=500, p1=500), [50_000, 20_000])
    assert (found.replicas, found.reason) == (4, "external metric queue(nil) above target")
    assert entry(found, "ScalingLimited")[:2] == ("True", "ScaleUpLimit")
    shown = found.status["currentMetrics"][1]["external"]
    assert shown == {"metric": {"name": "queue"}, "current": {"averageValue": "35"}}


def test_without_all_metrics_it_never_shrinks() -> None:
    told = "unable to get external metric d/queue: no metrics returned from external metrics API"
    history = History()
    found = look(
        autoscaler(CPU, QUEUE), 4, samples(p0=100, p1=100, p2=100, p3=100), told, history=history
    )
    assert found.replicas is None
    text = f"failed to get queue external metric: {told}"
    reason = "FailedGetExternalMetric"
    assert entry(found, "ScalingActive") == (
        "False", reason, f"the HPA was unable to compute the replica count: {text}",
    )  # fmt: skip
    last = f"first error is: failed to get queue external metric value: {text}"
    assert found.notes == [
        ("Warning", reason, text),
        (
            "Warning",
            "FailedComputeMetricsReplicas",
            f"invalid metrics (1 invalid out of 2), {last}",
        ),
    ]
    grown = look(autoscaler(CPU, QUEUE), 1, samples(p0=1000), told)
    assert grown.replicas == 2


def test_a_target_out_of_bounds_needs_no_metric() -> None:
    found = look(autoscaler(CPU, maxReplicas=3), 5)
    assert (found.replicas, found.reason) == (
        3,
        "Current number of replicas above Spec.MaxReplicas",
    )
    found = look(autoscaler(CPU, minReplicas=2), 1)
    assert (found.replicas, found.reason) == (
        2,
        "Current number of replicas below Spec.MinReplicas",
    )
    found = look(autoscaler(CPU), 0)
    assert found.replicas is None
    assert entry(found, "ScalingActive")[1] == "ScalingDisabled"


def test_memory_of_one_container_and_objects() -> None:
    memory: Object = {
        "type": "ContainerResource",
        "containerResource": {
            "name": "memory",
            "container": "c",
            "target": {"type": "AverageValue", "averageValue": "64Mi"},
        },
    }
    hits: Object = {
        "type": "Object",
        "object": {
            "metric": {"name": "hits"},
            "describedObject": {
                "kind": "Ingress",
                "name": "web",
                "apiVersion": "networking.k8s.io/v1",
            },
            "target": {"type": "Value", "value": "2k"},
        },
    }
    use = samples(p0=128 * 2**20 * 1000, p1=64 * 2**20 * 1000)
    found = look(autoscaler(memory, hits), 2, use, [3_000_000])
    assert found.replicas == 3
    assert found.reason == "memory resource above target"
    first, second = found.status["currentMetrics"]
    assert first["containerResource"]["current"] == {"averageValue": "96Mi"}
    assert second["object"]["current"] == {"value": "3k"}


@given(st.integers(0, 10**18))
def test_quantities_read_back(thousandths: int) -> None:
    assert replicas.milli(quantity(thousandths)) == thousandths


@given(
    current=st.integers(1, 30),
    asked=st.integers(0, 200),
    history=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 60)), max_size=6),
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(-9, 9)), max_size=6),
    rates=st.booleans(),
)
def test_never_against_the_wish_nor_out_of_bounds(
    current: int,
    asked: int,
    history: list[tuple[int, int]],
    changes: list[tuple[int, int]],
    rates: bool,
) -> None:
    known = History(
        [ago(seconds, number) for seconds, number in history],
        [(NOW - timedelta(seconds=seconds), by) for seconds, by in changes],
    )
    found = settle(Behavior(rates=rates), (1, 30), current, asked, known, NOW)
    assert 1 <= found.replicas <= 30
    if asked > current:
        assert found.replicas >= current
    if rates and asked < current and all(one.replicas <= current for one in known.advice[:-1]):
        assert found.replicas <= current
    assert known.advice[-1] == Advice(NOW, asked)
