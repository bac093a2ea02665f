from __future__ import annotations

from typing import Any

import pytest

from cloudwright.node.why import explain


def pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "d"},
        "spec": {"nodeName": "n", "restartPolicy": "Never", "containers": [{"name": "app"}]},
        "status": status,
    }


def container(state: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"name": "app", "image": "x:1", "state": state, "ready": False, **more}]


def condition(kind: str, status: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


STARTED = condition("PodReadyToStartContainers", "True")
UNREADY = condition("Ready", "False", reason="ContainersNotReady")
PROBE = {"reason": "Unhealthy", "message": "Readiness probe failed: HTTP … 503"}
OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
CASES = [
    (
        {**pod(conditions=[condition("PodScheduled", "False", message="0/1 nodes")]), "spec": {}},
        [],
        "it is not scheduled: 0/1 nodes",
    ),
    (
        pod(containerStatuses=container({"waiting": {"reason": "ErrImagePull", "message": "m"}})),
        [],
        'container "app" waits for its image: m',
    ),
    (
        pod(
            containerStatuses=container(
                {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}},
                lastState=OOM,
                restartCount=4,
            )
        ),
        [],
        "used more memory than its limit and was killed (OOM) (4 restarts); back-off 10s",
    ),
    (
        pod(
            conditions=[STARTED, UNREADY],
            containerStatuses=container({"running": {}}, started=True),
        ),
        [PROBE],
        "Readiness probe failed: HTTP … 503",
    ),
    (
        pod(phase="Failed", containerStatuses=container({"terminated": {"exitCode": 143}})),
        [],
        "was ended by signal 15 (exit code 143), and restartPolicy is Never",
    ),
    (
        pod(conditions=[condition("PodReadyToStartContainers", "False")]),
        [{"reason": "FailedCreatePodSandBox", "message": "no address is free"}],
        "cannot be made: no address is free",
    ),
    (
        pod(conditions=[STARTED, condition("Ready", "True")]),
        [],
        "it is ready and gets requests",
    ),
    (
        pod(
            conditions=[
                STARTED,
                condition("Ready", "False", reason="SidecarNotReady", message="no sidecar"),
            ],
            containerStatuses=container({"running": {}}),
        ),
        [],
        "it is not ready: no sidecar",
    ),
    (
        pod(containerStatuses=container({"waiting": {"reason": "ContainerCreating"}})),
        [{"reason": "FailedMount", "message": 'configmap "c" not found'}],
        'waits for a volume: configmap "c" not found',
    ),
]


@pytest.mark.parametrize(("obj", "events", "text"), CASES)
def test_the_first_cause_is_named(obj: dict[str, Any], events: list[Any], text: str) -> None:
    assert text in explain(obj, events).text


def test_a_pod_that_is_deleted_says_what_it_waits_for() -> None:
    obj = pod(containerStatuses=container({"running": {}}))
    obj["metadata"]["deletionTimestamp"] = "T"
    hook = {"reason": "FailedPreStopHook", "message": "exit 1", "lastTimestamp": "1"}
    answer = explain(obj, [hook])
    assert "still running: app" in answer.text
    assert answer.evidence == ("FailedPreStopHook: exit 1",)
