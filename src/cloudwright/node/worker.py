"""The worker of one pod: looks, asks ``engine``, publishes the status, acts, waits for news.

It sleeps until something happens (the API's object, an end of a container, a probe's word, a
background job, a deadline that the engine named); nothing is polled. All it remembers may be
lost: a new worker finds the rest in runtime and API.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import anyio
from anyio.abc import TaskGroup

from cloudwright._base import logs
from cloudwright._base.clock import parse_rfc3339
from cloudwright._base.errors import CloudwrightError
from cloudwright.client.errors import Conflict, Invalid, NotFound
from cloudwright.model.objects import Object, name_of, namespace_of, resource_version, uid_of
from cloudwright.model.resources import POD
from cloudwright.node import engine, observe, phases, resizing, specs, starting, tokens
from cloudwright.node.background import Background
from cloudwright.node.containers import Containers
from cloudwright.node.errors import describe
from cloudwright.node.memory import Found, failed, first
from cloudwright.node.neighbours import Neighbours
from cloudwright.node.observe import ContainerView, Facts, PodView
from cloudwright.node.restarts import retry_delay

_log = logs.get("node")
APPLIED = "cloudwright.dev/config-applied"


class PodWorker:
    """Runs one pod from binding to deletion. ``run`` returns when nothing of it is left."""

    def __init__(self, node: Neighbours, pod: Object, found: Found) -> None:
        self.node = node
        self.uid = uid_of(pod)
        self.pod = pod
        self.memory = first(pod, found)
        self._news = anyio.Event()
        self._sent: dict[str, Any] | None = None
        # What is in the files of a pod that runs already may be near its end.
        self._refresh = any(True for _ in tokens.sources(pod))
        self._was_ready = self.memory.sidecar_ready
        self._problem = specs.problem(pod)
        self._background = Background(self)
        self._containers = Containers(self, self._background)

    # What others tell.

    def poke(self) -> None:
        """Look again."""
        self._news.set()

    def update(self, pod: Object) -> None:
        """The API has a newer object."""
        if _newer(self.pod, pod):
            return
        old, self.pod = self.pod["metadata"], pod
        changed = any(old.get(key) != pod["metadata"].get(key) for key in ("labels", "annotations"))
        self._refresh = self._refresh or changed
        self.poke()

    def gone(self) -> None:
        """The API no longer has it."""
        self.memory.gone = True
        self.poke()

    def objects_changed(self) -> None:
        """A ConfigMap or Secret of its namespace has changed."""
        self._refresh = True
        self.poke()

    def retry_now(self) -> None:
        """Something that was missing (an image, an object) may be there: do not wait further."""
        for name, facts in self.memory.facts.items():
            if facts.failure is not None:
                self.memory.change(name, failure=None)
        self.memory.volumes_failure = None
        self.poke()

    def sidecar_ended(self) -> None:
        """The supervisor reports the end of the sidecar (and will restart it)."""
        self._background.sidecar_ended()

    def runtime_looked_over(self, found: Found) -> None:
        """Events of the runtime were missed; ``found`` is what there is of the pod now.

        A supervisor that was killed takes sandboxes and sidecars with it: they are made again.
        """
        memory = self.memory
        if memory.prepared and not (found.sandbox and found.sidecar):
            memory.prepared, memory.sandbox, memory.sidecar_ready = False, found.sandbox, False
        self._background.ask_sidecar()
        self.poke()

    def image_waited_for(self, reference: str) -> bool:
        """Whether a container waits for that image."""
        images = {c["name"]: c.get("image") for c in specs.containers(self.pod)}
        return any(
            facts.failure is not None and images.get(name) == reference
            for name, facts in self.memory.facts.items()
        )

    # The loop.

    async def run(self) -> None:
        """Work until the pod and everything of it are gone."""
        failures = 0
        async with anyio.create_task_group() as tasks:
            self._background.tasks = tasks
            while True:
                self._news = anyio.Event()
                pause: float | None
                try:
                    decision, again = await self._step()
                    if decision.done:
                        break
                    failures = 0
                    pause = 0.0 if again else self._until(self._wake_at(decision))
                except CloudwrightError as error:
                    failures += 1
                    self.node.vitals.errors.inc()
                    _log.warning("pod %s: %s", self.label, describe(error))
                    pause = retry_delay(self.node.settings.retry, failures)
                await self._wait(pause)
            tasks.cancel_scope.cancel()

    @property
    def label(self) -> str:
        """``namespace/name`` for logs."""
        return f"{namespace_of(self.pod)}/{name_of(self.pod)}"

    def _wake_at(self, decision: engine.Decision) -> datetime | None:
        """When to look again without news: the engine's deadline, or a token's."""
        due = None if self.memory.torn_down else tokens.renewal(self.node, self.pod)
        times = [at for at in (decision.wake_at, due) if at is not None]
        return min(times, default=None)

    def _until(self, at: datetime | None) -> float | None:
        if at is None:
            return None
        return max((at - self.node.now()).total_seconds(), 0.0) + 0.001

    async def _wait(self, pause: float | None) -> None:
        if pause is None:
            await self._news.wait()
        else:
            with anyio.move_on_after(pause):
                await self._news.wait()

    async def _step(self) -> tuple[engine.Decision, bool]:
        """One look; whether to look again at once."""
        view = await self.view()
        self._background.follow(view)
        await self._publish(view)
        decision = engine.decide(view, self.node.now(), self.node.settings)
        due = tokens.renewal(self.node, self.pod)
        self._refresh = self._refresh or (due is not None and due <= self.node.now())
        again = False
        for action in decision.actions:
            again = await self._perform(action) or again
        if self._refresh and self.memory.volumes and not view.ending:
            self._refresh = False
            await self._refresh_volumes()
        return decision, again

    async def view(self) -> PodView:
        """Everything known of the pod now."""
        self._weigh()
        held = observe.by_name(self.uid, await self.node.runtime.containers())
        now, memory = self.node.now(), self.memory
        spec = self.pod["spec"]

        def views(key: str) -> tuple[ContainerView, ...]:
            found = []
            for container in spec.get(key) or []:
                name = str(container["name"])
                runs = observe.attempts(self.pod, name, held.get(name, ()), now)
                facts = memory.facts.get(name, Facts())
                init, late = key == "initContainers", key == "ephemeralContainers"
                found.append(ContainerView(name, container, init, runs, facts, late))
            return tuple(found)

        view = PodView(
            pod=self.pod,
            init=views("initContainers"),
            app=views("containers"),
            ephemeral=views("ephemeralContainers"),
            pending=memory.pending,
            resize_failure=memory.resize_failure,
            gone=memory.gone,
            problem=self._problem,
            sandbox=memory.sandbox,
            prepared=memory.prepared,
            sandbox_failure=memory.sandbox_failure,
            volumes=memory.volumes,
            volumes_failure=memory.volumes_failure,
            sidecar_since=memory.sidecar_since,
            sidecar_ready=memory.sidecar_ready,
            drained=memory.drained,
            torn_down=memory.torn_down,
            teardown_failure=memory.teardown_failure,
            ip=memory.ip,
            host_ip=self.node.config.node_ip,
        )
        return await self._containers.with_last_words(view)

    def _weigh(self) -> None:
        """Whether what the containers do not have yet fits on this node."""
        memory = self.memory
        differs = any(
            resizing.differences(c, memory.facts.get(str(c["name"]), Facts()).resources)
            for key in ("initContainers", "containers")
            for c in self.pod["spec"].get(key) or ()
        )
        if not differs:
            memory.pending = memory.resize_failure = None
            return
        taken = self.node.taken(self.uid)
        memory.pending = resizing.pending(self.pod, self.node.machine, taken)

    # The status.

    async def _publish(self, view: PodView) -> None:
        if self.memory.gone:
            return
        status = phases.status(view, self.node.now(), self.node.settings.backoff)
        current = self.pod.get("status") or {}
        if status == self._sent or all(current.get(k) == v for k, v in status.items()):
            return
        body = {"metadata": {"uid": self.uid}, "status": status}
        if await self.patch(body, subresource="status"):
            self._sent = status
            self._observe_start(view)
            await self._containers.tell_back_off(status)

    def _observe_start(self, view: PodView) -> None:
        if self._was_ready or not phases.ready(view):
            return
        self._was_ready = True
        created = self.pod["metadata"].get("creationTimestamp")
        if created:
            age = (self.node.now() - parse_rfc3339(created)).total_seconds()
            self.node.vitals.start_seconds.observe(max(age, 0.0))

    async def patch(self, body: dict[str, Any], *, subresource: str = "") -> bool:
        """Merge-patch this very pod; ``False`` (and ``gone``) when it no longer exists."""
        name, space = name_of(self.pod), namespace_of(self.pod)
        try:
            changed = await self.node.client.patch(POD, name, body, space, subresource=subresource)
        except (NotFound, Conflict, Invalid) as error:
            if isinstance(error, NotFound) or await self._replaced():
                self.gone()
                return False
            raise
        if uid_of(changed) == self.uid and not _newer(self.pod, changed):
            self.pod = changed
        return True

    async def _replaced(self) -> bool:
        """Whether the API now has another pod, or none, under the name."""
        try:
            found = await self.node.client.get(POD, name_of(self.pod), namespace_of(self.pod))
        except NotFound:
            return True
        return uid_of(found) != self.uid

    # The actions. Each says whether to look again at once.

    async def _perform(self, action: engine.Action) -> bool:
        containers, background = self._containers, self._background
        match action:
            case engine.PrepareSandbox():
                return await self._prepare_sandbox()
            case engine.PrepareVolumes():
                return await self._prepare_volumes()
            case engine.StartContainer():
                return await containers.start(action)
            case engine.StopContainer():
                return await containers.stop(action)
            case engine.Signal():
                return await containers.signal(action)
            case engine.Resize():
                return await containers.resize(action)
            case engine.RemoveContainer():
                await self.node.runtime.remove_container(action.id)
                return False
            case engine.Drain():
                background.drain()
                return False
            case engine.TearDown():
                return await self._tear_down()
            case engine.Finalize():
                return await self._finalize()

    async def _prepare_sandbox(self) -> bool:
        memory = self.memory
        try:
            place, log = await starting.sandbox(self.node, self.pod)
        except (CloudwrightError, OSError) as error:
            reason = "FailedCreatePodSandBox"
            memory.sandbox_failure = await self._failure(memory.sandbox_failure, reason, error)
            return True
        memory.ip, memory.sandbox, memory.prepared = place.ip, True, True
        memory.sandbox_failure, memory.sidecar_log = None, log
        memory.sidecar_since = self.node.now()
        self._background.watch_sidecar()
        return True

    async def _prepare_volumes(self) -> bool:
        memory = self.memory
        self._refresh = False
        try:
            applied = await starting.write_volumes(self.node, self.pod)
        except (CloudwrightError, OSError) as error:
            memory.volumes_failure = await self._failure(
                memory.volumes_failure, "FailedMount", error
            )
            return True
        memory.volumes, memory.volumes_failure = True, None
        await self._annotate(applied)
        return True

    async def _refresh_volumes(self) -> None:
        """Write changed objects into the files of a pod that runs; a failure keeps the old ones."""
        try:
            applied = await starting.write_volumes(self.node, self.pod)
        except (CloudwrightError, OSError) as error:
            await self._failure(None, "FailedMount", error)
            return
        await self._annotate(applied)

    async def _annotate(self, applied: str) -> None:
        have = (self.pod["metadata"].get("annotations") or {}).get(APPLIED, "")
        if applied != have:
            value = applied or None
            body = {"metadata": {"uid": self.uid, "annotations": {APPLIED: value}}}
            # Through the status: a node may not write pods otherwise.
            await self.patch(body, subresource="status")

    async def _failure(
        self, old: observe.Failure | None, reason: str, error: Exception
    ) -> observe.Failure:
        text = describe(error) if isinstance(error, CloudwrightError) else str(error)
        self.node.vitals.errors.inc()
        await self.node.warn(self.pod, reason, text)
        return failed(old, reason, text, self.node.now())

    async def _tear_down(self) -> bool:
        memory = self.memory
        self._background.stop_all()
        ending = memory.gone or bool(self.pod["metadata"].get("deletionTimestamp"))
        try:
            await starting.tear_down(self.node, self.uid, self.pod, keep_logs=not ending)
        except (CloudwrightError, OSError) as error:
            memory.teardown_failure = await self._failure(
                memory.teardown_failure, "FailedKillPod", error
            )
            return True
        memory.torn_down, memory.sandbox, memory.prepared = True, False, False
        memory.sidecar_ready = False
        return True

    async def _finalize(self) -> bool:
        """Delete the object; a finalizer of somebody else may keep it, then DELETED comes later."""
        if self.memory.finalized:
            return False
        try:
            left = await self.node.client.delete(
                POD,
                name_of(self.pod),
                namespace_of(self.pod),
                grace_seconds=0,
                uid=self.uid,
                missing_ok=True,
            )
        except Conflict:
            left = None
        self.memory.finalized = True
        if left is None or not (left.get("metadata") or {}).get("finalizers"):
            self.memory.gone = True
        return self.memory.gone

    def was_done(self, hook: str) -> bool:
        """Whether a hook was already run for this pod, also by a daemon before this one."""
        return (self.node.pod_directory(self.uid) / "hooks" / hook).exists()

    def mark_done(self, hook: str) -> None:
        """Remember on disk that a hook was run, so that no later daemon runs it again."""
        directory = self.node.pod_directory(self.uid) / "hooks"
        if directory.parent.exists():
            directory.mkdir(exist_ok=True)
            (directory / hook).touch()

    def spawn(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a background job of this pod."""
        tasks: TaskGroup = self._background.tasks
        tasks.start_soon(job)


def _newer(known: Object, other: Object) -> bool:
    """Whether ``known`` is a later revision than ``other`` of the same object.

    Our API's revisions are numbers; those of an API where they are not are taken as they come.
    """
    left, right = resource_version(known), resource_version(other)
    return left.isdigit() and right.isdigit() and int(left) > int(right)
