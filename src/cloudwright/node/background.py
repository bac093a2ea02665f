"""What goes on beside a pod's worker: probing, waiting for the sidecar, draining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from cloudwright._base.errors import CloudwrightError
from cloudwright.node import engine, hooks, prober
from cloudwright.node.errors import NodeError
from cloudwright.node.observe import PodView
from cloudwright.node.probes import ProbeSpec

if TYPE_CHECKING:
    from cloudwright.node.worker import PodWorker

INBOUND_PORT = 15006
_FIRST_PAUSE, _MAX_PAUSE = 0.05, 2.0


class Background:
    """The background jobs of one pod; all end with the worker's task group."""

    tasks: TaskGroup

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker
        self._probing: dict[str, tuple[str, anyio.CancelScope]] = {}
        self._sidecar: anyio.CancelScope | None = None
        self._sidecar_ended = anyio.Event()

    def follow(self, view: PodView) -> None:
        """Probe exactly the containers that run and are not being stopped."""
        wanted: dict[str, str] = {}
        for container in view.containers:
            running = container.running
            if running is not None and container.facts.stop is None and not view.ending:
                wanted[container.name] = running.id
        for name, (identifier, scope) in list(self._probing.items()):
            if wanted.get(name) != identifier:
                scope.cancel()
                del self._probing[name]
        for container in view.containers:
            if container.name in wanted and container.name not in self._probing:
                if container.init or container.ephemeral:
                    continue
                self._probe(dict(container.spec), wanted[container.name])

    def stop_all(self) -> None:
        """End probing and watching (the pod is being torn down)."""
        for _, scope in self._probing.values():
            scope.cancel()
        self._probing.clear()
        if self._sidecar is not None:
            self._sidecar.cancel()
            self._sidecar = None

    def _probe(self, container: dict[str, Any], identifier: str) -> None:
        name, memory = str(container["name"]), self._worker.memory
        taken_over = memory.seen.get(name) == identifier
        if not taken_over:
            memory.seen[name] = identifier
            memory.change(name, started=False, ready=False, unhealthy=None, stop=None)
        facts = memory.facts[name]
        was_started, was_ready = facts.started, facts.ready
        scope = anyio.CancelScope()
        self._probing[name] = (identifier, scope)
        listener = self._listener(name, identifier)

        async def job() -> None:
            with scope:
                if not was_started and not await self._post_start(container, identifier):
                    return
                await prober.run(
                    self._worker.node,
                    self._worker.uid,
                    container,
                    identifier,
                    listener,
                    was_started=was_started,
                    was_ready=was_ready,
                )

        self.tasks.start_soon(job)

    async def _post_start(self, container: dict[str, Any], identifier: str) -> bool:
        handler = hooks.post_start(container)
        if handler is None:
            return True
        worker, name = self._worker, str(container["name"])
        try:
            await hooks.call(
                worker.node, worker.uid, container, identifier, handler, engine.DEFAULT_GRACE
            )
        except NodeError as error:
            await worker.node.warn(worker.pod, "FailedPostStartHook", error.message)
            worker.memory.change(name, unhealthy=f"its postStart hook failed: {error.message}")
            worker.poke()
            return False
        return True

    def _listener(self, name: str, identifier: str) -> prober.Listener:
        worker = self._worker

        def current() -> bool:
            return worker.memory.seen.get(name) == identifier

        def started() -> None:
            if current():
                worker.memory.change(name, started=True)
                worker.poke()

        def ready(value: bool) -> None:
            if current():
                worker.memory.change(name, ready=value)
                worker.poke()

        def exhausted(spec: ProbeSpec, message: str) -> None:
            facts = worker.memory.facts[name]
            if current() and facts.unhealthy is None and facts.stop is None:
                reason = f"Container {name} failed {spec.kind} probe, will be restarted"
                worker.memory.change(name, unhealthy=reason, unhealthy_grace=spec.grace)
                worker.poke()

        async def warning(text: str) -> None:
            await worker.node.warn(worker.pod, "Unhealthy", text)

        return prober.Listener(started, ready, warning, exhausted)

    def watch_sidecar(self) -> None:
        """Keep ``sidecar_ready`` true to the facts from now on."""
        if self._sidecar is None:
            self._sidecar = anyio.CancelScope()
            self.tasks.start_soon(self._watch_sidecar, self._sidecar)

    def sidecar_ended(self) -> None:
        """The sidecar's process has ended."""
        if self._worker.memory.sidecar_ready:
            self._worker.memory.sidecar_ready = False
            self._worker.poke()
        self._sidecar_ended.set()

    def ask_sidecar(self) -> None:
        """Ask it anew whether it answers; until then it is believed to be as it was."""
        self._sidecar_ended.set()

    async def _watch_sidecar(self, scope: anyio.CancelScope) -> None:
        with scope:
            pause = _FIRST_PAUSE
            while True:
                self._sidecar_ended = anyio.Event()
                answers = await self._sidecar_answers()
                if answers != self._worker.memory.sidecar_ready:
                    self._worker.memory.sidecar_ready = answers
                    self._worker.poke()
                if answers:
                    pause = _FIRST_PAUSE
                    await self._sidecar_ended.wait()
                else:
                    # Nobody tells when a sidecar begins to listen: ask, ever less often.
                    with anyio.move_on_after(pause):
                        await self._sidecar_ended.wait()
                    pause = min(pause * 2, _MAX_PAUSE)

    async def _sidecar_answers(self) -> bool:
        request = {"type": "tcp", "port": INBOUND_PORT, "timeout_ms": 1000}
        try:
            answer = await self._worker.node.mesh.probe(self._worker.uid, request)
        except CloudwrightError:
            return False
        return bool(answer.get("ok"))

    def drain(self) -> None:
        """Once: wait until no proxy sends to the pod, then call its preStop webhook."""
        memory = self._worker.memory
        if not memory.draining:
            memory.draining = True
            self.tasks.start_soon(self._drain)

    async def _drain(self) -> None:
        worker = self._worker
        node, memory = worker.node, worker.memory
        timeout = node.config.drain_timeout
        try:
            if memory.ip:
                with anyio.move_on_after(timeout + 1):
                    await node.mesh.drained(memory.ip, timeout=timeout)
        except CloudwrightError as error:
            await node.warn(worker.pod, "FailedDrain", error.message)
        view = await _try_view(worker)
        grace = engine.DEFAULT_GRACE if view is None else engine.grace_of(view)
        if not worker.was_done("webhook"):
            try:
                await hooks.webhook(node, worker.pod, grace)
            except NodeError as error:
                await node.warn(worker.pod, "FailedPreStopHook", error.message)
            worker.mark_done("webhook")
        memory.drained = True
        worker.poke()


async def _try_view(worker: PodWorker) -> PodView | None:
    try:
        return await worker.view()
    except CloudwrightError:
        return None
