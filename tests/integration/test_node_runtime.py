"""The node agent on the real runtime: crun, supervisor, mounts, exec, logs; only network and mesh
are fakes (the "sidecar" is a process that sleeps).
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright._base.errors import UnreachableError
from cloudwright._base.paths import Paths
from cloudwright.model.objects import uid_of
from cloudwright.model.sandbox import Attachment, ProcessSpec
from cloudwright.node.agent import NodeAgent
from cloudwright.node.streams import NodeStreams
from cloudwright.runtime.engine import RuntimeEngine
from tests.integration.runtime.kit import Kit, OneImage, helper_binary, runtime
from tests.unit.node.fakes import FakeHooks, FakeNetwork
from tests.unit.node.world import World, container_status, eventually, world

pytestmark = [pytest.mark.anyio, pytest.mark.root]


class OneNamespace(FakeNetwork):
    """Every pod lives in the kit's namespace."""

    netns = ""

    async def attach(self, pod_uid: str, namespace: str, name: str, *, egress: bool) -> Attachment:
        place = await super().attach(pod_uid, namespace, name, egress=egress)
        return replace(place, netns=self.netns)


class SleepingMesh:
    """Sidecars that are real processes but only sleep; probes succeed while they run."""

    def __init__(self, engine: RuntimeEngine) -> None:
        self.engine = engine
        self.enrolled: set[str] = set()

    async def enroll(self, pod: dict[str, Any], attachment: Attachment) -> ProcessSpec:
        uid = uid_of(pod)
        self.enrolled.add(uid)
        argv = ("/bin/sleep", "1000")
        return ProcessSpec(f"sidecar-{uid}", argv, attachment.netns, cgroup=f"pod{uid}/sidecar")

    async def release(self, pod_uid: str) -> None:
        self.enrolled.discard(pod_uid)

    async def drained(self, ip: str, *, timeout: float = 10.0) -> None: ...

    async def probe(self, pod_uid: str, request: dict[str, Any]) -> dict[str, Any]:
        running = {p.id for p in await self.engine.processes() if p.running}
        if f"sidecar-{pod_uid}" not in running:
            raise UnreachableError("no sidecar")
        return {"ok": True, "status": 200, "message": ""}

    async def connect(self, pod_uid: str, port: int) -> tuple[Any, Any]:
        raise UnreachableError("no sidecar")


@asynccontextmanager
async def node(kit: Kit, folder: Path) -> AsyncIterator[World]:
    async with world(folder) as w:
        w.paths = Paths.find(kit.root)
        w.config = replace(w.config, paths=w.paths)
        yield w


@asynccontextmanager
async def agent(w: World, kit: Kit, network: OneNamespace) -> AsyncIterator[NodeAgent]:
    """An agent, and a runtime client, as a new daemon would make them."""
    engine = RuntimeEngine(kit.config, OneImage(kit.image))
    made = NodeAgent(w.client, engine, network, SleepingMesh(engine), FakeHooks(), w.config)
    async with anyio.create_task_group() as tasks:
        await tasks.start(made.run)
        yield made
        tasks.cancel_scope.cancel()


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return helper_binary(tmp_path_factory.mktemp("node-helper"))


@pytest.fixture
async def kit(helper: Path, anyio_backend: str) -> AsyncIterator[Kit]:
    async with runtime(helper) as made:
        yield made


def network_of(kit: Kit) -> OneNamespace:
    network = OneNamespace()
    network.netns = kit.netns
    return network


async def output(streams: NodeStreams, *argv: str) -> tuple[int, str]:
    session = await streams.exec(
        "default", "p", container=None, argv=("/helper", *argv), tty=False, stdin=False
    )
    try:
        text = b"".join([data async for _, data in session.output()])
        return await session.wait(), text.decode()
    finally:
        await session.close()


