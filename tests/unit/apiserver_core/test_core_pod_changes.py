"""Subresources that change a pod: ephemeral containers, resize, bindings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver_core.kit import JSON_PATCH, PODS, STRATEGIC, Api

pytestmark = pytest.mark.anyio
SMALL = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
DEBUG = {"name": "dbg", "image": "busybox:1", "stdin": True, "targetContainerName": "app"}


def pod(name: str = "p", **more: Any) -> dict[str, Any]:
    container = {"name": "app", "image": "shop:1", "resources": SMALL}
    init = {"name": "prepare", "image": "shop:1"}
    spec = {"containers": [container], "initContainers": [init], **more}
    return {"metadata": {"name": name, "labels": {"a": "b"}}, "spec": spec}


async def add(api: Api, *containers: dict[str, Any], status: int = 200) -> Any:
    patch = {"spec": {"ephemeralContainers": list(containers)}}
    return await api.patch(f"{PODS}/p/ephemeralcontainers", patch, STRATEGIC, status=status)


async def resize(api: Api, status: int = 200, *, name: str = "app", **resources: Any) -> Any:
    patch = {"spec": {"containers": [{"name": name, "resources": resources}]}}
    return await api.patch(f"{PODS}/p/resize", patch, STRATEGIC, status=status)


async def test_ephemeral_containers_are_added_one_by_one(api: Api) -> None:
    await api.create(PODS, pod())
    first = await add(api, DEBUG)
    (made,) = first["spec"]["ephemeralContainers"]
    assert made["imagePullPolicy"] == "IfNotPresent"
    assert made["terminationMessagePolicy"] == "File"
    assert first["metadata"]["generation"] == 2
    second = await add(api, {"name": "more", "image": "busybox:1"})
    names = [one["name"] for one in second["spec"]["ephemeralContainers"]]
    assert sorted(names) == ["dbg", "more"]
    assert await api.get(f"{PODS}/p/ephemeralcontainers") == await api.get(f"{PODS}/p")
    owners = second["metadata"]["managedFields"]
    assert "ephemeralcontainers" in [entry.get("subresource") for entry in owners]


async def test_only_ephemeral_containers_change(api: Api) -> None:
    made = await api.create(PODS, pod())
    made["spec"]["containers"][0]["image"] = "other:1"
    made["metadata"]["labels"] = {}
    made["status"] = {"phase": "Failed"}
    made["spec"]["ephemeralContainers"] = [DEBUG]
    changed = await api.update(f"{PODS}/p/ephemeralcontainers", made)
    assert changed["spec"]["containers"][0]["image"] == "shop:1"
    assert changed["metadata"]["labels"] == {"a": "b"}
    assert changed["status"]["phase"] == "Pending"
    assert [one["name"] for one in changed["spec"]["ephemeralContainers"]] == ["dbg"]


async def test_ephemeral_containers_stay_as_they_are(api: Api) -> None:
    await api.create(PODS, pod())
    await add(api, DEBUG)
    path = f"{PODS}/p/ephemeralcontainers"
    removed = [{"op": "remove", "path": "/spec/ephemeralContainers"}]
    answer = await api.patch(path, removed, JSON_PATCH, status=422)
    assert 'existing ephemeral containers "dbg" may not be removed' in answer["message"]
    answer = await add(api, {"name": "dbg", "image": "other:1"}, status=422)
    assert 'existing ephemeral containers "dbg" may not be changed' in answer["message"]
    plain = await api.patch(f"{PODS}/p", removed, JSON_PATCH, status=422)
    assert "pod updates may not change fields other than" in plain["message"]


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"name": "app"}, 'spec.ephemeralContainers[0].name: Duplicate value: "app"'),
        (
            {"targetContainerName": "z"},
            'ephemeralContainers[0].targetContainerName: Not found: "z"',
        ),
        ({"image": ""}, "spec.ephemeralContainers[0].image: Required value"),
        ({"ports": [{"containerPort": 1}]}, "[0].ports: Forbidden: cannot be set for an Ephemeral"),
        ({"resources": SMALL}, "[0].resources: Forbidden: cannot be set for an Ephemeral"),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}, "[0].lifecycle: Forbidden"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/x"}]}, "volumeMounts[0].name: Not found"),
    ],
)
async def test_ephemeral_containers_are_no_part_of_the_work(
    api: Api, container: dict[str, Any], text: str
) -> None:
    await api.create(PODS, pod())
    answer = await add(api, {**DEBUG, **container}, status=422)
    assert text in answer["message"]


async def test_a_pod_or_template_is_not_made_with_them(api: Api) -> None:
    answer = await api.create(PODS, pod(ephemeralContainers=[DEBUG]), status=422)
    assert "spec.ephemeralContainers: Forbidden: cannot be set on create" in answer["message"]
    template = pod(ephemeralContainers=[DEBUG])
    labels = {"matchLabels": {"a": "b"}}
    body = {"metadata": {"name": "d"}, "spec": {"selector": labels, "template": template}}
    answer = await api.create("/apis/apps/v1/namespaces/default/deployments", body, status=422)
    assert "ephemeral containers not allowed in pod template" in answer["message"]


async def test_cpu_and_memory_are_resized(api: Api) -> None:
    await api.create(PODS, pod())
    more = {"requests": {"cpu": "200m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    changed = await resize(api, **more)
    assert changed["spec"]["containers"][0]["resources"] == more
    assert changed["metadata"]["generation"] == 2
    plain = {"spec": {"containers": [{"name": "app", "resources": SMALL}]}}
    answer = await api.patch(f"{PODS}/p", plain, STRATEGIC, status=422)
    assert "pod updates may not change fields other than" in answer["message"]


async def test_a_resize_changes_nothing_else(api: Api) -> None:
    made = await api.create(PODS, pod())
    made["spec"]["containers"][0] |= {"image": "other:1", "resources": {**SMALL}}
    made["spec"]["containers"][0]["resources"] = {
        "requests": {"cpu": "1", "memory": "64Mi"},
        "limits": {"cpu": "1", "memory": "128Mi"},
    }
    made["metadata"]["labels"] = {}
    changed = await api.update(f"{PODS}/p/resize", made)
    assert changed["spec"]["containers"][0]["image"] == "shop:1"
    assert changed["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1"
    assert changed["metadata"]["labels"] == {"a": "b"}


async def test_what_a_resize_may_not_do(api: Api) -> None:
    made = await api.create(PODS, pod())
    path = f"{PODS}/p/resize"
    gone = [{"op": "remove", "path": "/spec/containers/0/resources/limits/memory"}]
    answer = await api.patch(path, gone, JSON_PATCH, status=422)
    assert "spec.containers[0].resources.limits: Forbidden" in answer["message"]
    assert "resource limits cannot be removed" in answer["message"]
    disk = {**SMALL["requests"], "ephemeral-storage": "1Gi"}
    answer = await resize(api, 422, requests=disk)
    assert "only cpu and memory resources are mutable" in answer["message"]
    answer = await resize(api, 422, requests={"cpu": "5"})
    assert "must be less than or equal to cpu limit" in answer["message"]
    answer = await resize(api, 422, name="other")
    assert "containers may not be added or removed on resize" in answer["message"]
    made["spec"]["containers"][0]["name"] = "other"
    answer = await api.update(path, made, status=422)
    assert "containers may not be renamed or reordered on resize" in answer["message"]


async def test_a_resize_keeps_the_class(api: Api) -> None:
    await api.create(PODS, pod(initContainers=[]))
    alike = {"cpu": "1", "memory": "128Mi"}
    answer = await resize(api, 422, requests=alike, limits=alike)
    assert "Pod QOS Class may not change as a result of resizing" in answer["message"]


async def test_a_node_that_tells_no_resources_cannot_resize(api: Api) -> None:
    await api.create(PODS, pod())
    running = {"name": "app", "state": {"running": {}}, "ready": True, "restartCount": 0}
    running |= {"image": "shop:1", "imageID": "", "lastState": {}}
    body = {"status": {"containerStatuses": [running]}}
    await api.patch(f"{PODS}/p/status", body)
    answer = await resize(api, 422, limits={"cpu": "2"})
    assert "Pod running on node without support for resize" in answer["message"]
    running["resources"] = {}
    await api.patch(f"{PODS}/p/status", body)
    await resize(api, limits={"cpu": "2"})


async def test_a_binding_names_its_pod(api: Api) -> None:
    await api.create(PODS, pod())
    body = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "here"}}
    path = "/api/v1/namespaces/default/bindings"
    answer = await api.create(path, body)
    assert answer["status"] == "Success"
    assert (await api.get(f"{PODS}/p"))["spec"]["nodeName"] == "here"
    answer = await api.create(path, body, status=409)
    assert "already assigned to node" in answer["message"]
    await api.create(path, {**body, "metadata": {"name": "q"}}, status=404)
    await api.get(path, status=405)
