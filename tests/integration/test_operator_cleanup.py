"""Garbage collection, namespaces, service accounts, silent nodes: against the real API core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright.client.client import Client
from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, deleting, finalizers_of, owner_reference
from cloudwright.model.resources import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    ENDPOINTS,
    LEASE,
    MICRO_SERVICE,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Resource,
)
from cloudwright.operator.config import Config
from cloudwright.operator.controllers.gc import GarbageCollector
from cloudwright.operator.manager import Manager
from cloudwright.operator.run import build
from tests.integration.operator_world import (
    FAST,
    Hooks,
    Node,
    World,
    api,
    eventually,
    make_node,
    world,
)

pytestmark = pytest.mark.anyio
COLLECTOR = ("gc", "namespace", "serviceaccount")
WIDGET = Resource("example.com", "v1", "Widget", "widgets", "widget")
DEFINITION: Object = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
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


def thing(name: str, *owners: Object, **metadata: Any) -> Object:
    references = [owner_reference(owner, controller=False) for owner in owners]
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            **({"ownerReferences": references} if references else {}),
            **metadata,
        }
    }


async def names(client: Client, resource: Resource) -> set[str]:
    found = await client.list(resource, "default")
    return {o["metadata"]["name"] for o in found.items}


async def test_dependents_go_with_their_owner_also_across_kinds(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=COLLECTOR) as w:
        root = await w.client.create(CONFIG_MAP, thing("root"))
        other = await w.client.create(CONFIG_MAP, thing("other"))
        child = await w.client.create(SECRET, thing("child", root))
        await w.client.create(CONFIG_MAP, thing("grandchild", child))
        await w.client.create(CONFIG_MAP, thing("shared", root, other))
        await w.client.delete(CONFIG_MAP, "root", "default")
        await w.until_gone(SECRET, "child")
        await w.until_gone(CONFIG_MAP, "grandchild")
        kept = await w.until(
            CONFIG_MAP, "shared", lambda o: len(o["metadata"]["ownerReferences"]) == 1
        )
        assert kept["metadata"]["ownerReferences"][0]["name"] == "other"


async def test_an_owner_that_never_was_takes_its_dependents(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=COLLECTOR) as w:
        root = await w.client.create(CONFIG_MAP, thing("root"))
        await w.client.delete(CONFIG_MAP, "root", "default")
        await w.client.create(SECRET, thing("late", root))
        await w.until_gone(SECRET, "late")


async def test_foreground_waits_for_dependents(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=COLLECTOR) as w:
        root = await w.client.create(CONFIG_MAP, thing("root"))
        await w.client.create(SECRET, thing("held", root, finalizers=["example.com/hold"]))
        await w.client.delete(CONFIG_MAP, "root", "default", propagation="Foreground")
        held = await w.until(SECRET, "held", deleting)
        waiting = await w.client.get(CONFIG_MAP, "root", "default")
        assert finalizers_of(waiting) == ["foregroundDeletion"]
        await w.client.update(SECRET, {**held, "metadata": {**held["metadata"], "finalizers": []}})
        await w.until_gone(CONFIG_MAP, "root")


async def test_orphans_stay(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=COLLECTOR) as w:
        root = await w.client.create(CONFIG_MAP, thing("root"))
        await w.client.create(SECRET, thing("child", root))
        await eventually(lambda: _sees(w.client))
        await w.client.delete(CONFIG_MAP, "root", "default", propagation="Orphan")
        await w.until_gone(CONFIG_MAP, "root")
        child = await w.client.get(SECRET, "child", "default")
        assert not child["metadata"].get("ownerReferences")


async def _sees(client: Client) -> bool:
    return "child" in await names(client, SECRET)


async def test_custom_kinds_are_collected_as_well(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=COLLECTOR) as w:
        await w.client.create(CUSTOM_RESOURCE_DEFINITION, DEFINITION)
        await w.until(
            CUSTOM_RESOURCE_DEFINITION,
            "widgets.example.com",
            lambda o: bool(find((o.get("status") or {}).get("conditions"), "Established")),
        )
        widget = {"apiVersion": "example.com/v1", "kind": "Widget", **thing("w")}
        root = await w.client.create(WIDGET, widget)
        await w.client.create(CONFIG_MAP, thing("child", root))
        inner = {"apiVersion": "example.com/v1", "kind": "Widget", **thing("inner", root)}
        await w.client.create(WIDGET, inner)
        await w.client.delete(WIDGET, "w", "default")
        await w.until_gone(CONFIG_MAP, "child")
        await w.until_gone(WIDGET, "inner")


async def test_a_kind_that_is_served_no_more_is_forgotten(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        w = World(client, Hooks(), Node(client))
        manager = Manager(client, config=FAST)
        collector = GarbageCollector()
        manager.add(collector)
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: manager.run(task_status=task_status))
            for _ in range(2):
                await client.create(CUSTOM_RESOURCE_DEFINITION, DEFINITION)

                async def known() -> bool:
                    return ("example.com", "widgets") in collector.caches

                await eventually(known)
                await client.delete(CUSTOM_RESOURCE_DEFINITION, "widgets.example.com")
                await w.until_gone(CUSTOM_RESOURCE_DEFINITION, "widgets.example.com")

                async def forgotten() -> bool:
                    return ("example.com", "widgets") not in collector.caches

                await eventually(forgotten)
            tasks.cancel_scope.cancel()


async def test_a_namespace_with_a_running_service_ends(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.client.create(NAMESPACE, {"metadata": {"name": "team"}})
        service: Object = {
            "apiVersion": "platform.example.com/v1",
            "kind": "MicroService",
            "metadata": {"name": "pay", "namespace": "team"},
            "spec": {"version": "1.0.0", "replicas": 2, "config": {"a": "b"}},
        }
        await w.client.create(MICRO_SERVICE, service)
        await w.until(
            MICRO_SERVICE, "pay", lambda o: (o.get("status") or {}).get("phase") == "Ready"
        )
        await w.client.delete(NAMESPACE, "team")
        await w.until_gone(NAMESPACE, "team")
        for resource in (MICRO_SERVICE, DEPLOYMENT, REPLICA_SET, POD, SERVICE, ENDPOINTS):
            assert (await w.client.list(resource, "team")).items == []


async def test_a_namespace_takes_its_contents_with_it(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=COLLECTOR) as w:
        await w.client.create(NAMESPACE, {"metadata": {"name": "team"}})
        await w.until(SERVICE_ACCOUNT, "default", lambda o: o["metadata"]["namespace"] == "team")
        held = thing("held", finalizers=["example.com/hold"])
        held["metadata"]["namespace"] = "team"
        await w.client.create(CONFIG_MAP, held)
        await w.client.delete(NAMESPACE, "team")

        def waits(namespace: Object) -> bool:
            entries = namespace["status"].get("conditions")
            return "example.com/hold" in str(find(entries, "NamespaceFinalizersRemaining"))

        await w.until(NAMESPACE, "team", waits)
        await w.client.patch(CONFIG_MAP, "held", {"metadata": {"finalizers": None}}, "team")
        await w.until_gone(NAMESPACE, "team")
        assert (await w.client.list(SERVICE_ACCOUNT, "team")).items == []


async def test_every_namespace_has_a_default_account_again_and_again(tmp_path: Path) -> None:
    async with world(tmp_path, controllers=COLLECTOR) as w:
        first = await w.until(
            SERVICE_ACCOUNT, "default", lambda o: o["metadata"]["namespace"] == "default"
        )
        await w.client.delete(SERVICE_ACCOUNT, "default", "default")
        await w.until(
            SERVICE_ACCOUNT,
            "default",
            lambda o: (
                o["metadata"]["namespace"] == "default"
                and o["metadata"]["uid"] != first["metadata"]["uid"]
            ),
        )


async def test_a_silent_node_is_not_ready(tmp_path: Path) -> None:
    clock = ManualClock()
    async with api(tmp_path) as client:
        await make_node(
            client,
            {
                "metadata": {"name": "n"},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            },
        )
        lease: Object = {
            "metadata": {"name": "n", "namespace": "kube-node-lease"},
            "spec": {"renewTime": "2026-01-01T00:00:00.000000Z"},
        }
        await client.create(LEASE, lease)
        manager = build(client, hooks=Hooks(), clock=clock, controllers=("nodes",))
        controller = manager._controllers[0]
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: manager.run(task_status=task_status))
            await eventually(lambda: _idle(controller.queue.schedule))
            # Its own start does not condemn a node, however old the Lease is.
            assert _ready(await client.get(NODE, "n")) == "True"
            clock.advance(41)
            controller.queue.add("n")

            async def unknown() -> bool:
                return _ready(await client.get(NODE, "n")) == "Unknown"

            await eventually(unknown)
            tasks.cancel_scope.cancel()


def _ready(node: Object) -> str:
    return str((find(node["status"]["conditions"], "Ready") or {})["status"])


async def _idle(schedule: Any) -> bool:
    found = schedule.snapshot()
    return not found["ready"] and not found["running"]


async def test_a_dry_run_writes_nothing_and_notes_everything(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        root = await client.create(CONFIG_MAP, thing("root"))
        await client.delete(CONFIG_MAP, "root", "default")
        await client.create(SECRET, thing("child", root))
        manager = Manager(client, config=Config(dry_run=True))
        collector = GarbageCollector()
        manager.add(collector)
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: manager.run(task_status=task_status))

            async def noted() -> bool:
                return bool(collector.api.intended)

            await eventually(noted)
            tasks.cancel_scope.cancel()
        assert collector.api.intended[0].name == "child"
        assert await names(client, SECRET) == {"child"}
        assert await names(client, POD) == set()
