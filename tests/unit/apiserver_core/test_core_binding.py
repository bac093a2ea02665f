"""A pod is given to a node by its binding, and by nothing else."""

from __future__ import annotations

import pytest

from tests.unit.apiserver_core import kit

pytestmark = pytest.mark.anyio
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "main", "image": "web:1"}]},
}


async def test_an_update_cannot_choose_the_node(api: kit.Api) -> None:
    await api.create(kit.PODS, POD)
    refused = await api.patch(f"{kit.PODS}/web", {"spec": {"nodeName": "here"}}, status=422)
    assert refused["details"]["causes"][0]["field"] == "spec"
    found = await api.get(f"{kit.PODS}/web")
    found["spec"]["nodeName"] = "here"
    await api.update(f"{kit.PODS}/web", found, status=422)


async def test_a_binding_does(api: kit.Api) -> None:
    await api.create(kit.PODS, POD)
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"}}
    target = {"target": {"kind": "Node", "name": "here"}}
    await api.create(f"{kit.PODS}/web/binding", {**binding, **target})
    assert (await api.get(f"{kit.PODS}/web"))["spec"]["nodeName"] == "here"
    await api.patch(f"{kit.PODS}/web", {"metadata": {"labels": {"a": "b"}}})
