"""The node agent: registers this machine, runs one worker for each pod bound to it.

A restart takes over what runs and removes what no longer has a pod. Errors of one pod never
reach another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup, TaskStatus

from cloudwright._base import logs
from cloudwright._base.clock import Clock, SystemClock, rfc3339_micro
from cloudwright._base.errors import CloudwrightError, UnreachableError
from cloudwright.client.client import Client
from cloudwright.client.informer import Informer
from cloudwright.client.recorder import Recorder
from cloudwright.model import pods
from cloudwright.model.objects import Object, key_of, name_of, namespace_of, uid_of
from cloudwright.model.resources import LEASE, NODE, POD
from cloudwright.model.sandbox import ContainerState, Usage
from cloudwright.node import claims, orphans, registration, tokens
from cloudwright.node.config import NodeConfig
from cloudwright.node.errors import describe
from cloudwright.node.memory import Found
from cloudwright.node.names import parse_container_id, short, sidecar_id
from cloudwright.node.neighbours import Neighbours
from cloudwright.node.objects import PodObjects
from cloudwright.node.ports import Hooks, Mesh, PodNetwork, Runtime
from cloudwright.node.restarts import retry_delay
from cloudwright.node.vitals import Vitals
from cloudwright.node.worker import PodWorker

_log = logs.get("node")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """One line of ``top``: a container (or the pod's sidecar) now."""

    namespace: str
    pod: str
    container: str
    usage: Usage


class NodeAgent:
    """The agent of one machine. ``run`` works until it is cancelled; no pod is stopped by that."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        network: PodNetwork,
        mesh: Mesh,
        hooks: Hooks,
        config: NodeConfig,
        clock: Clock | None = None,
        *,
        vitals: Vitals | None = None,
    ) -> None:
        clock = clock or SystemClock()
        name = config.node_name
        self._pods = Informer(client, POD, field_selector=f"spec.nodeName={name}")
        self._objects = PodObjects(client, self._object)
        self.node = Neighbours(
            client=client,
            recorder=Recorder(client, "kubelet", host=name, clock=clock),
            runtime=runtime,
            network=network,
            mesh=mesh,
            hooks=hooks,
            config=config,
            clock=clock,
            objects=self._objects,
            vitals=vitals or Vitals(),
            machine=registration.allocatable(registration.capacity(config)),
            taken=self._taken,
        )
        self._workers: dict[str, PodWorker] = {}
        self._found: Mapping[str, Found] = {}
        self._tasks: TaskGroup | None = None
        self._ends: dict[str, list[anyio.Event]] = {}

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Register, take over, serve. ``started`` is told once every known pod has its worker."""
        node = await self._retried(self._register)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._pods.run)
            tasks.start_soon(self._objects.run)
            tasks.start_soon(self._heartbeat, node)
            tasks.start_soon(self._node_status)
            tasks.start_soon(claims.clean_up, self.node)
            await self._pods.wait_synced()
            await self._objects.wait_running()
            self._found = await self._retried(self._look_around)
            tasks.start_soon(self._runtime_events)
            self._pods.add_handler(self)
            tasks.start_soon(self._collect)
            task_status.started()

    # What others ask.

    def worker_of(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a pod by name."""
        pod = self._pods.store.get(f"{namespace}/{name}")
        return None if pod is None else self._workers.get(uid_of(pod))

    def when_ended(self, container: str, event: anyio.Event) -> None:
        """Set ``event`` when that container ends."""
        self._ends.setdefault(container, []).append(event)

    def image_built(self, reference: str) -> None:
        """An image has appeared: containers that wait for it start without further delay."""
        for worker in self._workers.values():
            if worker.image_waited_for(reference):
                worker.retry_now()

    async def usage(self) -> list[ContainerUsage]:
        """Resource use of every container and sidecar of this node's pods."""
        table = await self.node.runtime.usage()
        by_short = {short(uid): worker.pod for uid, worker in self._workers.items()}
        by_sidecar = {sidecar_id(uid): worker.pod for uid, worker in self._workers.items()}
        result = []
        for identifier, usage in table.items():
            parsed = parse_container_id(identifier)
            pod, name = by_sidecar.get(identifier), "sidecar"
            if pod is None and parsed is not None:
                pod, name = by_short.get(parsed[0]), parsed[1]
            if pod is not None:
                entry = ContainerUsage(namespace_of(pod), name_of(pod), name, usage)
                result.append(entry)
        return sorted(result, key=lambda u: (u.namespace, u.pod, u.container))

    # The pods' informer tells.

    def on_add(self, obj: Object) -> None:
        """A pod was bound to this node (or is known since before)."""
        uid = uid_of(obj)
        if uid in self._workers or self._tasks is None:
            return
        worker = PodWorker(self.node, obj, self._found.get(uid, Found()))
        self._workers[uid] = worker
        self._objects.hold(obj)
        self._tasks.start_soon(self._work, worker)
        self._count()

    def on_update(self, old: Object, new: Object) -> None:
        """A pod's object has changed."""
        worker = self._workers.get(uid_of(new))
        if worker is None:
            self.on_add(new)
        else:
            worker.update(new)
            self._room()
        self._count()

    def on_delete(self, obj: Object) -> None:
        """A pod's object is gone."""
        worker = self._workers.get(uid_of(obj))
        if worker is not None:
            worker.gone()
        self._room()
        self._count()

    def _taken(self, uid: str) -> dict[str, Decimal]:
        total: dict[str, Decimal] = {}
        for pod in self._pods.store:
            if uid_of(pod) != uid and not pods.is_terminal(pod):
                for name, amount in pods.total_requests(pod).items():
                    total[name] = total.get(name, Decimal(0)) + amount
        return total

    def _room(self) -> None:
        """A pod left or asks for less: those that wait for room look again."""
        for worker in self._workers.values():
            if worker.memory.pending is not None:
                worker.poke()

    def _count(self) -> None:
        pods = self._pods.store
        self.node.vitals.count_pods(str((p.get("status") or {}).get("phase")) for p in pods)

    def _object(self, kind: str, obj: Object) -> None:
        """A ConfigMap or Secret has changed: whoever uses it looks."""
        for worker in self._workers.values():
            if namespace_of(worker.pod) == namespace_of(obj) and _uses(
                worker.pod, kind, name_of(obj)
            ):
                worker.objects_changed()
                worker.retry_now()

    async def _work(self, worker: PodWorker) -> None:
        """The border: whatever happens to one pod is logged and tried again, and stays here."""
        failures = 0
        while True:
            try:
                await worker.run()
                break
            except Exception as error:
                failures += 1
                self.node.vitals.errors.inc()
                _log.exception("worker of pod %s failed", worker.label, exc_info=error)
                await anyio.sleep(retry_delay(self.node.settings.retry, failures))
                found = (await self._retried(self._look_around)).get(worker.uid, Found())
                worker = PodWorker(self.node, worker.pod, found)
                worker.memory.gone = self._gone(worker)
                self._workers[worker.uid] = worker
        self._workers.pop(worker.uid, None)
        self._objects.release(worker.pod)
        tokens.forget(self.node, worker.uid)
        for event in self._ends.pop(sidecar_id(worker.uid), ()):
            event.set()

    def _gone(self, worker: PodWorker) -> bool:
        known = self._pods.store.get(key_of(worker.pod))
        return known is None or uid_of(known) != worker.uid

    # The machine.

    async def _register(self) -> Object:
        """Create or update the Node, with what the machine is like now."""
        node = registration.node_object(self.node.config)
        found = await self.node.client.create_or_update(NODE, node)
        return await self._post_status(found)

    async def _post_status(self, old: Object) -> Object:
        config, now = self.node.config, self.node.now()
        status = await to_thread.run_sync(registration.status, config, old, now)
        return await self.node.client.patch_status(NODE, config.node_name, status)

    async def _retried(self, job: Callable[[], Awaitable[T]]) -> T:
        """``await job()`` until it does not raise, with a growing pause."""
        failures = 0
        while True:
            try:
                return await job()
            except (CloudwrightError, OSError) as error:
                failures += 1
                self.node.vitals.errors.inc()
                text = describe(error) if isinstance(error, CloudwrightError) else str(error)
                _log.warning("node %s: %s", self.node.config.node_name, text)
                await anyio.sleep(retry_delay(self.node.settings.retry, failures))

    async def _heartbeat(self, node: Object) -> None:
        config, client = self.node.config, self.node.client
        while True:
            lease = registration.lease(config, uid_of(node), rfc3339_micro(self.node.now()))
            await self._retried(partial(client.create_or_update, LEASE, lease))
            await anyio.sleep(config.lease_period)

    async def _node_status(self) -> None:
        while True:
            await anyio.sleep(self.node.config.status_period)
            await self._retried(self._register)

    async def _look_around(self) -> dict[str, Found]:
        """What a daemon before this one left running."""
        runtime = self.node.runtime
        sandboxes = set(await runtime.sandboxes())
        places = {place.pod_uid: place.ip for place in await self.node.network.attachments()}
        running = {process.id for process in await runtime.processes() if process.running}
        return {
            uid: Found(uid in places, sidecar_id(uid) in running, places.get(uid, ""))
            for uid in sandboxes
        }

    async def _collect(self) -> None:
        """Remove what belongs to no pod of the API, until nothing is left over."""

        def alive() -> set[str]:
            return {uid_of(pod) for pod in self._pods.store} | set(self._workers)

        async def collect() -> None:
            for uid in await orphans.remove_dead(self.node, alive):
                _log.info("removed what was left of pod %s", uid)

        await self._retried(collect)

    async def _runtime_events(self) -> None:
        """Pass ends of containers and sidecars on; after ``lost`` everybody looks."""

        async def follow() -> None:
            async for event in self.node.runtime.events():
                if event.kind == "container.exit":
                    self._ended(event.id)
                elif event.kind == "process.exit":
                    for uid, worker in self._workers.items():
                        if event.id == sidecar_id(uid):
                            worker.sidecar_ended()
                else:
                    await self._look_again()
            # What ended between two streams of events was told to nobody.
            await self._look_again()
            raise UnreachableError("the runtime's events have ended")

        while True:
            await self._retried(follow)

    def _ended(self, container: str) -> None:
        for event in self._ends.pop(container, ()):
            event.set()
        parsed = parse_container_id(container)
        for uid, worker in self._workers.items():
            if parsed is not None and short(uid) == parsed[0]:
                worker.poke()

    async def _look_again(self) -> None:
        """Events of the runtime were missed: find out what ended and whose sandbox is gone."""
        statuses = await self.node.runtime.containers()
        running = {s.id for s in statuses if s.state is not ContainerState.EXITED}
        for container in [c for c in self._ends if c not in running]:
            if parse_container_id(container) is not None:
                self._ended(container)
        found = await self._look_around()
        for uid, worker in self._workers.items():
            worker.runtime_looked_over(found.get(uid, Found()))


def _uses(pod: Object, kind: str, name: str) -> bool:
    """Whether the pod's spec names that object anywhere (volumes, env, envFrom)."""
    keys = {"ConfigMap": ("configMap", "configMapRef", "configMapKeyRef")}.get(
        kind, ("secret", "secretRef", "secretKeyRef")
    )

    def found(value: Any) -> bool:
        if isinstance(value, list):
            return any(found(item) for item in value)
        if not isinstance(value, dict):
            return False
        for key in keys:
            ref = value.get(key)
            if isinstance(ref, dict) and name in (ref.get("name"), ref.get("secretName")):
                return True
        return any(found(item) for item in value.values())

    spec = pod["spec"]
    lists = ("volumes", "containers", "initContainers", "ephemeralContainers")
    return found([spec.get(key) for key in lists])
