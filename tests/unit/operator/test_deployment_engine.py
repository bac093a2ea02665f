"""One step of a Deployment at a time: revisions, history, pause, deadline, Recreate."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cloudwright.model.conditions import find
from cloudwright.model.objects import annotations_of
from cloudwright.operator.engines import revisions
from cloudwright.operator.engines.actions import Create, Delete, Patch, Plan, Update
from cloudwright.operator.engines.deployment import bounds_of, plan
from cloudwright.operator.engines.templates import grants, same_template, template_hash
from tests.unit.operator.builders import NOW, deployment, pod, stamp, template

ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def made(wish: dict[str, Any], replicas: int, revision: int, ready: int | None = None, **meta: Any):
    """A ReplicaSet as the engine would make it for a Deployment, settled at ``replicas``."""
    found = revisions.new_replica_set(wish, replicas, revision, bounds_of(wish))
    count = replicas if ready is None else ready
    found["metadata"].update(
        uid=f"uid-{found['metadata']['name']}", generation=1, creationTimestamp=stamp(revision),
        resourceVersion="1", **meta,
    )  # fmt: skip
    found["status"] = {
        "replicas": replicas,
        "readyReplicas": count,
        "availableReplicas": count,
        "observedGeneration": 1,
    }
    return found


def progress(step: Plan) -> dict[str, Any]:
    assert step.status is not None
    return find(step.status["conditions"], "Progressing") or {}


def test_the_first_step_makes_a_replica_set_and_records_its_revision() -> None:
    step = plan(deployment(strategy=ROLLING), [], [], NOW)
    create, patch = step.actions
    assert isinstance(create, Create)
    assert create.obj["spec"]["replicas"] == 3
    label = create.obj["metadata"]["labels"]["pod-template-hash"]
    assert create.obj["spec"]["selector"]["matchLabels"]["pod-template-hash"] == label
    assert create.obj["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] == label
    assert isinstance(patch, Patch)
    assert patch.body["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert progress(step)["reason"] == "NewReplicaSetCreated"
    assert step.requeue_after is not None


def test_a_finished_roll_out_is_complete_and_plans_nothing() -> None:
    wish = deployment(strategy=ROLLING)
    wish["metadata"]["annotations"] = {revisions.REVISION: "1"}
    step = plan(wish, [made(wish, 3, 1)], [], NOW)
    assert step.actions == ()
    assert progress(step)["reason"] == "NewReplicaSetAvailable"
    assert step.requeue_after is None


def test_going_back_to_an_old_template_gives_it_a_new_revision_and_remembers_the_old() -> None:
    first, second = deployment(image="web:1", strategy=ROLLING), deployment(image="web:2")
    old, current = made(first, 0, 1), made(second, 3, 2)
    first["metadata"]["annotations"] = {revisions.REVISION: "2"}
    step = plan(first, [old, current], [], NOW)
    update = next(a for a in step.actions if isinstance(a, Update))
    found = annotations_of(update.obj)
    assert found[revisions.REVISION] == "3"
    assert found[revisions.HISTORY] == "1"
    assert update.obj["spec"]["replicas"] == 1


def test_a_roll_out_without_progress_times_out_after_its_deadline() -> None:
    wish = deployment(image="web:2", strategy=ROLLING, progressDeadlineSeconds=60)
    old, new = made(deployment(image="web:1"), 3, 1), made(wish, 1, 2, ready=0)
    for each in (old, new):
        each["metadata"]["annotations"].update(revisions.size_annotations(bounds_of(wish)))
    wish["metadata"]["annotations"] = {revisions.REVISION: "2"}
    step = plan(wish, [old, new], [], NOW)
    assert progress(step)["reason"] == "ReplicaSetUpdated"
    later = {**wish, "status": step.status}
    step = plan(later, [old, new], [], NOW + timedelta(seconds=59))
    assert progress(step)["status"] == "True"
    assert step.requeue_after is not None
    assert 2 <= step.requeue_after < 3
    step = plan(later, [old, new], [], NOW + timedelta(seconds=61))
    assert progress(step)["reason"] == "ProgressDeadlineExceeded"
    assert step.actions == ()
    assert step.requeue_after is None
    # Time that the controllers slept through is not the new version's fault.
    late = NOW + timedelta(hours=1)
    step = plan(later, [old, new], [], late, awake=late - timedelta(seconds=10))
    assert progress(step)["status"] == "True"
    assert step.requeue_after is not None
    assert 50 < step.requeue_after < 53


def test_a_deadline_starts_anew_with_each_roll_out_also_to_a_known_template() -> None:
    third = deployment(image="web:3", strategy=ROLLING)
    third["metadata"].update(generation=3, annotations={revisions.REVISION: "2"})
    third["status"] = {
        "observedGeneration": 2,
        "replicas": 4,
        "updatedReplicas": 1,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "conditions": [
            {
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "lastUpdateTime": stamp(-900),
                "lastTransitionTime": stamp(-900),
            }
        ],
    }
    sets = [made(third, 0, 1), made(deployment(image="bad"), 1, 2, ready=0)]
    step = plan(third, [*sets, made(deployment(image="web:1"), 3, 0)], [], NOW)
    assert progress(step)["reason"] == "FoundNewReplicaSet"
    assert progress(step)["lastUpdateTime"] == stamp()


def test_only_empty_settled_history_beyond_the_limit_is_forgotten() -> None:
    wish = deployment(image="web:9", revisionHistoryLimit=1, strategy=ROLLING)
    wish["metadata"]["annotations"] = {revisions.REVISION: "9"}
    olds = [made(deployment(image=f"web:{i}"), 0, i) for i in range(1, 5)]
    olds[1]["status"]["observedGeneration"] = 0
    olds[2]["metadata"]["deletionTimestamp"] = stamp()
    step = plan(wish, [*olds, made(wish, 3, 9)], [], NOW)
    gone = [a.name for a in step.actions if isinstance(a, Delete)]
    assert gone == [olds[0]["metadata"]["name"]]


def test_recreate_waits_for_the_last_old_pod() -> None:
    wish = deployment(image="web:2", strategy={"type": "Recreate"})
    old = made(deployment(image="web:1"), 3, 1)
    step = plan(wish, [old], [], NOW)
    assert [a.obj["spec"]["replicas"] for a in step.actions if isinstance(a, Update)] == [0]
    old["spec"]["replicas"] = 0
    ending = pod("x", owner=old["metadata"]["uid"], deleted=True)
    assert plan(wish, [old], [ending], NOW).actions == ()
    step = plan(wish, [old], [], NOW)
    assert any(isinstance(a, Create) for a in step.actions)


def test_a_paused_deployment_is_scaled_but_not_rolled() -> None:
    wish = deployment(replicas=5, image="web:2", paused=True, strategy=ROLLING)
    old = made(deployment(image="web:1"), 3, 1)
    step = plan(wish, [old], [], NOW)
    assert [a.obj["spec"]["replicas"] for a in step.actions if isinstance(a, Update)] == [5]
    assert not any(isinstance(a, Create) for a in step.actions)
    assert progress(step)["reason"] == "DeploymentPaused"
    resumed = {**deployment(replicas=5, image="web:2"), "status": step.status}
    assert progress(plan(resumed, [old], [], NOW))["reason"] in (
        "DeploymentResumed",
        "NewReplicaSetCreated",
    )


def test_scaling_in_the_middle_of_a_roll_out_is_shared() -> None:
    small = deployment(replicas=10, image="web:1", strategy=ROLLING)
    big = deployment(replicas=20, image="web:2", strategy=ROLLING)
    old, new = made(small, 8, 1), made(deployment(replicas=10, image="web:2"), 3, 2)
    new["metadata"]["annotations"].update(revisions.size_annotations(bounds_of(small)))
    step = plan(big, [old, new], [], NOW)
    sizes = [a.obj["spec"]["replicas"] for a in step.actions if isinstance(a, Update)]
    assert sum(sizes) == 21
    assert sizes[0] > 8
    assert sizes[1] > 3


def test_a_selector_that_selects_all_is_refused() -> None:
    step = plan(deployment(selector={}), [], [], NOW)
    assert step.actions == ()
    assert [note.reason for note in step.notes] == ["SelectingAll"]


def test_templates_are_compared_without_what_servers_add() -> None:
    one, other = template(), template()
    other["metadata"]["labels"]["pod-template-hash"] = "abc"
    other["metadata"]["creationTimestamp"] = None
    other["spec"]["containers"][0]["resources"] = {}
    other["spec"]["dnsPolicy"] = ""
    assert same_template(one, other)
    assert template_hash(one) == template_hash(other)
    assert template_hash(one) != template_hash(one, 1)
    assert grants({"a": [{"b": 1, "default": 2}]}, {"a": [{"b": 1}]})
    assert not grants({"a": [{"b": 1}, {"c": 2}]}, {"a": [{"b": 1}]})
    assert grants(None, {})
    assert not grants({"a": None}, {"a": {"b": 1}})
