"""The operator on a real kube-apiserver with etcd, with the rights that ``deploy/`` gives it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudwright._base.errors import NotFoundError
from cloudwright.client.client import Client
from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, labels_of
from cloudwright.model.resources import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    LEASE,
    MICRO_SERVICE,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    Resource,
)
from cloudwright.operator.config import Config
from cloudwright.operator.engines.microservice.gateway import HTTP_ROUTE
from cloudwright.operator.queue import Backoff
from cloudwright.operator.run import run as run_operator
from tests.integration.applying import others_keep_their_fields
from tests.integration.kubernetes_world import (
    SYSTEM,
    BeatingNode,
    admin,
    kubectl,
    kubernetes,
    operator_transport,
)
from tests.integration.operator_world import Hooks, World, eventually
from tests.integration.test_operator_reconciler import greet
from tests.peers.cluster import Cluster

pytestmark = [pytest.mark.anyio, pytest.mark.foreign, pytest.mark.slow]
CONFIG = Config(backoff=Backoff(0.02, 0.5), routing="auto", nodes_confirm=False)
NAME = "pay"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with kubernetes(tmp_path_factory.mktemp("kubernetes")) as made:
        yield made


@asynccontextmanager
async def world(cluster: Cluster, *, config: Config = CONFIG) -> AsyncIterator[World]:
    """The operator in this process, as its service account; the test may do everything."""
    import anyio

    async with (
        admin(cluster) as client,
        operator_transport(cluster, client) as transport,
        anyio.create_task_group() as tasks,
    ):
        hooks, node = Hooks(), BeatingNode(client)
        tasks.start_soon(node.run)
        await tasks.start(
            lambda *, task_status: run_operator(
                Client(transport),
                hooks=hooks,
                config=config,
                controllers=("microservice",),
                task_status=task_status,
            )
        )
        yield World(client, hooks, node)
        tasks.cancel_scope.cancel()


def service(version: str = "1.0.0", name: str = NAME, **spec: Any) -> Object:
    return {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"version": version, "replicas": 2, **spec},
    }


def condition(obj: Object, kind: str) -> dict[str, Any]:
    return find((obj.get("status") or {}).get("conditions"), kind) or {}


async def change(w: World, **spec: Any) -> None:
    await w.client.patch(MICRO_SERVICE, NAME, {"spec": spec}, "default")


async def test_others_keep_their_fields(cluster: Cluster) -> None:
    async with world(cluster, config=replace(CONFIG, server_side_apply=True)) as w:
        await others_keep_their_fields(w)


async def remove(w: World, name: str = NAME) -> None:
    await w.client.delete(MICRO_SERVICE, name, "default")
    await w.until_gone(MICRO_SERVICE, name)
    for resource in (DEPLOYMENT, SERVICE, CONFIG_MAP, POD_DISRUPTION_BUDGET):
        await w.until_gone(resource, name)


async def absent(w: World, resource: Resource, name: str) -> bool:
    try:
        await w.client.get(resource, name, "default")
    except NotFoundError:
        return True
    return False


async def images(w: World, label: str) -> set[str]:
    pods = [p for p in await w.items(POD) if label in labels_of(p)]
    return {p["spec"]["containers"][0]["image"] for p in pods}


async def test_the_life_cycle_with_the_clusters_own_deployments(cluster: Cluster) -> None:
    async with world(cluster) as w:
        wish = service(
            config={"a": "1"},
            resources={"requests": {"cpu": "0.1"}, "limits": {"memory": "64Mi"}},
            lifecyclePolicy={"postRolloutHook": "webhook://sync"},
            rollout={"progressDeadlineSeconds": 5},
        )
        await w.client.create(MICRO_SERVICE, wish)
        ready = await w.phase(NAME, "Ready")
        assert condition(ready, "Routed")["reason"] == "NoGatewayAPI"
        budget = await w.client.get(POD_DISRUPTION_BUDGET, NAME, "default")
        assert budget["spec"]["maxUnavailable"] == 1
        assert w.hooks.events() == [("PostRollout", "1.0.0")]
        # Nothing is written any more: the server's defaults and its way to write amounts are known.
        before = await w.client.get(DEPLOYMENT, NAME, "default")
        await change(w, version="2.0.0", config={"a": "2"})
        done = await w.phase(NAME, "Ready")
        assert done["status"]["version"] == "2.0.0"
        after = await w.client.get(DEPLOYMENT, NAME, "default")
        assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
        await change(w, version="3.0.0", image="pay:bad", config={"a": "3"})
        back = await w.phase(NAME, "RolledBack")
        assert "back to 2.0.0" in condition(back, "RolloutFailed")["message"]

        async def restored() -> bool:
            files = await w.client.get(CONFIG_MAP, NAME, "default")
            return bool(files["data"] == {"a": "2"})

        await eventually(restored)
        revisions = await w.items(CONTROLLER_REVISION)
        found = {r["data"]["spec"]["version"] for r in revisions if labels_of(r)}
        assert found == {"1.0.0", "2.0.0", "3.0.0"}
        await remove(w)


async def test_a_canary_by_numbers_of_pods_where_nothing_routes(cluster: Cluster) -> None:
    async with world(cluster) as w:
        rollout = {
            "steps": [{"weight": 50, "approval": True}],
            "analysis": {"errorRate": 1},
        }
        await w.client.create(MICRO_SERVICE, service(rollout=rollout))
        await w.phase(NAME, "Ready")
        await change(w, version="2.0.0")
        seen = await w.until(
            MICRO_SERVICE,
            NAME,
            lambda o: "waiting for a person" in str(o["status"]["rollout"].get("message")),
        )
        assert "judged by readiness and restarts" in seen["status"]["rollout"]["message"]
        # Half of the pods that the Service finds are new.
        found = await w.items(POD, label_selector=f"platform.example.com/microservice={NAME}")
        assert len(found) == 4
        body = {"metadata": {"annotations": {"platform.example.com/rollout-command": "promote"}}}
        await w.client.patch(MICRO_SERVICE, NAME, body, "default")
        assert (await w.phase(NAME, "Ready"))["status"]["version"] == "2.0.0"
        await eventually(lambda: absent(w, DEPLOYMENT, f"{NAME}-canary"))
        assert await images(w, "platform.example.com/microservice") >= {"pay:2.0.0"}
        await remove(w)


def gateway_api() -> Object:
    """HTTPRoute as Gateway API v1 defines it, as far as the operator writes it."""
    schema: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "httproutes.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io",
            "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


async def test_a_gateway_that_appears_gets_the_route_and_its_shares(cluster: Cluster) -> None:
    async with world(cluster) as w:
        rollout = {"steps": [{"weight": 20, "approval": True}]}
        await w.client.create(MICRO_SERVICE, service(rollout=rollout))
        await w.phase(NAME, "Ready")
        await w.client.create(CUSTOM_RESOURCE_DEFINITION, gateway_api())
        try:
            route = await w.until(HTTP_ROUTE, NAME, lambda o: True)
            (rule,) = route["spec"]["rules"]
            assert rule["backendRefs"] == [{"name": NAME, "port": 80, "weight": 100}]
            assert rule["matches"][0]["path"] == {"type": "PathPrefix", "value": "/pay"}
            await change(w, version="2.0.0")
            shared = await w.until(
                HTTP_ROUTE, NAME, lambda o: len(o["spec"]["rules"][0]["backendRefs"]) == 2
            )
            assert shared["spec"]["rules"][0]["backendRefs"] == [
                {"name": NAME, "port": 80, "weight": 80},
                {"name": f"{NAME}-canary", "port": 80, "weight": 20},
            ]
            assert await images(w, "platform.example.com/canary-of") == {"pay:2.0.0"}
            await remove(w)
        finally:
            await w.client.delete(
                CUSTOM_RESOURCE_DEFINITION, "httproutes.gateway.networking.k8s.io"
            )


async def test_what_the_definition_cannot_say_the_operator_says(cluster: Cluster) -> None:
    async with world(cluster) as w:
        with pytest.raises(Exception, match="a canary needs at least one step"):
            await w.client.create(MICRO_SERVICE, service(rollout={"strategy": "Canary"}))
        bad = service(dependencies=[{"name": NAME}])
        await w.client.create(MICRO_SERVICE, bad)
        told = await w.phase(NAME, "Failed")
        assert "cannot depend on itself" in condition(told, "Valid")["message"]
        await w.client.delete(MICRO_SERVICE, NAME, "default")
        await w.until_gone(MICRO_SERVICE, NAME)


async def start_operator(cluster: Cluster, kubeconfig: Path) -> asyncio.subprocess.Process:
    command = "import sys; from cloudwright.operator.__main__ import main; sys.exit(main())"
    import sys

    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, "--kubeconfig", str(kubeconfig), "--leader-elect",
        "--listen", "127.0.0.1:0", "--install-crds",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_as_a_program_one_of_two_leads_and_the_other_takes_over(
    cluster: Cluster, tmp_path: Path
) -> None:
    import anyio

    async with admin(cluster) as client, anyio.create_task_group() as tasks:
        node = BeatingNode(client)
        tasks.start_soon(node.run)
        w = World(client, Hooks(), node)
        file = cluster.kubeconfig()
        document = yaml.safe_load(file.read_text())
        for context in document["contexts"]:
            context["context"]["namespace"] = SYSTEM
        config = tmp_path / "kubeconfig"
        config.write_text(yaml.safe_dump(document))
        await w.client.create(MICRO_SERVICE, service())
        first, second = [await start_operator(cluster, config) for _ in range(2)]
        try:
            await w.phase(NAME, "Ready")
            lease = await client.get(LEASE, "cloudwright-operator", SYSTEM)
            holder = lease["spec"]["holderIdentity"]
            leader, other = (first, second) if holder.endswith(f"-{first.pid}") else (second, first)
            leader.send_signal(signal.SIGTERM)  # gives the Lease back
            assert await leader.wait() == 0
            await change(w, version="2.0.0")
            assert (await w.phase(NAME, "Ready"))["status"]["version"] == "2.0.0"
            lease = await client.get(LEASE, "cloudwright-operator", SYSTEM)
            assert lease["spec"]["holderIdentity"].endswith(f"-{other.pid}")
            await remove(w)
        finally:
            for process in (first, second):
                if process.returncode is None:
                    os.kill(process.pid, signal.SIGTERM)
                    await process.wait()
        tasks.cancel_scope.cancel()


def test_the_manifests_are_taken_and_ask_for_no_more_than_they_need(cluster: Cluster) -> None:
    folder = Path(__file__).parents[2] / "deploy"
    # The Pod Security admission of its namespace would warn of what is not restricted.
    out = kubectl(cluster, "apply", "--dry-run=server", "-k", str(folder))
    assert "deployment.apps/cloudwright-operator" in out
    who = f"system:serviceaccount:{SYSTEM}:cloudwright-operator"
    for verb, kind in [("get", "secrets"), ("create", "pods"), ("delete", "namespaces")]:
        words = ["auth", "can-i", verb, kind, "--as", who, "-A"]
        with pytest.raises(AssertionError):
            kubectl(cluster, *words)


async def test_the_example_of_a_reconciler_runs_here_too(cluster: Cluster) -> None:
    assert await greet(str(cluster.kubeconfig())) == ("goodbye, hello\n", "")
