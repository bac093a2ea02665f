"""The Python clients of the field: kubernetes, kr8s, lightkube and kopf, without pods that run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.cluster import Cluster
from tests.peers.http import Client

pytestmark = pytest.mark.foreign
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap"}


@pytest.fixture
def namespace(served: Cluster, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-")[:60].strip("-")
    with Client(served) as client:
        client.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    return name


@pytest.fixture
def kubernetes_client(served: Cluster) -> Any:
    kubernetes = pytest.importorskip("kubernetes")
    return kubernetes.config.new_client_from_config(str(served.kubeconfig()))


def test_kubernetes_applies_on_the_server(kubernetes_client: Any, namespace: str) -> None:
    from kubernetes import dynamic

    api = dynamic.DynamicClient(kubernetes_client).resources.get(api_version="v1", kind="ConfigMap")
    body = {**CONFIG, "metadata": {"name": "one", "namespace": namespace}, "data": {"a": "1"}}
    made = api.server_side_apply(body, namespace=namespace, field_manager="one")
    assert made.data.a == "1"
    other = {**body, "data": {"a": "2"}}
    with pytest.raises(dynamic.exceptions.ConflictError):
        api.server_side_apply(other, namespace=namespace, field_manager="two")
    api.server_side_apply(other, namespace=namespace, field_manager="two", force_conflicts=True)
    found = api.get(name="one", namespace=namespace)
    managers = {entry.manager: entry.operation for entry in found.metadata.managedFields}
    assert managers == {"two": "Apply"}


def test_kubernetes_watches_with_bookmarks(kubernetes_client: Any, namespace: str) -> None:
    from kubernetes import client, watch

    core = client.CoreV1Api(kubernetes_client)
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "first"}})
    watcher, seen = watch.Watch(), []
    stream = watcher.stream(
        core.list_namespaced_config_map, namespace, allow_watch_bookmarks=True,
        send_initial_events=True, resource_version_match="NotOlderThan", timeout_seconds=30,
    )  # fmt: skip
    for event in stream:
        seen.append(event["type"])
        if event["type"] == "BOOKMARK":
            core.create_namespaced_config_map(namespace, {"metadata": {"name": "second"}})
        elif event["raw_object"]["metadata"]["name"] == "second":
            break
    assert seen[0] == "ADDED"
    assert seen[-2:] == ["BOOKMARK", "ADDED"]


def test_kubernetes_informer_style_resume(kubernetes_client: Any, namespace: str) -> None:
    """List, watch from its version, lose the watch, resume from the last event: no gap."""
    from kubernetes import client, watch

    core = client.CoreV1Api(kubernetes_client)
    version = core.list_namespaced_config_map(namespace).metadata.resource_version
    names: list[str] = []
    for part in range(3):
        for number in range(3):
            body = {"metadata": {"name": f"c{part}-{number}"}}
            core.create_namespaced_config_map(namespace, body)
        watcher = watch.Watch()
        for event in watcher.stream(
            core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=30
        ):
            names.append(event["object"].metadata.name)
            version = event["object"].metadata.resource_version
            if len(names) % 3 == 0:
                watcher.stop()
    assert names == [f"c{part}-{number}" for part in range(3) for number in range(3)]


def test_kubernetes_pages_through_a_list(kubernetes_client: Any, namespace: str) -> None:
    from kubernetes import client

    core = client.CoreV1Api(kubernetes_client)
    for number in range(7):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": f"p{number}"}})
    found, token = [], None
    while True:
        page = core.list_namespaced_config_map(namespace, limit=3, _continue=token)
        found += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert [name for name in found if name.startswith("p")] == [f"p{n}" for n in range(7)]


def test_lightkube(served: Cluster, namespace: str) -> None:
    lightkube = pytest.importorskip("lightkube")
    from lightkube.core.exceptions import ApiError
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import ConfigMap
    from lightkube.types import PatchType

    config = lightkube.KubeConfig.from_file(str(served.kubeconfig()))
    client = lightkube.Client(config=config, namespace=namespace, field_manager="light")

    def named(name: str, **data: str) -> ConfigMap:
        return ConfigMap(
            metadata=ObjectMeta(name=name, namespace=namespace), data=data,
            apiVersion="v1", kind="ConfigMap",
        )  # fmt: skip

    made = client.create(named("one", a="1"))
    assert made.data == {"a": "1"}
    made.data["b"] = "2"
    client.replace(made)
    with pytest.raises(ApiError) as refused:
        client.replace(made)
    assert refused.value.status.reason == "Conflict"
    client.patch(ConfigMap, "one", {"data": {"c": "3"}}, patch_type=PatchType.MERGE)
    applied = client.apply(named("two", a="1"))
    assert applied.metadata.managedFields[0].manager == "light"
    with pytest.raises(ApiError) as conflict:
        client.apply(named("two", a="2"), field_manager="heavy")
    assert conflict.value.status.code == 409
    client.apply(named("two", a="2"), field_manager="heavy", force=True)
    names = [item.metadata.name for item in client.list(ConfigMap, namespace=namespace)]
    assert {"one", "two"} <= set(names)
    for kind, item in client.watch(ConfigMap, namespace=namespace):
        assert (kind, item.metadata.name) == ("ADDED", names[0])
        break
    client.delete(ConfigMap, "one")
    with pytest.raises(ApiError) as missing:
        client.get(ConfigMap, "one")
    assert missing.value.status.code == 404


@pytest.mark.anyio
async def test_kr8s(served: Cluster, namespace: str) -> None:
    kr8s = pytest.importorskip("kr8s")
    from kr8s.asyncio.objects import ConfigMap, new_class

    api = await kr8s.asyncio.api(kubeconfig=str(served.kubeconfig()), namespace=namespace)
    assert (await api.version())["major"] == "1"
    assert {"ConfigMap", "Deployment"} <= {kind["kind"] for kind in await api.api_resources()}
    body = {"metadata": {"name": "one", "namespace": namespace}, "data": {"a": "1"}}
    one = await ConfigMap(body, api=api)
    await one.create()
    await one.label({"x": "y"})
    await one.patch({"data": {"b": "2"}})
    found = [c async for c in api.get("configmaps", namespace=namespace, label_selector="x=y")]
    assert [dict(c.data) for c in found] == [{"a": "1", "b": "2"}]
    lease_class = new_class("Lease", version="coordination.k8s.io/v1", asyncio=True)
    lease = await lease_class({"metadata": {"name": "l", "namespace": namespace}}, api=api)
    await lease.create()
    assert await lease.exists()
    async for event, item in api.watch("configmaps", namespace=namespace):
        assert event == "ADDED"
        assert item.name in ("one", "kube-root-ca.crt")
        break
    await one.delete()


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "cats.p.example.com"},
    "spec": {
        "group": "p.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Cat", "plural": "cats", "singular": "cat"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}
HANDLERS = """
import kopf

