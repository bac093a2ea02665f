"""Jobs: when it is enough, what replaces what, what suspending and indexes do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.clock import rfc3339
from cloudwright.model import conditions
from cloudwright.model.objects import annotations_of, deleting, name_of
from cloudwright.operator.engines import job as engine
from cloudwright.operator.engines import job_policies as policies
from cloudwright.operator.engines.indexes import numbers, ranges
from tests.unit.operator.test_job_engine import Cluster

Rules = list[dict[str, Any]]


def indexed(**spec: Any) -> Cluster:
    """An indexed Job whose pods are there."""
    cluster = Cluster(completionMode="Indexed", **spec)
    cluster.step(100)
    return cluster


def ends(cluster: Cluster, index: int, phase: str) -> None:
    """The running pod of an index ends."""
    for pod in cluster.pods:
        if engine.index_of(pod) == index and pod["status"]["phase"] == "Running":
            pod["status"]["phase"] = phase


@pytest.mark.parametrize(
    ("rules", "done", "index"),
    [
        ([{"succeededIndexes": "0,2"}], {0, 2}, 0),
        ([{"succeededIndexes": "0,2"}], {0, 1}, None),
        ([{"succeededIndexes": "0-3", "succeededCount": 2}], {0, 3}, 0),
        ([{"succeededIndexes": "1-3", "succeededCount": 2}], {0, 3}, None),
        ([{"succeededCount": 3}], {0, 1}, None),
        ([{"succeededCount": 3}, {"succeededIndexes": "1"}], {0, 1}, 1),
        ([{"succeededIndexes": "9"}, {"succeededCount": 1}], {2}, 1),
        ([{"succeededCount": 0}], set(), None),
    ],
)
def test_success_policy(rules: Rules, done: set[int], index: int | None) -> None:
    job = {"spec": {"completions": 4, "successPolicy": {"rules": rules}}}
    wanted = None if index is None else f"Matched rules at index {index}"
    assert policies.enough(job, done) == wanted


def test_success_policy_ends_what_still_runs_and_counts_it_for_nothing() -> None:
    rules = [{"succeededIndexes": "0"}]
    cluster = indexed(completions=3, parallelism=3, successPolicy={"rules": rules})
    assert len(cluster.pods) == 3
    ends(cluster, 0, "Succeeded")
    cluster.step(100)
    entry = conditions.find(cluster.status["conditions"], "SuccessCriteriaMet") or {}
    assert entry["reason"] == "SuccessPolicy"
    assert entry["message"] == "Matched rules at index 0"
    assert not conditions.is_true(cluster.status["conditions"], "Complete")
    cluster.step(100)
    final = conditions.find(cluster.status["conditions"], "Complete") or {}
    assert (final["reason"], final["message"]) == ("SuccessPolicy", "Matched rules at index 0")
    assert cluster.status["succeeded"] == 1
    assert "failed" not in cluster.status
    assert cluster.status["completedIndexes"] == "0"
    assert len(cluster.pods) == 1


def test_what_failed_before_the_policy_matched_keeps_its_verdict() -> None:
    rules = [{"succeededCount": 1}]
    cluster = indexed(completions=2, parallelism=2, backoffLimit=0, successPolicy={"rules": rules})
    ends(cluster, 0, "Succeeded")
    ends(cluster, 1, "Failed")
    cluster.step(100)
    assert conditions.is_true(cluster.status["conditions"], "FailureTarget")
    assert not conditions.is_true(cluster.status["conditions"], "SuccessCriteriaMet")


def test_suspended_pods_are_no_failures() -> None:
    cluster = Cluster(completions=2, parallelism=2)
    cluster.step(100)
    cluster.job["spec"]["suspend"] = True
    cluster.step(100)
    assert cluster.pods == []
    assert "failed" not in cluster.status
    assert "startTime" not in cluster.status
    cluster.job["spec"]["suspend"] = False
    cluster.now += timedelta(seconds=1)
    cluster.step(100)
    entry = conditions.find(cluster.status["conditions"], "Suspended") or {}
    assert (entry["status"], entry["reason"]) == ("False", "JobResumed")
    assert cluster.status["startTime"] == rfc3339(cluster.now)
    assert len(cluster.pods) == 2


def test_lower_parallelism_ends_pods_that_count_for_nothing() -> None:
    cluster = Cluster(completions=5, parallelism=3)
    cluster.step(100)
    cluster.job["spec"]["parallelism"] = 1
    cluster.step(100)
    assert len(cluster.pods) == 1
    assert "failed" not in cluster.status


@pytest.mark.parametrize("policy", ["Failed", "TerminatingOrFailed"])
def test_when_a_deleted_pod_is_replaced(policy: str) -> None:
    cluster = Cluster(completions=1, podReplacementPolicy=policy)
    cluster.step(100)
    cluster.delete(cluster.pods[0])
    cluster.now += timedelta(minutes=15)
    cluster.step(100)
    assert cluster.status.get("terminating") == 1
    running = [pod for pod in cluster.pods if not deleting(pod)]
    if policy == "TerminatingOrFailed":
        assert len(running) == 1
        return
    assert running == []
    cluster.pods[0]["status"]["phase"] = "Failed"
    cluster.step(100)  # counted, released
    cluster.now += timedelta(minutes=15)
    cluster.step(100)
    assert cluster.status["failed"] == 1
    assert len(cluster.pods) == 1


def test_a_pod_of_an_index_knows_how_often_it_failed() -> None:
    cluster = indexed(completions=2, parallelism=2, backoffLimitPerIndex=1)
    ends(cluster, 1, "Failed")
    cluster.step(100)
    # Kept with its finalizer until it is replaced, and not counted before.
    assert len(cluster.pods) == 2
    assert engine.TRACKING in cluster.pods[1]["metadata"]["finalizers"]
    found = engine.step(cluster.job, cluster.pods, cluster.now)
    assert found.create == []
    assert found.again == 10.0
    cluster.now += timedelta(seconds=10)
    cluster.step(100)
    newest = cluster.pods[-1]
    assert annotations_of(newest)[policies.FAILURES] == "1"
    ends(cluster, 1, "Failed")
    cluster.step(100)
    assert cluster.status["failedIndexes"] == "1"
    ends(cluster, 0, "Succeeded")
    for _ in range(3):
        cluster.step(100)
    entry = conditions.find(cluster.status["conditions"], "Failed") or {}
    assert entry["reason"] == "FailedIndexes"
    assert cluster.status["failed"] == 2


def test_ignored_failures_of_an_index_are_counted_apart() -> None:
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
    cluster = indexed(completions=1, backoffLimitPerIndex=0, podFailurePolicy={"rules": rules})
    cluster.pods[0]["status"] = {
        "phase": "Failed",
        "conditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    cluster.now += timedelta(minutes=15)
    cluster.step(100)
    told = annotations_of(cluster.pods[-1])
    assert (told[policies.FAILURES], told[policies.IGNORED]) == ("0", "1")
    assert cluster.status["failedIndexes"] == ""


def test_of_two_pods_with_one_index_one_goes() -> None:
    cluster = indexed(completions=2, parallelism=2)
    cluster.create(engine.Place(0))
    cluster.pods[0]["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    found = engine.step(cluster.job, cluster.pods, cluster.now)
    assert [name_of(pod) for pod in found.drop] == ["p3"]


def test_restarts_reach_the_limit() -> None:
    cluster = Cluster(completions=1, backoffLimit=2)
    cluster.job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    cluster.step(100)
    cluster.pods[0]["status"]["containerStatuses"] = [{"name": "c", "restartCount": 1}]
    assert not policies.restarted_too_often(cluster.job, cluster.pods)
    cluster.pods[0]["status"]["initContainerStatuses"] = [{"name": "i", "restartCount": 1}]
    assert policies.restarted_too_often(cluster.job, cluster.pods)
    cluster.step(100)
    assert conditions.is_true(cluster.status["conditions"], "FailureTarget")


def test_messages_of_the_failure_policy() -> None:
    rules = [
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [1]}},
        {"action": "FailJob", "onPodConditions": [{"type": "ConfigIssue", "status": "True"}]},
    ]
    job = {"spec": {"podFailurePolicy": {"rules": rules}}}
    pod: dict[str, Any] = {"metadata": {"name": "p", "namespace": "d"}}
    pod["status"] = {
        "phase": "Failed",
        "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 5}}}],
    }
    told = "Container c for pod d/p failed with exit code 5 matching FailJob rule at index 0"
    assert policies.action_on(job, pod) == ("FailJob", told)
    pod["status"] = {"conditions": [{"type": "ConfigIssue", "status": "True"}]}
    told = "Pod d/p has condition ConfigIssue matching FailJob rule at index 1"
    assert policies.action_on(job, pod) == ("FailJob", told)


@given(st.sets(st.integers(0, 60)))
def test_ranges_read_back(found: set[int]) -> None:
    assert numbers(ranges(found)) == found
    assert numbers(ranges(found), 30) == {number for number in found if number < 30}
