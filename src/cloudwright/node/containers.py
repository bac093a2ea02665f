"""Starting and stopping the containers of one pod, for its worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from cloudwright._base.errors import CloudwrightError, NotFoundError
from cloudwright.model.sandbox import ContainerState
from cloudwright.node import engine, hooks, logs, resizing, specs, starting
from cloudwright.node.background import Background
from cloudwright.node.errors import ConfigError, NodeError, describe
from cloudwright.node.memory import failed
from cloudwright.node.names import container_id, log_file
from cloudwright.node.observe import Attempt, ContainerView, Facts, PodView, Stopping

if TYPE_CHECKING:
    from cloudwright.node.worker import PodWorker

_LAST_WORDS = 2048
_BACK_OFFS = ("CrashLoopBackOff", "ImagePullBackOff")


class Containers:
    """Performs the engine's actions on containers."""

    def __init__(self, worker: PodWorker, background: Background) -> None:
        self._worker = worker
        self._background = background
        self._told: set[tuple[str, int, str | None]] = set()

    async def start(self, action: engine.StartContainer) -> bool:
        """Create and start an attempt; a failure is remembered, told, and retried later."""
        worker = self._worker
        node, pod = worker.node, worker.pod
        spec = self._spec(action.name)
        identifier = container_id(worker.uid, action.name, action.attempt)
        reason, created = "CreateContainerConfigError", False
        try:
            target = await self._target(spec)
            order, digest = await starting.container_spec(
                node, pod, spec, action.attempt, target=target
            )
            reason = "CreateContainerError"
            known = {c.id: c.state for c in await node.runtime.containers()}
            if identifier not in known:
                await node.tell(pod, "Pulled", f'Container image "{order.image}" is present')
                await node.runtime.create_container(order)
                await node.tell(pod, "Created", f"Created container: {action.name}")
            reason, created = "RunContainerError", True
            if known.get(identifier) in (None, ContainerState.CREATED):
                await node.runtime.start_container(identifier)
        except (CloudwrightError, OSError) as error:
            if created:
                await node.runtime.remove_container(identifier)
            await self._failed(action.name, reason, error)
            return True
        has = resizing.stated(spec)
        facts = Facts(streak=action.streak, image_id=digest, resources=has)
        worker.memory.facts[action.name] = facts
        worker.memory.seen.pop(action.name, None)
        if action.attempt > 0:
            node.vitals.restarts.inc()
        await node.tell(pod, "Started", f"Started container {action.name}")
        return True

    async def _target(self, spec: dict[str, Any]) -> str:
        """The id of the container whose processes an ephemeral one is to see.

        Raises:
            ConfigError: it does not run.
        """
        name = str(spec.get("targetContainerName") or "")
        if not name:
            return ""
        view = await self._worker.view()
        running = next((c.running for c in view.containers if c.name == name), None)
        if running is None:
            raise ConfigError(f'the target container "{name}" does not run')
        return running.id

    async def resize(self, action: engine.Resize) -> bool:
        """Give a running container what its spec states now."""
        worker = self._worker
        spec, memory = self._spec(action.name), worker.memory
        try:
            await worker.node.runtime.update_container(action.id, specs.limits(spec))
        except CloudwrightError as error:
            text, now = describe(error), worker.node.now()
            memory.resize_failure = failed(memory.resize_failure, "Error", text, now)
            worker.node.vitals.errors.inc()
            await worker.node.warn(worker.pod, "ResizeError", f"{action.name}: {text}")
            return True
        memory.resize_failure = None
        memory.change(action.name, resources=resizing.stated(spec))
        await worker.node.tell(
            worker.pod, "ResizeCompleted", f"Resized container {action.name} in place"
        )
        return True

    async def _failed(self, name: str, reason: str, error: Exception) -> None:
        worker = self._worker
        old = worker.memory.facts.get(name, Facts()).failure
        text = describe(error) if isinstance(error, CloudwrightError) else str(error)
        if isinstance(error, NotFoundError):
            reason = "ErrImagePull" if old is None else "ImagePullBackOff"
            if not text.startswith("image not found"):
                text = f"image not found: {text}"
        elif isinstance(error, ConfigError):
            reason = "CreateContainerConfigError"
        worker.memory.change(name, failure=failed(old, reason, text, worker.node.now()))
        worker.node.vitals.errors.inc()
        await worker.node.warn(worker.pod, "Failed", f"Error: {reason}: {text}")

    async def tell_back_off(self, status: dict[str, Any]) -> None:
        """A ``BackOff`` event, once for each attempt that is waited out."""
        worker = self._worker
        pod = worker.pod["metadata"]["name"]
        for entry in (*status.get("initContainerStatuses", ()), *status["containerStatuses"]):
            waiting = entry["state"].get("waiting") or {}
            key = (entry["name"], entry["restartCount"], waiting.get("reason"))
            if waiting.get("reason") not in _BACK_OFFS or key in self._told:
                continue
            self._told.add(key)
            text = f"Back-off restarting failed container {entry['name']} in pod {pod}"
            if waiting["reason"] == "ImagePullBackOff":
                text = f'Back-off waiting for image "{entry["image"]}"'
            await worker.node.warn(worker.pod, "BackOff", text)

    async def stop(self, action: engine.StopContainer) -> bool:
        """Begin to stop: tell why, then run the preStop hook in the background."""
        worker = self._worker
        spec = self._spec(action.name)
        handler = hooks.pre_stop(spec)
        hook = f"pre-stop-{action.id}"
        needed = handler is not None and not worker.was_done(hook)
        stop = Stopping(action.reason, action.grace, worker.node.now(), hook_done=not needed)
        worker.memory.change(action.name, stop=stop, ready=False)
        text = (
            f"Stopping container {action.name}"
            if worker.pod["metadata"].get("deletionTimestamp") or worker.memory.gone
            else action.reason
        )
        await worker.node.tell(worker.pod, "Killing", text)
        if needed and handler is not None:
            chosen = handler

            async def job() -> None:
                await self._pre_stop(spec, action, chosen, hook)

            worker.spawn(job)
        return True

    async def _pre_stop(
        self, spec: dict[str, Any], action: engine.StopContainer, handler: dict[str, Any], hook: str
    ) -> None:
        worker = self._worker
        try:
            await hooks.call(worker.node, worker.uid, spec, action.id, handler, action.grace)
        except NodeError as error:
            await worker.node.warn(worker.pod, "FailedPreStopHook", error.message)
        else:
            await worker.node.tell(
                worker.pod, "PreStopHook", f"preStop hook of {action.name} ended"
            )
        worker.mark_done(hook)
        stop = worker.memory.facts[action.name].stop
        if stop is not None:
            worker.memory.change(action.name, stop=replace(stop, hook_done=True))
            worker.poke()

    async def signal(self, action: engine.Signal) -> bool:
        """SIGTERM or SIGKILL."""
        worker = self._worker
        number = SIGKILL if action.kill else SIGTERM
        await worker.node.runtime.signal_container(action.id, int(number))
        stop = worker.memory.facts[action.name].stop
        if stop is not None:
            at = stop.termed_at or worker.node.now()
            changed = replace(stop, termed_at=at, killed=action.kill)
            worker.memory.change(action.name, stop=changed)
        return not action.kill

    async def with_last_words(self, view: PodView) -> PodView:
        """Fill in the message of failed attempts whose pod asks for the end of their logs."""
        init = tuple([await self._words(c) for c in view.init])
        app = tuple([await self._words(c) for c in view.app])
        ephemeral = tuple([await self._words(c) for c in view.ephemeral])
        if init == view.init and app == view.app and ephemeral == view.ephemeral:
            return view
        return replace(view, init=init, app=app, ephemeral=ephemeral)

    async def _words(self, container: ContainerView) -> ContainerView:
        last = container.ended
        wanted = container.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if last is None or not wanted or last.exit_code == 0 or last.message or not last.held:
            return container
        text = await self._last_words(last, container.name)
        if not text:
            return container
        return replace(container, attempts=(*container.attempts[:-1], replace(last, message=text)))

    async def _last_words(self, attempt: Attempt, name: str) -> str:
        worker = self._worker
        if attempt.id not in worker.memory.messages:
            path: Path = log_file(worker.node.config.paths, worker.pod, name, attempt.number)
            text = await to_thread.run_sync(logs.last_words, path, _LAST_WORDS)
            worker.memory.messages = {attempt.id: text}
        return worker.memory.messages[attempt.id]

    def _spec(self, name: str) -> dict[str, Any]:
        every = specs.containers(self._worker.pod)
        return next(dict(c) for c in every if c["name"] == name)
