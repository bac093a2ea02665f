"""``metrics.k8s.io``: rates from two looks, honest when there are none."""

from __future__ import annotations

from typing import Any

import pytest

from cloudwright._base.clock import ManualClock
from cloudwright._base.errors import UnreachableError
from cloudwright.apiserver import resource_metrics
from cloudwright.apiserver.resource_metrics import Used
from tests.unit.apiserver_core import kit

pytestmark = pytest.mark.anyio
ROOT = "/apis/metrics.k8s.io/v1beta1"


class Counters:
    """Counters that a test sets."""

    def __init__(self) -> None:
        self.now: list[Used] | None = []

    async def used(self) -> list[Used]:
        if self.now is None:
            raise UnreachableError("the supervisor does not answer")
        return self.now


def passed(api: kit.Api, seconds: float) -> None:
    """Let time go by."""
    assert isinstance(api.core.clock, ManualClock)
    api.core.clock.advance(seconds)


@pytest.fixture
async def counters(api: kit.Api) -> Counters:
    made = Counters()
    resource_metrics.attach(api.core, made)
    pod = {"kind": "Pod", "metadata": {"name": "a", "labels": {"app": "x"}}}
    pod["spec"] = {"containers": [{"name": "c", "image": "i"}]}
    await api.create(kit.PODS, pod)
    await api.create("/api/v1/nodes", {"kind": "Node", "metadata": {"name": "n"}})
    return made


async def looked(api: kit.Api, counters: Counters) -> None:
    """Two looks, ten seconds apart: half a core of the pod, two cores of the node."""
    metrics = api.core.resource_metrics
    assert metrics is not None
    counters.now = [Used("default", "a", "c", 5.0, 1 << 20), Used("", "", "n", 100.0, 1 << 30)]
    await metrics.look()
    passed(api, 10)
    counters.now = [Used("default", "a", "c", 10.0, 3 << 20), Used("", "", "n", 120.0, 2 << 30)]
    await metrics.look()


async def test_rates_of_pods_and_nodes(api: kit.Api, counters: Counters) -> None:
    await looked(api, counters)
    found = await api.get(f"{ROOT}/namespaces/default/pods/a")
    assert found["kind"] == "PodMetrics"
    assert found["containers"] == [
        {"name": "c", "usage": {"cpu": "500000000n", "memory": "3072Ki"}}
    ]
    assert found["window"] == "10.000s"
    assert found["metadata"]["labels"] == {"app": "x"}
    nodes = await api.get(f"{ROOT}/nodes")
    assert nodes["kind"] == "NodeMetricsList"
    usage = nodes["items"][0]["usage"]
    assert usage == {"cpu": "2000000000n", "memory": "2097152Ki"}


async def test_selectors_and_namespaces(api: kit.Api, counters: Counters) -> None:
    await looked(api, counters)
    everywhere: list[tuple[str, dict[str, Any], list[str]]] = [
        ("pods", {}, ["a"]),
        ("pods", {"labelSelector": "app=x"}, ["a"]),
        ("pods", {"labelSelector": "app=y"}, []),
        ("namespaces/default/pods", {"fieldSelector": "metadata.name=a"}, ["a"]),
        ("namespaces/other/pods", {}, []),
    ]
    for path, query, names in everywhere:
        found = await api.get(f"{ROOT}/{path}", **query)
        assert [one["metadata"]["name"] for one in found["items"]] == names, path
    await api.get(f"{ROOT}/namespaces/other/pods/a", status=404)


async def test_nothing_is_told_before_two_looks_or_after_a_long_silence(
    api: kit.Api, counters: Counters
) -> None:
    service = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"

    async def condition() -> tuple[str, str]:
        found = (await api.get(service))["status"]["conditions"][0]
        return found["status"], found["reason"]

    assert (await api.get(f"{ROOT}/pods"))["items"] == []
    assert await condition() == ("False", "NoMeasures")
    await looked(api, counters)
    assert await condition() == ("True", "Local")
    counters.now = None
    passed(api, resource_metrics.STALE_SECONDS + 1)
    assert api.core.resource_metrics is not None
    await api.core.resource_metrics.look()
    assert (await api.get(f"{ROOT}/pods"))["items"] == []
    assert await condition() == ("False", "NoMeasures")


async def test_a_container_that_was_started_again_is_left_out_once(
    api: kit.Api, counters: Counters
) -> None:
    await looked(api, counters)
    assert api.core.resource_metrics is not None
    counters.now = [Used("default", "a", "c", 1.0, 1 << 20)]
    passed(api, 10)
    await api.core.resource_metrics.look()
    assert (await api.get(f"{ROOT}/pods"))["items"] == []


async def test_nobody_writes_measures(api: kit.Api, counters: Counters) -> None:
    del counters
    for method in ("POST", "DELETE"):
        await api.ask(method, f"{ROOT}/nodes", {"kind": "NodeMetrics"}, status=405)
