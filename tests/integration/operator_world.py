"""The control plane in one process (API core, controllers, scheduler) and a node that pretends."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from cloudwright._base.clock import SystemClock, rfc3339
from cloudwright._base.errors import CloudwrightError, ConflictError, NotFoundError
from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.identity import ADMINISTRATORS, AdministratorsOnly, User
from cloudwright.apiserver.local import LocalTransport
from cloudwright.apiserver.store.sqlite import open_store
from cloudwright.client.client import Client
from cloudwright.client.errors import AlreadyExists
from cloudwright.client.informer import Callbacks, Informer
from cloudwright.client.recorder import Recorder
from cloudwright.model.objects import Object, annotations_of, deleting, key_of, name_of
from cloudwright.model.resources import CONFIG_MAP, MICRO_SERVICE, NODE, POD, Resource
from cloudwright.operator.config import Config
from cloudwright.operator.engines.traffic import Traffic
from cloudwright.operator.ports import Use
from cloudwright.operator.queue import Backoff
from cloudwright.operator.run import ALL
from cloudwright.operator.run import run as run_operator
from cloudwright.scheduler.driver import run as run_scheduler

PATIENCE = 15.0
FAST = Config(backoff=Backoff(0.02, 0.5), hook_timeout=1.0, scale_interval=0.1)


class Hooks:
    """Remembers calls; ``fail`` makes the next ones go wrong."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str] = []
        self.fail = 0
        self.hang = False

    async def call(
        self,
        url: str,
        namespace: str,
        payload: dict[str, Any],
        *,
        timeout: float = 10.0,
        key: str = "",
    ) -> None:
        self.keys.append(key)
        self.calls.append((url, payload))
        if self.hang:
            await anyio.sleep_forever()
        if self.fail:
            self.fail -= 1
            raise CloudwrightError("the hook answered 500")

    def events(self) -> list[tuple[str, str]]:
        return [(p["event"], p["version"]) for _, p in self.calls]


class Meter:
    """Says what a test tells it: traffic by Service, cores by namespace."""

    def __init__(self) -> None:
        self.traffics: dict[str, Traffic] = {}
        self.cores: float | None = None
        self.memory: float | None = None

    async def traffic(
        self, namespace: str, service: str, *, seconds: float, percentile: float
    ) -> Traffic | None:
        return self.traffics.get(service)

    async def use(self, namespace: str, pods: Sequence[str]) -> Mapping[str, Use]:
        if self.cores is None:
            return {}
        return {pod: Use(self.cores / len(pods), self.memory) for pod in pods}


