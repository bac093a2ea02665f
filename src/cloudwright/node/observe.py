"""What is known of a pod at one moment: the input of ``engine`` and ``phases``. Pure data.

A container's attempts come from two sources that may both be incomplete after a crash of the
daemon or of the machine: the runtime's list and the status that was last written to the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model.objects import Object, uid_of
from cloudwright.model.sandbox import ContainerState, ContainerStatus
from cloudwright.node.names import container_id, parse_container_id, short
from cloudwright.node.resizing import Pending, Resources

LOST_EXIT_CODE = 137


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be done, is retried, and how often in a row it failed."""

    reason: str
    message: str
    at: datetime
    count: int = 1


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a container; ``state`` ``EXITED`` has the last four fields."""

    number: int
    id: str
    state: ContainerState
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    held: bool = True
    """The runtime still has it (it can be removed)."""

    @property
    def ran_for(self) -> float:
        """Seconds between start and end; 0 when either is unknown."""
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return max((self.finished_at - self.started_at).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Stopping:
    """A running container that was told to end."""

    reason: str
    grace: float
    since: datetime
    hook_done: bool = True
    termed_at: datetime | None = None
    killed: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What the worker remembers of one container beyond the runtime's list."""

    streak: int | None = None
    """Restarts in a row; ``None`` after a take-over: the number of the attempt stands for it."""
    failure: Failure | None = None
    image_id: str = ""
    started: bool = False
    """Runs, and the startup probe (if any) and the postStart hook (if any) have succeeded."""
    ready: bool = False
    unhealthy: str | None = None
    """Why it must be restarted (liveness or startup probe, postStart hook)."""
    unhealthy_grace: float | None = None
    stop: Stopping | None = None
    resources: Resources | None = None
    """The cpu and memory that the running attempt has; ``None``: not known."""


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container of the pod, now."""

    name: str
    spec: Mapping[str, Any]
    init: bool
    attempts: tuple[Attempt, ...]
    facts: Facts
    ephemeral: bool = False
    """Started in a pod that runs, to look at it (``kubectl debug``); never restarted."""

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def running(self) -> Attempt | None:
        """The newest attempt, when it runs."""
        last = self.last
        return last if last is not None and last.state is ContainerState.RUNNING else None

    @property
    def ended(self) -> Attempt | None:
        """The newest attempt, when it has ended."""
        last = self.last
        return last if last is not None and last.state is ContainerState.EXITED else None


@dataclass(frozen=True, slots=True)
class PodView:
    """The pod, its containers, and how far the pod's own parts are."""

    pod: Object
    init: tuple[ContainerView, ...]
    app: tuple[ContainerView, ...]
    gone: bool = False
    """The object no longer exists in the API."""
    problem: str | None = None
    """Why this node will never run it (unsupported fields)."""
    sandbox: bool = False
    """The pod's sandbox and network exist."""
    prepared: bool = False
    """This agent has made (or found) sandbox, network, identity and sidecar."""
    sandbox_failure: Failure | None = None
    volumes: bool = False
    volumes_failure: Failure | None = None
    sidecar_since: datetime | None = None
    """When the sidecar was started; ``None``: not yet."""
    sidecar_ready: bool = False
    drained: bool = False
    torn_down: bool = False
    """Sandbox, network, identity and files are gone."""
    teardown_failure: Failure | None = None
    ip: str = ""
    host_ip: str = ""
    ephemeral: tuple[ContainerView, ...] = ()
    pending: Pending | None = None
    """Why the pod's new resources are not given to it."""
    resize_failure: Failure | None = None
    containers: tuple[ContainerView, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "containers", self.init + self.app + self.ephemeral)

    @property
    def ending(self) -> bool:
        """Whether the pod was deleted."""
        return self.gone or bool(self.pod["metadata"].get("deletionTimestamp"))