@kopf.on.startup()
def configure(settings, **_):
    settings.posting.level = 20

@kopf.on.create("p.example.com", "v1", "cats")
@kopf.on.update("p.example.com", "v1", "cats")
def serve(spec, body, patch, **_):
    kopf.event(body, type="Normal", reason="Fed", message="fed the cat")
    patch.status["seen"] = spec["name"]
    return {"fed": True}

@kopf.on.delete("p.example.com", "v1", "cats")
def leave(name, **_):
    print("left", name, flush=True)

@kopf.timer("p.example.com", "v1", "cats", interval=1)
def purr(patch, status, **_):
    patch.status["purrs"] = 1 + status.get("purrs", 0)
"""


@pytest.fixture
def cats(served: Cluster, namespace: str) -> Iterator[tuple[Client, str]]:
    path = f"/apis/p.example.com/v1/namespaces/{namespace}/cats"
    with Client(served) as client:
        client.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
        until(lambda: client.send("GET", path).status == 200)
        yield client, path


def until(good: Callable[[], Any], seconds: float = 90) -> Any:
    """Ask until it is good; a deadline, not a measurement."""
    for _ in range(int(seconds * 10)):
        if found := good():
            return found
        threading.Event().wait(0.1)
    raise AssertionError(f"not within {seconds} s")


def test_kopf(served: Cluster, cats: tuple[Client, str], namespace: str, tmp_path: Path) -> None:
    pytest.importorskip("kopf")
    client, path = cats
    handlers = tmp_path / "handlers.py"
    handlers.write_text(HANDLERS)
    command = [sys.executable, "-m", "kopf", "run", "-n", namespace, "--standalone", str(handlers)]
    environment = {**os.environ, "KUBECONFIG": str(served.kubeconfig())}
    with (tmp_path / "kopf.log").open("w+") as log:
        operator = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            cat = {"apiVersion": "p.example.com/v1", "kind": "Cat", "metadata": {"name": "tom"}}
            assert client.send("POST", path, {**cat, "spec": {"name": "Tom"}}).status == 201

            def status() -> Any:
                assert operator.poll() is None, Path(log.name).read_text()
                return client.send("GET", f"{path}/tom").json.get("status", {})

            until(lambda: status().get("seen") == "Tom" and status().get("serve") == {"fed": True})
            kinds = {"Content-Type": "application/merge-patch+json"}
            client.send("PATCH", f"{path}/tom", {"spec": {"name": "Thomas"}}, kinds)
            until(lambda: status().get("seen") == "Thomas")
            until(lambda: status().get("purrs", 0) >= 2)
            events = f"/api/v1/namespaces/{namespace}/events"

            def reasons() -> set[str]:
                return {e["reason"] for e in client.send("GET", events).json["items"]}

            until(lambda: "Fed" in reasons())
            client.send("DELETE", f"{path}/tom")
            until(lambda: client.send("GET", f"{path}/tom").status == 404)
        finally:
            operator.terminate()
            try:
                operator.wait(30)
            except subprocess.TimeoutExpired:
                operator.kill()
                operator.wait()
        log.seek(0)
        assert "left tom" in log.read()
