"""Deployments, ReplicaSets, scheduler and endpoints against the real API core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, annotations_of, deleting
from cloudwright.model.resources import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    POD,
    REPLICA_SET,
    SERVICE,
)
from cloudwright.operator.engines.deployment_status import is_complete
from tests.integration.operator_world import eventually, world

pytestmark = pytest.mark.anyio
WORKLOADS = ("deployment", "replicaset", "endpoints", "gc")


def deployment(image: str = "web:1", replicas: int = 3, **spec: Any) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "app",
                            "image": image,
                            "ports": [{"name": "http", "containerPort": 8080}],
                        }
                    ]
                },
            },
            **spec,
        },
    }


def complete(obj: Object) -> bool:
    return is_complete(obj, obj.get("status") or {})


def image_patch(image: str) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}


async def test_a_deployment_rolls_out_and_back(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=WORKLOADS) as w:
        await w.client.create(DEPLOYMENT, deployment())
        first = await w.until(DEPLOYMENT, "web", complete)
        assert annotations_of(first)["deployment.kubernetes.io/revision"] == "1"
        assert find(first["status"]["conditions"], "Progressing")["reason"] == (
            "NewReplicaSetAvailable"
        )
        await w.client.patch(DEPLOYMENT, "web", image_patch("web:2"), "default", kind="strategic")
        second = await w.until(
            DEPLOYMENT,
            "web",
            lambda o: complete(o) and annotations_of(o)["deployment.kubernetes.io/revision"] == "2",
        )
        sets = await w.items(REPLICA_SET)
        assert sorted(rs["spec"]["replicas"] for rs in sets) == [0, 3]
        assert second["status"]["readyReplicas"] == 3
        # `kubectl rollout undo` writes the old template back: the old ReplicaSet is used again.
        await w.client.patch(DEPLOYMENT, "web", image_patch("web:1"), "default", kind="strategic")
        await w.until(
            DEPLOYMENT,
            "web",
            lambda o: complete(o) and annotations_of(o)["deployment.kubernetes.io/revision"] == "3",
        )
        sets = await w.items(REPLICA_SET)
        assert len(sets) == 2
        pods = [p for p in await w.items(POD) if not deleting(p)]
        assert {p["spec"]["containers"][0]["image"] for p in pods} == {"web:1"}


async def test_a_bad_image_takes_no_capacity_and_is_reported(tmp_path: Path) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    async with world(tmp_path, controllers=WORKLOADS) as w:
        obj = deployment(strategy=rolling, progressDeadlineSeconds=1, minReadySeconds=0)
        await w.client.create(DEPLOYMENT, obj)
        await w.until(DEPLOYMENT, "web", complete)
        await w.client.patch(DEPLOYMENT, "web", image_patch("bad:2"), "default", kind="strategic")
        stuck = await w.until(
            DEPLOYMENT,
            "web",
            lambda o: (
                (find(o["status"].get("conditions"), "Progressing") or {}).get("reason")
                == "ProgressDeadlineExceeded"
            ),
        )
        assert stuck["status"]["availableReplicas"] == 3
        assert stuck["status"]["replicas"] == 4
        assert find(stuck["status"]["conditions"], "Available")["status"] == "True"


async def test_recreate_ends_the_old_pods_first(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=WORKLOADS) as w:
        obj = deployment(strategy={"type": "Recreate"})
        await w.client.create(DEPLOYMENT, obj)
        await w.until(DEPLOYMENT, "web", complete)
        w.node.frozen = True  # the old pods cannot end
        await w.client.patch(DEPLOYMENT, "web", image_patch("web:2"), "default", kind="strategic")

        async def all_end() -> bool:
            pods = await w.items(POD)
            assert all(p["spec"]["containers"][0]["image"] == "web:1" for p in pods)
            return all(deleting(p) for p in pods)

        await eventually(all_end)
        w.node.frozen = False
        w.node.kick()
        await w.until(
            DEPLOYMENT,
            "web",
            lambda o: complete(o) and annotations_of(o)["deployment.kubernetes.io/revision"] == "2",
        )


async def test_a_paused_deployment_waits_and_resumes(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=WORKLOADS) as w:
        await w.client.create(DEPLOYMENT, deployment(paused=True))
        await w.until(
            DEPLOYMENT,
            "web",
            lambda o: (
                (find((o.get("status") or {}).get("conditions"), "Progressing") or {}).get("reason")
                == "DeploymentPaused"
            ),
        )
        assert await w.items(REPLICA_SET) == []
        await w.client.patch(DEPLOYMENT, "web", {"spec": {"paused": False}}, "default")
        await w.until(DEPLOYMENT, "web", complete)


async def test_scaling_makes_and_ends_exactly_the_difference(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=WORKLOADS) as w:
        await w.client.create(DEPLOYMENT, deployment())
        await w.until(DEPLOYMENT, "web", complete)
        for count in (7, 2, 5):
            await w.client.patch(DEPLOYMENT, "web", {"spec": {"replicas": count}}, "default")
            await w.until(DEPLOYMENT, "web", complete)
        assert len(w.node.started) == 10  # 3 + 4 + 3
        await w.client.delete(DEPLOYMENT, "web", "default")

        async def gone() -> bool:
            return not await w.items(POD) and not await w.items(REPLICA_SET)

        await eventually(gone)


async def test_endpoints_follow_the_pods(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=WORKLOADS) as w:
        ports = [{"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}]
        await w.client.create(
            SERVICE,
            {
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"selector": {"app": "web"}, "ports": ports},
            },
        )
        await w.client.create(DEPLOYMENT, deployment())
        await w.until(DEPLOYMENT, "web", complete)

        async def three() -> bool:
            slices = await w.items(ENDPOINT_SLICE, label_selector="kubernetes.io/service-name=web")
            return [len(s["endpoints"]) for s in slices] == [3]

        await eventually(three)
        found = (await w.items(ENDPOINT_SLICE))[0]
        assert found["ports"] == [
            {"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http"}
        ]
        await w.until(
            ENDPOINTS,
            "web",
            lambda o: [len(s["addresses"]) for s in o.get("subsets") or []] == [3],
        )
        w.node.frozen = True
        pod = (await w.items(POD))[0]
        await w.client.delete(POD, pod["metadata"]["name"], "default")

        def going(obj: Object) -> bool:
            wanted = {"ready": False, "serving": True, "terminating": True}
            return any(
                e["conditions"] == wanted and e["targetRef"]["uid"] == pod["metadata"]["uid"]
                for e in obj["endpoints"]
            )

        await w.until(ENDPOINT_SLICE, found["metadata"]["name"], going)
        await w.client.delete(SERVICE, "web", "default")
        await w.until_gone(ENDPOINTS, "web")
        await w.until_gone(ENDPOINT_SLICE, found["metadata"]["name"])