async def start(w: World) -> str:
    await w.config_map("cm", mode="old")
    mounts = [{"name": "c", "mountPath": "/etc/config"}, {"name": "tmp", "mountPath": "/scratch"}]
    probe = {"exec": {"command": ["/helper", "show", "/etc/config/mode"]}}
    made = await w.create(
        container={
            "image": "helper:1",
            "volumeMounts": mounts,
            "readinessProbe": probe,
            "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        },
        volumes=[{"name": "c", "configMap": {"name": "cm"}}, {"name": "tmp", "emptyDir": {}}],
        terminationGracePeriodSeconds=5,
    )
    return uid_of(made)


async def test_a_pod_lives_is_taken_over_and_leaves_nothing(kit: Kit, tmp_path: Path) -> None:
    network = network_of(kit)
    async with node(kit, tmp_path) as w:
        async with agent(w, kit, network) as one:
            uid = await start(w)
            await w.ready()
            streams = NodeStreams(one)
            assert await output(streams, "show", "/etc/config/mode") == (0, "old")
            assert (await output(streams, "put", "/scratch/x", "1"))[0] == 0
            assert "nameserver 10.96.0.10" in (await output(streams, "show", "/etc/resolv.conf"))[1]
            assert "\tp\n" in (await output(streams, "show", "/etc/hosts"))[1]
            assert "IP=10.244.0.2\n" in (await output(streams, "env"))[1]
            chunks = [chunk async for chunk in streams.logs("default", "p")]
            assert b"".join(chunks) == b"serving\n"
            assert {u.container for u in await one.usage()} == {"app", "sidecar"}
        running = [(c.id, c.pid) for c in await kit.engine.containers()]
        async with agent(w, kit, network) as two:
            changed = await w.config_map("cm", mode="new")
            want = f"cm@{changed['metadata']['resourceVersion']}"
            note = "cloudwright.dev/config-applied"
            await w.until(lambda p: p["metadata"]["annotations"].get(note) == want)
            assert await output(NodeStreams(two), "show", "/etc/config/mode") == (0, "new")
            assert [(c.id, c.pid) for c in await kit.engine.containers()] == running
            await w.delete()
            await w.gone()
        left = kit.traces()
        assert not left["bundles"]
        assert not any(uid in line for line in left["processes"])
        assert not network.places
        assert not (w.paths.pods / uid).exists()
        assert not any(w.paths.pod_logs.iterdir())


async def test_a_killed_supervisor_costs_one_restart_on_crun(kit: Kit, tmp_path: Path) -> None:
    async with node(kit, tmp_path) as w, agent(w, kit, network_of(kit)):
        await start(w)
        await w.ready()
        os.kill(await kit.supervisor_pid(), signal.SIGKILL)
        await w.until(lambda p: container_status(p).get("restartCount") == 1)
        await w.ready()
        await w.delete()
        await w.gone()


async def test_crashes_and_memory_are_reported_as_they_were(kit: Kit, tmp_path: Path) -> None:
    async with node(kit, tmp_path) as w, agent(w, kit, network_of(kit)):
        limits = {"limits": {"memory": "16Mi"}}
        await w.create(
            container={"image": "helper:1", "args": ["alloc", "64"], "resources": limits},
            restartPolicy="Never",
        )
        done = await w.until(lambda p: (p.get("status") or {}).get("phase") == "Failed")
        assert container_status(done)["state"]["terminated"]["reason"] == "OOMKilled"
        words = {"image": "helper:1", "args": ["exit", "3"]}
        policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
        await w.create("q", container={**words, **policy}, restartPolicy="Never")
        done = await w.until(lambda p: (p.get("status") or {}).get("phase") == "Failed", "q")
        assert container_status(done)["state"]["terminated"]["exitCode"] == 3
        for name in ("p", "q"):
            await w.delete(name)
            await w.gone(name)

        async def clean() -> bool:
            # A pod that has ended is deleted at once by the API; its node cleans up on its own.
            return not any(w.paths.pods.iterdir())

        await eventually(clean)
