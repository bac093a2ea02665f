"""Decides what to do next for one pod: what is known + now → actions and when to look again.

Pure: no clock, socket, file or randomness. ``worker`` performs the actions, updates what is known,
and asks again; so every action must be safe to be told twice. ``phases`` says what the status is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cloudwright.model.sandbox import ContainerState
from cloudwright.node import phases, resizing, restarts
from cloudwright.node.observe import Attempt, ContainerView, Failure, PodView
from cloudwright.node.restarts import Backoff

DEFAULT_GRACE = 30.0
HOOK_GRACE = 2.0
"""SIGTERM to SIGKILL when the preStop hook has used up the grace period (as upstream)."""
FORCED_GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds; see ``config.NodeConfig``."""

    backoff: Backoff = field(default_factory=Backoff)
    retry: Backoff = field(default_factory=lambda: Backoff(0.5, 30.0))
    sidecar_wait: float = 10.0


@dataclass(frozen=True, slots=True)
class PrepareSandbox:
    """Attach the network, make the sandbox, enrol in the mesh, start the sidecar."""


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    """Write the pod's volumes."""


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Create (unless it is created already) and start an attempt."""

    name: str
    attempt: int
    streak: int


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Begin to stop a running container: its preStop hook first."""

    name: str
    id: str
    reason: str
    grace: float


@dataclass(frozen=True, slots=True)
class Signal:
    """Send SIGTERM (or SIGKILL when ``kill``)."""

    name: str
    id: str
    kill: bool


@dataclass(frozen=True, slots=True)
class Resize:
    """Give a running container the resources that its spec states now."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove an old attempt from the runtime."""

    id: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Wait until no proxy sends new requests to the pod."""


@dataclass(frozen=True, slots=True)
class TearDown:
    """Stop the sidecar, then remove sandbox, network, identity and files."""


@dataclass(frozen=True, slots=True)
class Finalize:
    """Delete the object from the API, now that nothing of the pod is left here."""


Action = (
    PrepareSandbox
    | PrepareVolumes
    | StartContainer
    | StopContainer
    | Signal
    | Resize
    | RemoveContainer
    | Drain
    | TearDown
    | Finalize
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, in this order, and when to ask again if nothing happens before."""

    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None
    done: bool = False
    """Nothing is left to do for this pod, ever."""


def decide(view: PodView, now: datetime, settings: Settings) -> Decision:
    """The next actions for a pod."""
    if view.ending:
        return _ending(view, now, settings)
    if phases.phase(view) in ("Succeeded", "Failed"):
        return _finished(view, now, settings)
    plan = _Plan(now)
    plan.extend(_stops(view, plan))
    _resizes(view, plan, settings)
    if not view.prepared:
        _retry(plan, view.sandbox_failure, PrepareSandbox(), settings.retry)
        return plan.decision()
    if not view.volumes:
        _retry(plan, view.volumes_failure, PrepareVolumes(), settings.retry)
        return plan.decision()
    if not view.sidecar_ready and not _any_alive(view):
        gate = (view.sidecar_since or now) + timedelta(seconds=settings.sidecar_wait)
        if now < gate:
            plan.wake(gate)
            return plan.decision()
    _containers(view, plan, settings)
    return plan.decision()