def by_name(uid: str, containers: Iterable[ContainerStatus]) -> dict[str, list[ContainerStatus]]:
    """The runtime's containers of one pod, by name, oldest attempt first."""
    mine: dict[str, list[tuple[int, ContainerStatus]]] = {}
    for status in containers:
        parsed = parse_container_id(status.id)
        if parsed is not None and (status.sandbox == uid or parsed[0] == short(uid)):
            mine.setdefault(parsed[1], []).append((parsed[2], status))
    return {name: [s for _, s in sorted(all_, key=lambda p: p[0])] for name, all_ in mine.items()}


def attempts(
    pod: Object, name: str, held: Iterable[ContainerStatus], now: datetime
) -> tuple[Attempt, ...]:
    """Every known attempt of a container, oldest first, at most one for each number."""
    found: dict[int, Attempt] = {}
    for attempt in _recorded(pod, name, now):
        found[attempt.number] = attempt
    for status in held:
        parsed = parse_container_id(status.id)
        if parsed is None:
            continue
        known = found.get(parsed[2])
        attempt = _from_runtime(parsed[2], status, now)
        if known is not None and known.state is ContainerState.EXITED and known.message:
            attempt = _with_message(attempt, known)
        found[parsed[2]] = attempt
    return tuple(found[number] for number in sorted(found))


def _with_message(attempt: Attempt, known: Attempt) -> Attempt:
    if attempt.state is not ContainerState.EXITED or attempt.message:
        return attempt
    return Attempt(
        attempt.number,
        attempt.id,
        attempt.state,
        attempt.started_at,
        attempt.finished_at,
        attempt.exit_code,
        attempt.reason,
        known.message,
        attempt.held,
    )


def _from_runtime(number: int, status: ContainerStatus, now: datetime) -> Attempt:
    code = status.exit_code or 0
    if status.exit_code is None and status.signal:
        code = 128 + status.signal
    ended = status.state is ContainerState.EXITED
    reason = "OOMKilled" if status.oom_killed else "Completed" if code == 0 else "Error"
    return Attempt(
        number,
        status.id,
        status.state,
        status.started_at or status.created_at or now,
        (status.finished_at or now) if ended else None,
        code if ended else 0,
        reason if ended else "",
        status.message if ended else "",
    )


def _recorded(pod: Object, name: str, now: datetime) -> Iterable[Attempt]:
    status = pod.get("status") or {}
    entries = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
        *(status.get("ephemeralContainerStatuses") or []),
    ]
    entry = next((e for e in entries if e.get("name") == name), None)
    if entry is None:
        return
    for key in ("lastState", "state"):
        state = entry.get(key) or {}
        ended, runs = state.get("terminated"), state.get("running")
        if ended is not None and ended.get("containerID"):
            yield _ended(pod, name, ended, entry, now)
        elif runs is not None and entry.get("containerID"):
            yield _lost(entry, runs, now)


def _number(entry: Mapping[str, Any], container: str) -> int:
    parsed = parse_container_id(container.removeprefix("crun://"))
    return parsed[2] if parsed is not None else int(entry.get("restartCount") or 0)


def _ended(
    pod: Object, name: str, state: Mapping[str, Any], entry: Mapping[str, Any], now: datetime
) -> Attempt:
    number = _number(entry, str(state["containerID"]))
    return Attempt(
        number,
        container_id(uid_of(pod), name, number),
        ContainerState.EXITED,
        _time(state.get("startedAt")),
        _time(state.get("finishedAt")) or now,
        int(state.get("exitCode") or 0),
        str(state.get("reason") or "Error"),
        str(state.get("message") or ""),
        held=False,
    )


def _lost(entry: Mapping[str, Any], state: Mapping[str, Any], now: datetime) -> Attempt:
    container = str(entry["containerID"]).removeprefix("crun://")
    return Attempt(
        _number(entry, container),
        container,
        ContainerState.EXITED,
        _time(state.get("startedAt")),
        now,
        LOST_EXIT_CODE,
        "ContainerStatusUnknown",
        "the container vanished while the node was not looking (a reboot, or it was killed)",
        held=False,
    )


def _time(text: Any) -> datetime | None:
    return parse_rfc3339(text) if text else None
