"""StatefulSets, DaemonSets, Jobs, CronJobs and ReplicationControllers against the real API core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloudwright._base.errors import CloudwrightError
from cloudwright.model import conditions
from cloudwright.model.objects import Object, controller_of, deleting, labels_of, name_of
from cloudwright.model.resources import (
    CONTROLLER_REVISION,
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    INGRESS,
    INGRESS_CLASS,
    JOB,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    RESOURCE_QUOTA,
    ROUTE,
    SERVICE,
    STATEFUL_SET,
    STORAGE_CLASS,
)
from tests.integration.operator_world import FAST, World, eventually, make_node, world

pytestmark = pytest.mark.anyio
HASH = "controller-revision-hash"


def template(image: str, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    found: Object = {"spec": {"containers": [{"name": "app", "image": image}], **spec}}
    if labels:
        found["metadata"] = {"labels": labels}
    return found


def stateful_set(image: str = "db:1", replicas: int = 3, **spec: Any) -> Object:
    labels = {"app": "db"}
    return {
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": labels},
            "template": template(image, labels),
            **spec,
        },
    }


async def pods(w: World) -> dict[str, Object]:
    return {name_of(pod): pod for pod in await w.items(POD, namespace="default")}


def image_of(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["image"])


async def test_a_stateful_set_starts_rolls_and_shrinks_in_order(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("statefulset", "gc")) as w:
        claim = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        await w.client.create(STATEFUL_SET, stateful_set(volumeClaimTemplates=[claim]))
        await w.until(
            STATEFUL_SET, "db", lambda o: (o.get("status") or {}).get("availableReplicas") == 3
        )
        assert w.node.started == ["db-0", "db-1", "db-2"]
        claims = {name_of(one) for one in await w.items(PERSISTENT_VOLUME_CLAIM)}
        assert claims == {"data-db-0", "data-db-1", "data-db-2"}
        found = await pods(w)
        assert labels_of(found["db-1"])["apps.kubernetes.io/pod-index"] == "1"
        assert found["db-1"]["spec"]["hostname"] == "db-1"

        w.node.started.clear()
        patch = {"spec": {"template": template("db:2", {"app": "db"})}}
        await w.client.patch(STATEFUL_SET, "db", patch, "default")
        await w.until(
            STATEFUL_SET,
            "db",
            lambda o: (
                o["status"].get("observedGeneration") == 2
                and o["status"].get("updatedReplicas") == 3
                and o["status"].get("availableReplicas") == 3
                and o["status"]["currentRevision"] == o["status"]["updateRevision"]
            ),
        )
        assert w.node.started == ["db-2", "db-1", "db-0"]
        assert {image_of(pod) for pod in (await pods(w)).values()} == {"db:2"}
        assert len(await w.items(CONTROLLER_REVISION)) == 2

        await w.client.patch(STATEFUL_SET, "db", {"spec": {"replicas": 1}}, "default")
        await w.until(STATEFUL_SET, "db", lambda o: o["status"]["replicas"] == 1)
        assert set(await pods(w)) == {"db-0"}
        assert len(await w.items(PERSISTENT_VOLUME_CLAIM)) == 3


async def test_a_partition_keeps_the_lower_ordinals(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("statefulset",)) as w:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
        await w.client.create(STATEFUL_SET, stateful_set(updateStrategy=strategy))
        await w.until(
            STATEFUL_SET, "db", lambda o: (o.get("status") or {}).get("availableReplicas") == 3
        )
        patch = {"spec": {"template": template("db:2", {"app": "db"})}}
        await w.client.patch(STATEFUL_SET, "db", patch, "default")
        await w.until(
            STATEFUL_SET,
            "db",
            lambda o: (
                o["status"].get("observedGeneration") == 2
                and o["status"].get("updatedReplicas") == 1
                and o["status"].get("availableReplicas") == 3
            ),
        )
        images = {name: image_of(pod) for name, pod in (await pods(w)).items()}
        assert images == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2"}


async def test_a_daemon_set_follows_the_nodes(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("daemonset", "gc")) as w:
        labels = {"app": "agent"}
        await w.client.create(
            DAEMON_SET,
            {
                "metadata": {"name": "agent", "namespace": "default"},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": template("agent:1", labels),
                },
            },
        )
        await w.until(
            DAEMON_SET, "agent", lambda o: (o.get("status") or {}).get("numberAvailable") == 1
        )
        tainted = {
            "metadata": {"name": "tainted"},
            "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        await make_node(w.client, tainted)
        patch = {"spec": {"template": template("agent:2", labels)}}
        await w.client.patch(DAEMON_SET, "agent", patch, "default")
        done = await w.until(
            DAEMON_SET,
            "agent",
            lambda o: (
                o["status"].get("observedGeneration") == 2
                and o["status"].get("updatedNumberScheduled") == 1
                and o["status"].get("numberAvailable") == 1
            ),
        )
        assert done["status"]["desiredNumberScheduled"] == 1  # not on the tainted one
        found = list((await pods(w)).values())
        assert [image_of(pod) for pod in found] == ["agent:2"]
        assert found[0]["spec"]["nodeName"] == "node"


def job(name: str, image: str, **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template(image, restartPolicy="Never"), **spec},
    }


def ended(kind: str) -> Any:
    return lambda o: conditions.is_true((o.get("status") or {}).get("conditions"), kind)


async def test_a_job_completes_and_counts_each_pod_once(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("job", "gc")) as w:
        await w.client.create(JOB, job("five", "task:exits-0", completions=5, parallelism=2))
        done = await w.until(JOB, "five", ended("Complete"))
        assert done["status"]["succeeded"] == 5
        assert done["status"].get("failed") is None
        assert done["status"]["uncountedTerminatedPods"] == {}
        assert len(w.node.started) == 5
        assert all("finalizers" not in pod["metadata"] for pod in (await pods(w)).values())


async def test_an_indexed_job_gives_each_index_one_pod(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("job",)) as w:
        wish = job("parts", "task:exits-0", completions=4, completionMode="Indexed", parallelism=4)
        await w.client.create(JOB, wish)
        done = await w.until(JOB, "parts", ended("Complete"))
        assert done["status"]["completedIndexes"] == "0-3"
        hosts = {pod["spec"]["hostname"] for pod in (await pods(w)).values()}
        assert hosts == {f"parts-{index}" for index in range(4)}


async def test_a_job_that_fails_too_often_fails(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("job",)) as w:
        await w.client.create(JOB, job("bad", "task:exits-3", backoffLimit=0))
        done = await w.until(JOB, "bad", ended("Failed"))
        entry = conditions.find(done["status"]["conditions"], "Failed") or {}
        assert entry["reason"] == "BackoffLimitExceeded"
        assert done["status"]["failed"] == 1


async def test_a_suspended_job_waits_and_a_finished_one_goes(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("job", "gc")) as w:
        wish = job("later", "task:exits-0", suspend=True, ttlSecondsAfterFinished=0)
        await w.client.create(JOB, wish)
        await w.until(JOB, "later", ended("Suspended"))
        assert not await pods(w)
        await w.client.patch(JOB, "later", {"spec": {"suspend": False}}, "default")
        await w.until_gone(JOB, "later")
        await eventually(lambda: _none(w))


async def _none(w: World) -> bool:
    return not await pods(w)


async def test_a_deleted_job_lets_its_pods_go(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("job", "gc")) as w:
        await w.client.create(JOB, job("long", "task:1"))
        await w.until(JOB, "long", lambda o: (o.get("status") or {}).get("ready") == 1)
        await w.client.delete(JOB, "long", "default", propagation="Background")
        await w.until_gone(JOB, "long")
        await eventually(lambda: _none(w))


async def test_a_cron_job_starts_what_is_due(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("cronjob", "job", "gc")) as w:
        wish = {
            "metadata": {"name": "tick", "namespace": "default"},
            "spec": {
                "schedule": "* * * * *",
                "jobTemplate": {"spec": job("x", "task:exits-0")["spec"]},
            },
        }
        made = await w.client.create(CRON_JOB, wish)
        # As if it had last run an hour ago: exactly one of the missed times is made up for.
        status = {"lastScheduleTime": "2026-01-01T00:00:00Z"}
        await w.client.update_status(CRON_JOB, {**made, "status": status})
        done = await w.until(
            CRON_JOB, "tick", lambda o: bool((o.get("status") or {}).get("lastSuccessfulTime"))
        )
        jobs = await w.items(JOB)
        assert jobs
        assert all((controller_of(one) or {})["name"] == "tick" for one in jobs)
        assert done["status"]["lastScheduleTime"] > "2026-01-01T00:01"


async def test_a_replication_controller_keeps_its_number(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("replicationcontroller",)) as w:
        labels = {"app": "old"}
        await w.client.create(
            REPLICATION_CONTROLLER,
            {
                "metadata": {"name": "old", "namespace": "default"},
                "spec": {
                    "replicas": 2,
                    "selector": labels,
                    "template": template("old:1", labels),
                },
            },
        )
        await w.until(
            REPLICATION_CONTROLLER,
            "old",
            lambda o: (o.get("status") or {}).get("readyReplicas") == 2,
        )
        assert len(await pods(w)) == 2


async def test_an_eviction_keeps_the_budget(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("replicaset", "disruption")) as w:
        labels = {"app": "web"}
        await w.client.create(
            REPLICA_SET,
            {
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {
                    "replicas": 2,
                    "selector": {"matchLabels": labels},
                    "template": template("web:1", labels),
                },
            },
        )
        budget = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": labels}},
        }
        await w.client.create(POD_DISRUPTION_BUDGET, budget)
        await w.until(
            POD_DISRUPTION_BUDGET,
            "web",
            lambda o: (o.get("status") or {}).get("currentHealthy") == 2,
        )
        name = next(iter(await pods(w)))
        body = {"metadata": {"name": name, "namespace": "default"}}
        with pytest.raises(CloudwrightError, match="violate the pod's disruption budget"):
            await w.client.create(POD, body, subresource="eviction", name=name)
        patch = {"spec": {"minAvailable": 1}}
        await w.client.patch(POD_DISRUPTION_BUDGET, "web", patch, "default")
        await w.until(
            POD_DISRUPTION_BUDGET, "web", lambda o: o["status"]["disruptionsAllowed"] == 1
        )
        await w.client.create(POD, body, subresource="eviction", name=name)
        await w.until_gone(POD, name)
        await w.until(POD_DISRUPTION_BUDGET, "web", lambda o: o["status"]["currentHealthy"] == 2)


async def test_a_quota_is_counted_down_when_objects_go(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("quota",)) as w:
        wish = {
            "metadata": {"name": "small", "namespace": "default"},
            "spec": {"hard": {"pods": "3", "configmaps": "10", "requests.cpu": "1"}},
        }
        await w.client.create(RESOURCE_QUOTA, wish)
        pod = template("web:1")
        pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "250m"}}
        await w.client.create(POD, {"metadata": {"name": "p", "namespace": "default"}, **pod})
        full = {"configmaps": "0", "pods": "1", "requests.cpu": "250m"}
        await w.until(
            RESOURCE_QUOTA, "small", lambda o: (o.get("status") or {}).get("used") == full
        )
        await w.client.delete(POD, "p", "default", grace_seconds=0)
        empty = {"configmaps": "0", "pods": "0", "requests.cpu": "0"}
        await w.until(RESOURCE_QUOTA, "small", lambda o: o["status"].get("used") == empty)


def claim(name: str, storage: str, storage_class: str | None = None) -> Object:
    spec: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def in_phase(phase: str) -> Any:
    return lambda o: (o.get("status") or {}).get("phase") == phase


async def test_a_claim_gets_the_smallest_volume_that_fits(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=("volumes",)) as w:
        for name, size in (("big", "10Gi"), ("fits", "2Gi"), ("small", "500Mi")):
            volume = {
                "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": size},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "manual",
                    "hostPath": {"path": "/tmp"},
                },
            }
            await w.client.create(PERSISTENT_VOLUME, volume)
            await w.until(PERSISTENT_VOLUME, name, in_phase("Available"))
        await w.client.create(PERSISTENT_VOLUME_CLAIM, claim("c", "1Gi", "manual"))
        bound = await w.until(PERSISTENT_VOLUME_CLAIM, "c", in_phase("Bound"))
        assert bound["spec"]["volumeName"] == "fits"
        assert bound["status"]["capacity"] == {"storage": "2Gi"}
        await w.until(PERSISTENT_VOLUME, "fits", in_phase("Bound"))
        await w.client.delete(PERSISTENT_VOLUME_CLAIM, "c", "default")
        await w.until(PERSISTENT_VOLUME, "fits", in_phase("Released"))


async def test_a_class_makes_volumes_when_a_pod_needs_them(tmp_path: Path) -> None:
    config = replace(FAST, volume_directory="/var/lib/volumes")
    async with world(tmp_path, controllers=("volumes",), config=config) as w:
        made = {
            "metadata": {"name": "local"},
            "provisioner": "cloudwright.dev/local",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        await w.client.create(STORAGE_CLASS, made)
        await w.client.create(PERSISTENT_VOLUME_CLAIM, claim("c", "1Gi", "local"))
        await w.until(PERSISTENT_VOLUME_CLAIM, "c", in_phase("Pending"))
        assert not await w.items(PERSISTENT_VOLUME)
        pod = template("db:1", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
        await w.client.create(POD, {"metadata": {"name": "p", "namespace": "default"}, **pod})
        bound = await w.until(PERSISTENT_VOLUME_CLAIM, "c", in_phase("Bound"))
        volume = (await w.items(PERSISTENT_VOLUME))[0]
        assert volume["spec"]["local"]["path"] == f"/var/lib/volumes/{name_of(volume)}"
        assert name_of(volume) == bound["spec"]["volumeName"]
        # Its data is the node's to remove: until then the volume stays, marked.
        await w.client.delete(POD, "p", "default", grace_seconds=0)
        await w.client.delete(PERSISTENT_VOLUME_CLAIM, "c", "default")
        await w.until(PERSISTENT_VOLUME, name_of(volume), deleting)


async def test_an_ingress_becomes_routes_of_the_gateway(tmp_path: Path) -> None:
    config = replace(FAST, ingress_address="127.0.0.1")
    async with world(tmp_path, controllers=("ingress", "gc"), config=config) as w:
        found = {
            "metadata": {"name": "ours"},
            "spec": {"controller": "cloudwright.dev/gateway"},
        }
        await w.client.create(INGRESS_CLASS, found)
        service = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"ports": [{"name": "http", "port": 80}]},
        }
        await w.client.create(SERVICE, service)
        backend = {"service": {"name": "web", "port": {"name": "http"}}}
        paths = [{"path": "/shop", "pathType": "Prefix", "backend": backend}]
        wish = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "ingressClassName": "ours",
                "rules": [{"host": "shop.example.com", "http": {"paths": paths}}],
            },
        }
        await w.client.create(INGRESS, wish)
        await w.until(INGRESS, "web", lambda o: bool((o.get("status") or {}).get("loadBalancer")))
        routes = await w.items(ROUTE)
        assert [one["spec"]["hosts"] for one in routes] == [["shop.example.com"]]
        assert routes[0]["spec"]["pathPrefix"] == "/shop"
        assert routes[0]["spec"]["port"] == 80
        await w.client.delete(INGRESS, "web", "default")
        await w.until_gone(ROUTE, name_of(routes[0]))


async def test_an_autoscaler_follows_the_cpu_of_its_pods(tmp_path: Path) -> None:
    config = replace(FAST, scale_interval=0.1)
    names = ("deployment", "replicaset", "horizontal")
    async with world(tmp_path, controllers=names, config=config) as w:
        w.meter.cores = 0.4
        labels = {"app": "web"}
        pod = template("web:1", labels)
        pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
        await w.client.create(
            DEPLOYMENT,
            {
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod},
            },
        )
        await w.until(
            DEPLOYMENT, "web", lambda o: (o.get("status") or {}).get("availableReplicas") == 2
        )
        target = {"type": "Utilization", "averageUtilization": 50}
        wish = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 1,
                "maxReplicas": 5,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            },
        }
        await w.client.create(HORIZONTAL_POD_AUTOSCALER, wish)
        await w.until(DEPLOYMENT, "web", lambda o: o["spec"]["replicas"] == 5)
        found = await w.until(
            HORIZONTAL_POD_AUTOSCALER,
            "web",
            lambda o: (o.get("status") or {}).get("desiredReplicas") == 5,
        )
        entries = found["status"]["conditions"]
        assert conditions.is_true(entries, "ScalingActive")
        assert conditions.is_true(entries, "ScalingLimited")