class _Plan:
    """Collects actions and the earliest time to wake."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.actions: list[Action] = []
        self.wake_at: datetime | None = None

    def add(self, action: Action) -> None:
        self.actions.append(action)

    def extend(self, actions: Iterable[Action]) -> None:
        self.actions.extend(actions)

    def wake(self, at: datetime) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)

    def decision(self) -> Decision:
        return Decision(tuple(self.actions), self.wake_at)


def _retry(plan: _Plan, failure: Failure | None, action: Action, backoff: Backoff) -> None:
    """Do ``action`` now, or when the pause after its last failure is over."""
    if failure is not None:
        due = failure.at + timedelta(seconds=restarts.retry_delay(backoff, failure.count))
        if plan.now < due:
            plan.wake(due)
            return
    plan.add(action)


def _any_alive(view: PodView) -> bool:
    return any(c.running is not None for c in view.containers)


def _containers(view: PodView, plan: _Plan, settings: Settings) -> None:
    """Ephemeral containers whatever the others do, init containers one after the other, then all
    app containers.
    """
    for container in view.ephemeral:
        if container.running is None and container.ended is None:
            _start(container, plan, settings)
    policy = str(view.pod["spec"].get("restartPolicy") or "Always")
    started = any(c.attempts for c in view.app)
    for container in () if started else view.init:
        ended = container.ended
        if ended is not None and ended.exit_code == 0:
            continue
        if container.running is None and (
            ended is None or restarts.init_wanted(policy, ended.exit_code)
        ):
            _start(container, plan, settings)
        return
    for container in view.app:
        ended = container.ended
        if container.running is not None:
            _drop_old(container, plan)
        elif ended is None or restarts.wanted(policy, ended.exit_code):
            _start(container, plan, settings)


def _start(container: ContainerView, plan: _Plan, settings: Settings) -> None:
    """Start the next attempt when the back-off is over; older attempts go first."""
    failure, last = container.facts.failure, container.last
    if failure is not None:
        due = failure.at + timedelta(seconds=restarts.retry_delay(settings.backoff, failure.count))
        if plan.now < due:
            plan.wake(due)
            return
    if last is None:
        plan.add(StartContainer(container.name, 0, 0))
        return
    if last.state is ContainerState.CREATED:
        plan.add(StartContainer(container.name, last.number, container.facts.streak or 0))
        return
    streak = streak_of(container, settings.backoff)
    due = (last.finished_at or plan.now) + timedelta(
        seconds=restarts.delay(settings.backoff, streak)
    )
    if plan.now < due:
        plan.wake(due)
        return
    _drop_old(container, plan)
    plan.add(StartContainer(container.name, last.number + 1, streak + 1))


def streak_of(container: ContainerView, backoff: Backoff) -> int:
    """How many restarts in a row count for the next pause of an ended container."""
    last = container.last
    if last is None:
        return 0
    known = container.facts.streak
    return restarts.effective(backoff, last.number if known is None else known, last.ran_for)


def _drop_old(container: ContainerView, plan: _Plan) -> None:
    """Keep the newest attempt and the one before it (its end is ``lastState``)."""
    plan.extend(RemoveContainer(a.id) for a in container.attempts[:-1] if a.held)


def _stops(view: PodView, plan: _Plan) -> Iterable[Action]:
    """Containers that a probe or a hook condemned, and those that are being stopped."""
    for container in view.containers:
        running = container.running
        if running is None:
            continue
        facts = container.facts
        if facts.stop is None and facts.unhealthy is not None:
            grace = facts.unhealthy_grace
            yield StopContainer(
                container.name,
                running.id,
                facts.unhealthy,
                grace_of(view) if grace is None else grace,
            )
        yield from _stop_steps(container, running, plan)


def _resizes(view: PodView, plan: _Plan, settings: Settings) -> None:
    """Containers whose spec states other resources than they have, once those fit."""
    if view.pending is not None:
        return
    for container in (*view.init, *view.app):
        running, facts = container.running, container.facts
        changed = resizing.differences(container.spec, facts.resources)
        if running is None or facts.stop is not None or not changed:
            continue
        if resizing.restarts(container.spec, changed):
            reason = f"Container {container.name} resize requires restart"
            plan.add(StopContainer(container.name, running.id, reason, grace_of(view)))
        else:
            _retry(plan, view.resize_failure, Resize(container.name, running.id), settings.retry)


def _stop_steps(container: ContainerView, running: Attempt, plan: _Plan) -> Iterable[Action]:
    """SIGTERM once the hook is done, SIGKILL once the grace period is over."""
    stop = container.facts.stop
    if stop is None:
        return
    hook_deadline = stop.since + timedelta(seconds=stop.grace)
    if stop.termed_at is None:
        if stop.hook_done or plan.now >= hook_deadline:
            yield Signal(container.name, running.id, kill=False)
        else:
            plan.wake(hook_deadline)
        return
    extra = min(stop.grace, HOOK_GRACE)
    kill_at = max(hook_deadline, stop.termed_at + timedelta(seconds=extra))
    if plan.now >= kill_at:
        # Told again on purpose: a lost SIGKILL must not leave the pod behind.
        yield Signal(container.name, running.id, kill=True)
        plan.wake(plan.now + timedelta(seconds=5))
    else:
        plan.wake(kill_at)


def grace_of(view: PodView) -> float:
    """Seconds the containers get to end by themselves."""
    metadata = view.pod["metadata"]
    if view.gone and not metadata.get("deletionTimestamp"):
        return FORCED_GRACE
    given = metadata.get("deletionGracePeriodSeconds")
    if given is None:
        given = view.pod["spec"].get("terminationGracePeriodSeconds")
    seconds = DEFAULT_GRACE if given is None else float(given)
    return max(seconds, FORCED_GRACE)


def _ending(view: PodView, now: datetime, settings: Settings) -> Decision:
    """Drain, hooks, SIGTERM, SIGKILL, tear down, delete."""
    if view.torn_down:
        return Decision((Finalize(),) if not view.gone else (), done=view.gone)
    plan = _Plan(now)
    if not _any_alive(view):
        _retry(plan, view.teardown_failure, TearDown(), settings.retry)
        return plan.decision()
    if not view.drained:
        plan.add(Drain())
        return plan.decision()
    for container in view.containers:
        running = container.running
        if running is None:
            continue
        stop = container.facts.stop
        if stop is None:
            reason = "the pod is being deleted"
            plan.add(StopContainer(container.name, running.id, reason, grace_of(view)))
        plan.extend(_stop_steps(container, running, plan))
    return plan.decision()


def _finished(view: PodView, now: datetime, settings: Settings) -> Decision:
    """A pod that has run to its end keeps its object and logs, nothing else."""
    plan = _Plan(now)
    if not view.torn_down:
        _retry(plan, view.teardown_failure, TearDown(), settings.retry)
    return plan.decision()
