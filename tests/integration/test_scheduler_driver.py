"""The scheduler against the real API core: it binds, says why it cannot, and waits for changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright.model.conditions import find
from cloudwright.model.objects import Object
from cloudwright.model.resources import EVENT, NODE, POD
from cloudwright.scheduler.driver import run
from tests.integration.operator_world import Hooks, World, api, eventually, make_node

pytestmark = pytest.mark.anyio


def node(name: str, memory: str = "1Gi", **spec: Any) -> Object:
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": "4", "memory": memory, "pods": "10"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(name: str, memory: str = "64Mi", **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "containers": [
                {"name": "a", "image": "i", "resources": {"requests": {"memory": memory}}}
            ],
            **spec,
        },
    }


@asynccontextmanager
async def scheduling(folder: Path) -> AsyncIterator[World]:
    async with api(folder) as client, anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: run(client, task_status=task_status))
        yield World(client, Hooks(), None)  # type: ignore[arg-type]
        tasks.cancel_scope.cancel()


def bound(obj: Object) -> bool:
    return bool(obj["spec"].get("nodeName"))


def refused(obj: Object) -> bool:
    entry = find((obj.get("status") or {}).get("conditions"), "PodScheduled") or {}
    return entry.get("status") == "False"


async def test_a_pod_without_room_says_why_and_comes_when_there_is_some(tmp_path: Path) -> None:
    async with scheduling(tmp_path) as w:
        await make_node(w.client, node("small"))
        await w.client.create(POD, pod("big", "2Gi"))
        waiting = await w.until(POD, "big", refused)
        entry = find(waiting["status"]["conditions"], "PodScheduled") or {}
        assert entry["reason"] == "Unschedulable"
        assert entry["message"] == "0/1 nodes are available: 1 Insufficient memory."

        async def told() -> bool:
            events = (await w.client.list(EVENT)).items
            return [e["message"] for e in events if e["reason"] == "FailedScheduling"] == [
                entry["message"]
            ]

        await eventually(told)
        await make_node(w.client, node("large", "4Gi"))
        placed = await w.until(POD, "big", bound)
        assert placed["spec"]["nodeName"] == "large"


async def test_a_deleted_pod_makes_room(tmp_path: Path) -> None:
    async with scheduling(tmp_path) as w:
        await make_node(w.client, node("n"))
        await w.client.create(POD, pod("first", "800Mi"))
        await w.until(POD, "first", bound)
        await w.client.create(POD, pod("second", "800Mi"))
        await w.until(POD, "second", refused)
        await w.client.delete(POD, "first", "default", grace_seconds=0)
        await w.until(POD, "second", bound)


async def test_many_at_once_never_overcommit_a_node(tmp_path: Path) -> None:
    async with scheduling(tmp_path) as w:
        await make_node(w.client, node("a"))
        await make_node(w.client, node("b"))
        async with anyio.create_task_group() as tasks:
            for index in range(8):
                tasks.start_soon(w.client.create, POD, pod(f"p{index}", "400Mi"))

        async def settled() -> bool:
            pods = (await w.client.list(POD)).items
            return all(bound(p) or refused(p) for p in pods)

        await eventually(settled)
        pods = (await w.client.list(POD)).items
        places = [p["spec"].get("nodeName") for p in pods]
        assert (places.count("a"), places.count("b"), places.count(None)) == (2, 2, 4)


async def test_an_uncordoned_node_takes_what_waits(tmp_path: Path) -> None:
    async with scheduling(tmp_path) as w:
        await make_node(w.client, node("n", unschedulable=True))
        await w.client.create(POD, pod("p"))
        await w.until(POD, "p", refused)
        await w.client.patch(NODE, "n", {"spec": {"unschedulable": None}})
        await w.until(POD, "p", bound)


async def test_other_schedulers_and_gated_pods_are_left_alone(tmp_path: Path) -> None:
    async with scheduling(tmp_path) as w:
        await make_node(w.client, node("n"))
        await w.client.create(POD, pod("theirs", schedulerName="other"))
        await w.client.create(POD, pod("gated", schedulingGates=[{"name": "example.com/wait"}]))
        gated = await w.until(POD, "gated", refused)
        entry = find(gated["status"]["conditions"], "PodScheduled") or {}
        assert entry["reason"] == "SchedulingGated"
        await w.client.patch(POD, "gated", {"spec": {"schedulingGates": None}}, "default")
        await w.until(POD, "gated", bound)
        assert not bound(await w.client.get(POD, "theirs", "default"))


async def test_what_was_unbound_while_it_was_away_is_placed_at_the_start(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        await client.create(POD, pod("early"))
        await make_node(client, node("n"))
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: run(client, task_status=task_status))
            w = World(client, Hooks(), None)  # type: ignore[arg-type]
            await w.until(POD, "early", bound)
            tasks.cancel_scope.cancel()
