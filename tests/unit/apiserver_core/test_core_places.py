"""A namespace that was good for new objects is asked for again once it was written."""

from __future__ import annotations

import pytest

from tests.unit.apiserver_core import kit

pytestmark = pytest.mark.anyio
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
PATH = "/api/v1/namespaces/shop/configmaps"


async def test_a_namespace_on_its_way_out_takes_nothing_new(api: kit.Api) -> None:
    await api.create("/api/v1/namespaces", NAMESPACE)
    await api.create(PATH, kit.config_map("one"))
    await api.delete("/api/v1/namespaces/shop")
    refused = await api.create(PATH, kit.config_map("two"), status=403)
    assert refused["details"]["causes"][0]["reason"] == "NamespaceTerminating"


async def test_a_change_of_the_namespace_keeps_it_good(api: kit.Api) -> None:
    await api.create("/api/v1/namespaces", NAMESPACE)
    await api.create(PATH, kit.config_map("one"))
    await api.patch("/api/v1/namespaces/shop", {"metadata": {"labels": {"a": "b"}}})
    await api.create(PATH, kit.config_map("two"))


async def test_a_namespace_that_is_gone_and_back(api: kit.Api) -> None:
    await api.create("/api/v1/namespaces", NAMESPACE)
    await api.create(PATH, kit.config_map("one"))
    await api.delete(f"{PATH}/one")
    await api.delete("/api/v1/namespaces/shop")
    found = await api.get("/api/v1/namespaces/shop")
    found["spec"]["finalizers"] = []
    await api.update("/api/v1/namespaces/shop/finalize", found)
    await api.create(PATH, kit.config_map("two"), status=404)
    await api.create("/api/v1/namespaces", NAMESPACE)
    await api.create(PATH, kit.config_map("two"))
    await api.create(PATH, kit.config_map("two"), status=409)
