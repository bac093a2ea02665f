"""Watches pods and nodes, asks the engine, binds.

A pod that fits nowhere waits until a node or another pod changes; nothing is polled.
"""

from __future__ import annotations

from collections import deque

import anyio
from anyio.abc import TaskStatus

from cloudwright._base import logs
from cloudwright._base.clock import Clock, SystemClock
from cloudwright._base.errors import CloudwrightError, ConflictError, NotFoundError
from cloudwright.client.client import Client
from cloudwright.client.informer import Informer
from cloudwright.client.recorder import Recorder
from cloudwright.model import conditions
from cloudwright.model.objects import Object, deleting, key_of, name_of, namespace_of, uid_of
from cloudwright.model.resources import NODE, POD
from cloudwright.scheduler.config import Config
from cloudwright.scheduler.engine import Decision, decide
from cloudwright.scheduler.state import NodeState, finished
from cloudwright.scheduler.vitals import Vitals, shared

_LOG = logs.get("scheduler")


class Scheduler:
    """Binds the pods that name this scheduler."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock | None = None,
        config: Config | None = None,
        vitals: Vitals | None = None,
    ) -> None:
        self.client = client
        self.config = config or Config()
        self.vitals = vitals or Vitals()
        self._clock = clock or SystemClock()
        self._recorder = Recorder(client, self.config.name, clock=self._clock)
        self._nodes = Informer(client, NODE)
        self._pods = Informer(client, POD)
        self._due: deque[str] = deque()
        self._waiting: set[str] = set()
        self._assumed: dict[str, tuple[str, str]] = {}
        self._wake = anyio.Event()
        self._pods.add_handler(_PodHandler(self))
        self._nodes.add_handler(_NodeHandler(self))

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Place pods until cancelled; reports started once both caches are full."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._nodes.run)
            tasks.start_soon(self._pods.run)
            await self._nodes.wait_synced()
            await self._pods.wait_synced()
            task_status.started()
            while True:
                while self._due:
                    key = self._due.popleft()
                    retry = await self._place(key)
                    if retry:
                        tasks.start_soon(self._later, key)
                self._wake = anyio.Event()
                self.vitals.waiting.set(len(self._waiting))
                await self._wake.wait()

    # -- what changes mean

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """A new pod is due; one that went or ended frees its place for those that wait."""
        pod = new or old
        if pod is None:
            return
        key = key_of(pod)
        assumed = self._assumed.get(key)
        bound = new is not None and bool(new["spec"].get("nodeName"))
        if assumed is not None and (new is None or bound or uid_of(pod) != assumed[1]):
            del self._assumed[key]
        if new is None or finished(new):
            self._waiting.discard(key)
            self._retry_all()
        elif bound:
            self._waiting.discard(key)
            if old is not None and old["metadata"].get("labels") != new["metadata"].get("labels"):
                self._retry_all()  # affinity may look different now
        elif _wants_placing(new, self.config.name) and (old is None or _respecified(old, new)):
            self.enqueue(key)

    def node_changed(self, old: Object | None, new: Object | None) -> None:
        """Another node, or one with other properties, may take what waits."""
        if new is not None and (old is None or _shape(old) != _shape(new)):
            self._retry_all()

    def enqueue(self, key: str) -> None:
        """Look at a pod."""
        if key not in self._due:
            self._due.append(key)
        self._wake.set()

    def _retry_all(self) -> None:
        for key in sorted(self._waiting):
            self.enqueue(key)

    async def _later(self, key: str) -> None:
        await anyio.sleep(self.config.retry_seconds)
        self.enqueue(key)

    # -- one pod

    async def _place(self, key: str) -> bool:
        """Decide and bind; returns whether to try again although nothing changed."""
        pod = self._pods.store.get(key)
        if pod is None or not _wants_placing(pod, self.config.name) or key in self._assumed:
            self._waiting.discard(key)
            return False
        try:
            gates = [str(gate.get("name")) for gate in pod["spec"].get("schedulingGates") or []]
            if gates:
                self._waiting.add(key)
                text = f"Scheduling is blocked due to non-empty scheduling gates: {gates}"
                await self._refuse(pod, "SchedulingGated", text, event=False)
                return False
            decision = decide(pod, self._states())
            if decision.node is None:
                self._waiting.add(key)
                self.vitals.attempts.labels("unschedulable").inc()
                await self._refuse(pod, "Unschedulable", decision.message, event=True)
                return False
            await self._bind(pod, decision)
        except NotFoundError:
            return False  # the pod is gone
        except ConflictError as error:
            _LOG.debug("binding %s: %s", key, error)
            return False  # somebody bound or changed it: the watch tells
        except CloudwrightError as error:
            _LOG.warning("placing %s: %s; again", key, error)
            self.vitals.attempts.labels("error").inc()
            return True
        except ValueError as error:
            self._waiting.add(key)
            await self._refuse(pod, "SchedulerError", str(error), event=True)
        return False

    def _states(self) -> list[NodeState]:
        by_node: dict[str, list[Object]] = {}
        for pod in self._pods.store:
            node = pod["spec"].get("nodeName")
            assumed = self._assumed.get(key_of(pod))
            if not node and assumed is not None:
                node = assumed[0]
                pod = {**pod, "spec": {**pod["spec"], "nodeName": node}}
            if node:
                by_node.setdefault(str(node), []).append(pod)
        nodes = [node for node in self._nodes.store if not deleting(node)]
        return [NodeState.of(node, by_node.get(name_of(node), [])) for node in nodes]

    async def _bind(self, pod: Object, decision: Decision) -> None:
        assert decision.node is not None
        binding: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {
                "name": name_of(pod),
                "namespace": namespace_of(pod),
                "uid": uid_of(pod),
            },
            "target": {"apiVersion": "v1", "kind": "Node", "name": decision.node},
        }
        key = key_of(pod)
        self._assumed[key] = (decision.node, uid_of(pod))
        try:
            await self.client.create(
                POD, binding, namespace_of(pod), subresource="binding", name=name_of(pod)
            )
        except CloudwrightError:
            self._assumed.pop(key, None)
            raise
        if self._is_bound(key):
            self._assumed.pop(key, None)  # the watch was faster than the answer
        self._waiting.discard(key)
        self.vitals.attempts.labels("scheduled").inc()
        text = f"Successfully assigned {key} to {decision.node}"
        await self._recorder.event(pod, "Normal", "Scheduled", text)

    def _is_bound(self, key: str) -> bool:
        current = self._pods.store.get(key)
        return current is None or bool(current["spec"].get("nodeName"))

    async def _refuse(self, pod: Object, reason: str, message: str, *, event: bool) -> None:
        """Write why the pod waits, once for each reason."""
        entries = (pod.get("status") or {}).get("conditions")
        known = conditions.find(entries, "PodScheduled") or {}
        if (known.get("reason"), known.get("message")) == (reason, message):
            return
        status = {
            "conditions": conditions.set_condition(
                entries, "PodScheduled", "False", reason, message, self._clock.now()
            )
        }
        # The version guards the list of conditions against a stale view.
        body = {
            "metadata": {"resourceVersion": pod["metadata"].get("resourceVersion")},
            "status": status,
        }
        await self.client.patch(POD, name_of(pod), body, namespace_of(pod), subresource="status")
        if event:
            await self._recorder.event(pod, "Warning", "FailedScheduling", message)


def _wants_placing(pod: Object, scheduler: str) -> bool:
    spec = pod.get("spec", {})
    named = spec.get("schedulerName") or "default-scheduler"
    return not (spec.get("nodeName") or deleting(pod) or finished(pod)) and named == scheduler


def _respecified(old: Object, new: Object) -> bool:
    """Whether something changed that placement depends on (not our own status)."""
    if uid_of(old) != uid_of(new) or old["spec"] != new["spec"]:
        return True
    return bool(old["metadata"].get("labels") != new["metadata"].get("labels"))


def _shape(node: Object) -> tuple[object, ...]:
    status = node.get("status") or {}
    ready = (conditions.find(status.get("conditions"), "Ready") or {}).get("status")
    spec = node.get("spec") or {}
    return (
        node["metadata"].get("labels"),
        spec.get("taints"),
        spec.get("unschedulable"),
        status.get("allocatable"),
        status.get("capacity"),
        ready,
    )


class _PodHandler:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_add(self, obj: Object) -> None:
        self._scheduler.pod_changed(None, obj)

    def on_update(self, old: Object, new: Object) -> None:
        self._scheduler.pod_changed(old, new)

    def on_delete(self, obj: Object) -> None:
        self._scheduler.pod_changed(obj, None)


class _NodeHandler:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_add(self, obj: Object) -> None:
        self._scheduler.node_changed(None, obj)

    def on_update(self, old: Object, new: Object) -> None:
        self._scheduler.node_changed(old, new)

    def on_delete(self, obj: Object) -> None:
        self._scheduler.node_changed(obj, None)


async def run(
    client: Client,
    *,
    clock: Clock | None = None,
    config: Config | None = None,
    vitals: Vitals | None = None,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Place pods until cancelled; counts in the process's registry unless told another."""
    scheduler = Scheduler(client, clock=clock, config=config, vitals=vitals or shared())
    await scheduler.run(task_status=task_status)
