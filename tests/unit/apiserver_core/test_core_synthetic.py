"""Kinds that are made when they are read: what they say, and that nobody writes them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver_core.kit import Api

pytestmark = pytest.mark.anyio
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
BOXES: dict[str, Any] = {
    "metadata": {"name": "boxes.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": "boxes", "kind": "Box"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }
        ],
    },
}


async def test_api_services_tell_what_is_served(api: Api) -> None:
    listed = await api.get(SERVICES)
    assert listed["kind"] == "APIServiceList"
    names = [item["metadata"]["name"] for item in listed["items"]]
    assert names == sorted(names)
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1.authorization.k8s.io"} <= set(names)
    one = await api.get(f"{SERVICES}/v1.apps")
    assert one["spec"] == {
        "group": "apps",
        "version": "v1",
        "groupPriorityMinimum": 17800,
        "versionPriority": 15,
    }
    assert one["status"]["conditions"][0]["status"] == "True"
    missing = await api.get(f"{SERVICES}/v1.nothing", status=404)
    assert missing["message"] == 'apiservices.apiregistration.k8s.io "v1.nothing" not found'


async def test_a_watch_of_api_services_follows_definitions(api: Api) -> None:
    async with api.watch(SERVICES, fieldSelector="metadata.name=v1.example.org") as events:
        await api.create(DEFINITIONS, BOXES)
        added = await events.next()
        assert (added["type"], added["object"]["metadata"]["name"]) == ("ADDED", "v1.example.org")
        assert added["object"]["spec"]["groupPriorityMinimum"] == 1000
        await api.delete(f"{DEFINITIONS}/boxes.example.org")
        assert (await events.next())["type"] == "DELETED"


async def test_nobody_writes_what_is_not_stored(api: Api) -> None:
    spec = {"group": "apps", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    refused = await api.create(
        SERVICES, {"metadata": {"name": "v1.apps"}, "spec": spec}, status=409
    )
    assert refused["reason"] == "AlreadyExists"
    await api.delete(f"{SERVICES}/v1.apps", status=403)
    await api.create("/api/v1/componentstatuses", {"metadata": {"name": "a"}}, status=405)
    await api.delete("/api/v1/namespaces", status=405)


async def test_component_statuses_say_that_the_store_answers(api: Api) -> None:
    listed = await api.get("/api/v1/componentstatuses")
    assert listed["kind"] == "ComponentStatusList"
    condition = listed["items"][0]["conditions"][0]
    assert (condition["type"], condition["status"]) == ("Healthy", "True")
    await api.get("/api/v1/componentstatuses", status=405, watch=1)
