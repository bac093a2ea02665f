"""Jobs: every pod that ended is counted once, wherever the controller is interrupted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright._base.clock import rfc3339
from cloudwright.model import conditions
from cloudwright.model.objects import Object, finalizers_of, uid_of
from cloudwright.operator.engines import job as engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Cluster:
    """A Job and its pods; each step may be cut short after any of its writes."""

    def __init__(self, **spec: Any) -> None:
        body = {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "c"}]}}
        self.job: Object = {
            "kind": "Job",
            "apiVersion": "batch/v1",
            "metadata": {"name": "j", "namespace": "d", "uid": "j"},
            "spec": {"template": body, "backoffLimit": 1000, **spec},
        }
        self.pods: list[Object] = []
        self.now = NOW
        self.ended = {"Succeeded": 0, "Failed": 0}
        self.made = 0

    def step(self, writes: int) -> None:
        """One look of the controller, with at most so many writes."""
        found = engine.step(self.job, self.pods, self.now)
        effects: list[Any] = [lambda: self.job.update(status=found.status)]
        effects += [lambda pod=pod: self.release(pod) for pod in found.release]
        effects += [lambda pod=pod: self.release(pod) for pod in found.drop]
        ending = [*found.delete, *found.drop]
        effects += [lambda pod=pod: self.delete(pod) for pod in ending]
        effects += [lambda place=place: self.create(place) for place in found.create]
        for effect in effects[:writes]:
            effect()

    def release(self, pod: Object) -> None:
        pod["metadata"]["finalizers"] = []
        self.sweep()

    def delete(self, pod: Object) -> None:
        pod["metadata"]["deletionTimestamp"] = rfc3339(self.now)
        self.sweep()

    def sweep(self) -> None:
        gone = [p for p in self.pods if "deletionTimestamp" in p["metadata"]]
        for pod in gone:
            if not finalizers_of(pod):
                self.pods.remove(pod)

    def create(self, place: engine.Place) -> None:
        self.made += 1
        pod = engine.new_pod(self.job, place)
        pod["metadata"] |= {
            "uid": f"p{self.made}",
            "name": f"p{self.made}",
            "creationTimestamp": rfc3339(self.now),
        }
        pod["status"] = {"phase": "Running"}
        self.pods.append(pod)

    def end(self, which: int, phase: str) -> None:
        running = [p for p in self.pods if p["status"]["phase"] == "Running"]
        alive = [p for p in running if "deletionTimestamp" not in p["metadata"]]
        if alive:
            alive[which % len(alive)]["status"]["phase"] = phase
            self.ended[phase] += 1

    @property
    def status(self) -> Object:
        return dict(self.job.get("status") or {})


moves = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(0, 6)),
        st.tuples(st.just("succeed"), st.integers(0, 5)),
        st.tuples(st.just("fail"), st.integers(0, 5)),
    ),
    max_size=60,
)


def play(cluster: Cluster, script: list[tuple[str, int]]) -> None:
    for what, number in script:
        cluster.now += timedelta(minutes=15)  # longer than any back-off
        if what == "step":
            cluster.step(number)
        else:
            cluster.end(number, "Succeeded" if what == "succeed" else "Failed")
    for _ in range(200):  # uninterrupted to the end
        cluster.now += timedelta(minutes=15)
        cluster.step(1000)
        if engine.finished(cluster.job):
            return
        cluster.end(0, "Succeeded")
    raise AssertionError(f"never finished: {cluster.status}")


@settings(max_examples=150, deadline=None)
@given(moves)
def test_each_pod_counts_once(script: list[tuple[str, int]]) -> None:
    cluster = Cluster(completions=6, parallelism=3)
    play(cluster, script)
    status = cluster.status
    assert conditions.is_true(status["conditions"], "Complete")
    assert status["succeeded"] == cluster.ended["Succeeded"]
    assert status.get("failed", 0) == cluster.ended["Failed"]
    assert status.get("succeeded", 0) + status.get("failed", 0) == cluster.made
    assert not status["uncountedTerminatedPods"]
    assert all(engine.TRACKING not in finalizers_of(pod) for pod in cluster.pods)


@settings(max_examples=100, deadline=None)
@given(moves)
def test_each_index_is_done_once(script: list[tuple[str, int]]) -> None:
    cluster = Cluster(completions=5, parallelism=2, completionMode="Indexed")
    play(cluster, script)
    status = cluster.status
    assert status["completedIndexes"] == "0-4"
    assert status["succeeded"] == 5


def test_a_failed_pod_delays_the_next() -> None:
    cluster = Cluster(completions=1)
    cluster.step(10)
    cluster.end(0, "Failed")
    cluster.step(10)
    found = engine.step(cluster.job, cluster.pods, cluster.now)
    assert found.create == []
    assert found.again == 10.0
    cluster.now += timedelta(seconds=10)
    assert engine.step(cluster.job, cluster.pods, cluster.now).create == [engine.Place()]


def test_the_failure_policy_ends_ignores_or_counts() -> None:
    rules = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
    ]
    cluster = Cluster(completions=1, podFailurePolicy={"rules": rules})
    cluster.step(10)
    pod = cluster.pods[0]
    pod["status"] = {
        "phase": "Failed",
        "conditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    cluster.step(10)
    assert cluster.status.get("failed") is None
    cluster.now += timedelta(minutes=1)
    cluster.step(10)
    ended = {"state": {"terminated": {"exitCode": 42}}, "name": "c"}
    cluster.pods[-1]["status"] = {"phase": "Failed", "containerStatuses": [ended]}
    for _ in range(3):
        cluster.step(10)
    entry = conditions.find(cluster.status["conditions"], "Failed") or {}
    assert entry["reason"] == "PodFailurePolicy"
    assert uid_of(cluster.pods[-1])
