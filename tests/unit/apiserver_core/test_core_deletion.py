from __future__ import annotations

from pathlib import Path

import pytest

from cloudwright._base.clock import ManualClock
from tests.unit.apiserver_core.kit import CONFIG_MAPS, PODS, Api, config_map, pod, serving

pytestmark = pytest.mark.anyio

NAMESPACES = "/api/v1/namespaces"


async def bound(api: Api, name: str, **spec: object) -> None:
    await api.create(PODS, pod(name, nodeName="here", **spec))


async def test_a_plain_object_is_gone_at_once(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    status = await api.delete(f"{CONFIG_MAPS}/a")
    assert status["status"] == "Success"
    assert status["details"]["uid"] == made["metadata"]["uid"]
    await api.get(f"{CONFIG_MAPS}/a", status=404)


async def test_finalizers_hold_an_object_until_they_are_removed(api: Api) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(CONFIG_MAPS, body)
    marked = await api.delete(f"{CONFIG_MAPS}/a")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    again = await api.delete(f"{CONFIG_MAPS}/a")
    assert again["metadata"]["resourceVersion"] == marked["metadata"]["resourceVersion"]
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    error = await api.patch(f"{CONFIG_MAPS}/a", more, status=422)
    assert error["details"]["causes"][0]["field"] == "metadata.finalizers"
    async with api.watch(CONFIG_MAPS, resourceVersion=again["metadata"]["resourceVersion"]) as seen:
        await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"finalizers": None}})
        event = await seen.next()
        assert event["type"] == "DELETED"
        assert event["object"]["metadata"]["name"] == "a"
    await api.get(f"{CONFIG_MAPS}/a", status=404)


async def test_the_deletion_mark_cannot_be_taken_back(api: Api) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(CONFIG_MAPS, body)
    marked = await api.delete(f"{CONFIG_MAPS}/a")
    changed = await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"deletionTimestamp": None}})
    assert changed["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None)],
)
async def test_propagation_becomes_a_finalizer(
    api: Api, policy: str, finalizers: list[str] | None
) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    answer = await api.delete(f"{CONFIG_MAPS}/a", {"propagationPolicy": policy})
    assert answer.get("metadata", {}).get("finalizers") == finalizers
    assert (await api.raw("GET", f"{CONFIG_MAPS}/a")).status == (200 if finalizers else 404)


async def test_preconditions_must_hold(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    path = f"{CONFIG_MAPS}/a"
    await api.delete(path, {"preconditions": {"uid": "other"}}, status=409)
    await api.delete(path, {"preconditions": {"resourceVersion": "1"}}, status=409)
    metadata = made["metadata"]
    exact = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    await api.delete(path, {"preconditions": exact})


async def test_nonsense_options_are_refused(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    await api.delete(f"{CONFIG_MAPS}/a", status=422, propagationPolicy="Sideways")
    await api.delete(f"{CONFIG_MAPS}/a", {"propagationPolicy": [None]}, status=400)
    await api.delete(f"{CONFIG_MAPS}/a", status=400, gracePeriodSeconds="soon")
    await api.delete(f"{CONFIG_MAPS}/a", {"gracePeriodSeconds": "1"}, status=400)


async def test_a_pod_on_a_node_gets_its_grace_period(tmp_path: Path) -> None:
    clock = ManualClock()
    async with serving(tmp_path, clock=clock) as api:
        await bound(api, "a", terminationGracePeriodSeconds=20)
        marked = (await api.delete(f"{PODS}/a"))["metadata"]
        assert marked["deletionGracePeriodSeconds"] == 20
        assert marked["deletionTimestamp"] == "2026-01-01T00:00:20Z"
        longer = (await api.delete(f"{PODS}/a", gracePeriodSeconds=60))["metadata"]
        assert longer["deletionTimestamp"] == marked["deletionTimestamp"]
        shorter = (await api.delete(f"{PODS}/a", gracePeriodSeconds=5))["metadata"]
        assert shorter["deletionTimestamp"] == "2026-01-01T00:00:05Z"
        # The node reports while the pod winds down; that does not remove it.
        await api.patch(f"{PODS}/a/status", {"status": {"phase": "Running"}})
        assert (await api.get(f"{PODS}/a"))["status"]["phase"] == "Running"
        await api.delete(f"{PODS}/a", {"gracePeriodSeconds": 0})
        await api.get(f"{PODS}/a", status=404)


async def test_pods_without_a_node_or_already_ended_go_at_once(api: Api) -> None:
    await api.create(PODS, pod("unbound"))
    await api.delete(f"{PODS}/unbound")
    await api.get(f"{PODS}/unbound", status=404)
    await bound(api, "done")
    await api.patch(f"{PODS}/done/status", {"status": {"phase": "Succeeded"}})
    await api.delete(f"{PODS}/done")
    await api.get(f"{PODS}/done", status=404)


async def test_an_eviction_is_a_deletion_with_grace(api: Api) -> None:
    await bound(api, "a")
    await api.create(f"{PODS}/a/eviction", {"metadata": {"name": "a"}})
    assert (await api.get(f"{PODS}/a"))["metadata"]["deletionGracePeriodSeconds"] == 30


async def test_a_selected_collection_is_deleted(api: Api) -> None:
    for name, tier in (("a", "x"), ("b", "x"), ("c", "y")):
        body = config_map(name)
        body["metadata"]["labels"] = {"tier": tier}
        await api.create(CONFIG_MAPS, body)
    deleted = await api.delete(CONFIG_MAPS, labelSelector="tier=x")
    assert [one["metadata"]["name"] for one in deleted["items"]] == ["a", "b"]
    left = (await api.get(CONFIG_MAPS))["items"]
    assert [one["metadata"]["name"] for one in left] == ["c"]


async def test_a_namespace_ends_in_steps(api: Api) -> None:
    made = await api.create(NAMESPACES, {"metadata": {"name": "shop"}})
    assert made["spec"]["finalizers"] == ["kubernetes"]
    assert made["status"]["phase"] == "Active"
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    inside = f"{NAMESPACES}/shop/configmaps"
    await api.create(inside, config_map("a"))
    ending = await api.delete(f"{NAMESPACES}/shop")
    assert ending["status"]["phase"] == "Terminating"
    error = await api.create(inside, config_map("b"), status=403)
    assert error["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    # What is inside can still be read and removed.
    await api.delete(f"{inside}/a")
    # The finalizers only change through their own subresource.
    await api.update(f"{NAMESPACES}/shop", ending | {"spec": {"finalizers": []}})
    assert (await api.get(f"{NAMESPACES}/shop"))["spec"]["finalizers"] == ["kubernetes"]
    ending = await api.get(f"{NAMESPACES}/shop")
    await api.update(f"{NAMESPACES}/shop/finalize", ending | {"spec": {}})
    await api.get(f"{NAMESPACES}/shop", status=404)
    error = await api.create(inside, config_map("b"), status=404)
    assert error["message"] == 'namespaces "shop" not found'


async def test_permanent_namespaces_stay(api: Api) -> None:
    error = await api.delete(f"{NAMESPACES}/default", status=403)
    assert "may not be deleted" in error["message"]
