"""What a new platform has, and what it has when asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.local import LocalTransport
from cloudwright.client.client import Client
from cloudwright.model import gateway
from cloudwright.platform import defaults
from tests.unit.apiserver_core import kit

pytestmark = pytest.mark.anyio
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def test_the_gateway_api_is_there_when_asked(tmp_path: Path) -> None:
    async with kit.serving(tmp_path) as api:
        client = Client(LocalTransport(api.core, bootstrap.SYSTEM))
        await defaults.gateway_api(client)
        found = (await api.get(DEFINITIONS))["items"]
        wanted = [one["metadata"]["name"] for one in gateway.definitions()]
        assert [one["metadata"]["name"] for one in found] == wanted
        gateways = f"/apis/{gateway.GROUP}/v1/namespaces/default/gateways"
        spec = {
            "gatewayClassName": "x",
            "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
        }
        head = {"apiVersion": f"{gateway.GROUP}/v1", "kind": "Gateway", "metadata": {"name": "g"}}
        await api.create(gateways, {**head, "spec": spec})
        before = await api.core.store.newest()
        await defaults.gateway_api(client)
        assert await api.core.store.newest() == before