class Commands:
    """Remembers what would run in pods; ``codes`` are the next exit codes."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, list[str], Object]] = []
        self.codes: list[int] = []

    async def run(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        stdin: bytes,
        *,
        timeout: float,
    ) -> tuple[int, str]:
        self.runs.append((pod, list(command), json.loads(stdin)))
        return (self.codes.pop(0), "boom") if self.codes else (0, "")


class Node:
    """Starts and stops bound pods by their image: ``bad`` is never ready, ``missing`` is not
    there, ``exits-N`` ends at once with that code.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.recorder = Recorder(client, "kubelet")
        self.pods = Informer(client, POD)
        self.maps = Informer(client, CONFIG_MAP)
        self.apply_config = True
        self.frozen = False
        self.started: list[str] = []
        self._addresses = itertools.count(2)
        self._due: list[str] = []
        self._wake = anyio.Event()
        self.pods.add_handler(Callbacks(self._changed))
        self.maps.add_handler(Callbacks(lambda obj: self.kick()))

    def _changed(self, pod: Object) -> None:
        self._due.append(key_of(pod))
        self._wake.set()

    def kick(self) -> None:
        """Look at every pod again."""
        self._due.extend(sorted(self.pods.store.keys()))
        self._wake.set()

    async def run(self) -> None:
        amounts = {"cpu": "8", "memory": "8Gi", "pods": "110"}
        await make_node(
            self.client,
            {
                "metadata": {"name": "node"},
                "status": {
                    "capacity": amounts,
                    "allocatable": amounts,
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            },
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.pods.run)
            tasks.start_soon(self.maps.run)
            while True:
                while self._due:
                    key = self._due.pop(0)
                    try:
                        await self._look(key)
                    except NotFoundError:
                        pass
                    except ConflictError:
                        self._due.append(key)
                self._wake = anyio.Event()
                await self._wake.wait()

    async def _look(self, key: str) -> None:
        pod = self.pods.store.get(key)
        if pod is None or pod["spec"].get("nodeName") != "node" or self.frozen:
            return
        space, name = pod["metadata"]["namespace"], name_of(pod)
        if deleting(pod):
            await self.client.delete(
                POD, name, space, grace_seconds=0, uid=pod["metadata"]["uid"], missing_ok=True
            )
            return
        if not (pod.get("status") or {}).get("podIP"):
            self.started.append(name)
            await self.client.update_status(POD, {**pod, "status": self._status(pod)})
            if "bad" in pod["spec"]["containers"][0]["image"]:
                text = "Readiness probe failed: HTTP probe failed with statuscode: 503"
                await self.recorder.warning(pod, "Unhealthy", text)
        elif self.apply_config:
            await self._project(pod)

    async def _project(self, pod: Object) -> None:
        for volume in pod["spec"].get("volumes") or []:
            name = (volume.get("configMap") or {}).get("name")
            config = self.maps.store.get(f"{pod['metadata']['namespace']}/{name}")
            if config is None:
                continue
            text = f"{name}@{config['metadata']['resourceVersion']}"
            if annotations_of(pod).get("cloudwright.dev/config-applied") != text:
                await self.client.patch(
                    POD,
                    name_of(pod),
                    {"metadata": {"annotations": {"cloudwright.dev/config-applied": text}}},
                    pod["metadata"]["namespace"],
                )

    def _status(self, pod: Object) -> Object:
        image = pod["spec"]["containers"][0]["image"]
        status = dict(pod.get("status") or {})
        now = rfc3339(SystemClock().now())
        good = "bad" not in image and "missing" not in image
        entries = [c for c in status.get("conditions") or [] if c["type"] == "PodScheduled"]
        entries.append(
            {"type": "Ready", "status": "True" if good else "False", "lastTransitionTime": now}
        )
        container: Object = {
            "name": "app", "image": image, "imageID": "", "ready": good, "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }  # fmt: skip
        if "missing" in image:
            container["state"] = {
                "waiting": {"reason": "ErrImagePull", "message": f"image {image} not found"}
            }
        phase = "Pending" if "missing" in image else "Running"
        if "exits-" in image:
            code = int(image.rpartition("exits-")[2])
            container["state"] = {
                "terminated": {"exitCode": code, "startedAt": now, "finishedAt": now}
            }
            phase = "Failed" if code else "Succeeded"
        return {
            **status,
            "startTime": status.get("startTime") or now,
            "phase": phase,
            "podIP": f"10.244.0.{next(self._addresses) % 250 + 2}",
            "conditions": entries,
            "containerStatuses": [container],
        }


async def make_node(client: Client, node: Object) -> None:
    """Create a node and report its status, as an agent does."""
    try:
        made = await client.create(NODE, node)
    except AlreadyExists:
        made = await client.get(NODE, name_of(node))
    await client.update_status(NODE, {**made, "status": node["status"]})


class World:
    """What a test sees of the control plane."""

    def __init__(
        self,
        client: Client,
        hooks: Hooks,
        node: Node,
        meter: Meter | None = None,
        commands: Commands | None = None,
    ) -> None:
        self.client = client
        self.hooks = hooks
        self.node = node
        self.meter = meter or Meter()
        self.commands = commands or Commands()

    async def until(
        self,
        resource: Resource,
        name: str,
        test: Callable[[Object], bool],
        namespace: str = "default",
    ) -> Object:
        """Wait (by watching) until the object passes the test."""
        informer = Informer(self.client, resource)
        found: list[Object] = []
        changed = [anyio.Event()]

        def look(obj: Object) -> None:
            if name_of(obj) == name and test(obj):
                found.append(obj)
                changed[0].set()

        informer.add_handler(Callbacks(look))
        seen: Object | None = None
        with anyio.move_on_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(informer.run)
                await changed[0].wait()
                tasks.cancel_scope.cancel()
        if not found:
            key = f"{namespace}/{name}" if resource.namespaced else name
            seen = informer.store.get(key)
            raise AssertionError(f"{resource.kind} {name} never passed: {seen}")
        return found[-1]

    async def until_gone(self, resource: Resource, name: str, namespace: str = "default") -> None:
        """Wait until the object is gone."""
        await eventually(lambda: self._gone(resource, name, namespace))

    async def _gone(self, resource: Resource, name: str, namespace: str) -> bool:
        try:
            await self.client.get(resource, name, namespace)
        except NotFoundError:
            return True
        return False

    async def items(self, resource: Resource, **options: Any) -> list[Object]:
        return (await self.client.list(resource, **options)).items

    async def phase(self, name: str, phase: str) -> Object:
        """Wait until a MicroService is in a phase for its present generation."""
        return await self.until(
            MICRO_SERVICE,
            name,
            lambda o: (
                (o.get("status") or {}).get("phase") == phase
                and o["status"].get("observedGeneration") == o["metadata"]["generation"]
            ),
        )


async def eventually(test: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a test passes; asks again every few milliseconds."""
    with anyio.move_on_after(PATIENCE):
        while not await test():
            await anyio.sleep(0.02)
        return
    raise AssertionError("it never happened")


@asynccontextmanager
async def api(folder: Path) -> AsyncIterator[Client]:
    """A client of a core on a store in ``folder``."""
    clock = SystemClock()
    async with open_store(StoreConfig(folder / "store.db"), clock) as store:
        core = await bootstrap.start(store, AdministratorsOnly(), clock=clock)
        yield Client(LocalTransport(core, User("admin", (ADMINISTRATORS,))))


@asynccontextmanager
async def world(
    folder: Path, *, controllers: tuple[str, ...] = ALL, config: Config = FAST
) -> AsyncIterator[World]:
    """API, controllers, scheduler and node."""
    async with api(folder) as client:
        hooks, node, meter, commands = Hooks(), Node(client), Meter(), Commands()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.run)
            await tasks.start(lambda *, task_status: run_scheduler(client, task_status=task_status))
            await tasks.start(
                lambda *, task_status: run_operator(
                    client,
                    hooks=hooks,
                    meter=meter,
                    commands=commands,
                    config=config,
                    controllers=controllers,
                    task_status=task_status,
                )
            )
            yield World(client, hooks, node, meter, commands)
            tasks.cancel_scope.cancel()
