"""What one pod's worker remembers between two looks; see ``worker``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cloudwright.model.objects import Object
from cloudwright.node.observe import Facts, Failure
from cloudwright.node.resizing import Pending


@dataclass(frozen=True, slots=True)
class Found:
    """What an agent that starts finds of a pod that its predecessor ran."""

    sandbox: bool = False
    sidecar: bool = False
    ip: str = ""


@dataclass(slots=True)
class Memory:
    """The worker's own knowledge; everything else is read anew from runtime and API."""

    sandbox: bool = False
    prepared: bool = False
    sandbox_failure: Failure | None = None
    volumes: bool = False
    volumes_failure: Failure | None = None
    sidecar_since: datetime | None = None
    sidecar_ready: bool = False
    sidecar_log: Path | None = None
    drained: bool = False
    draining: bool = False
    torn_down: bool = False
    teardown_failure: Failure | None = None
    pending: Pending | None = None
    resize_failure: Failure | None = None
    finalized: bool = False
    gone: bool = False
    ip: str = ""
    facts: dict[str, Facts] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    """Container name → id of the attempt that ``facts`` is about."""
    messages: dict[str, str] = field(default_factory=dict)
    """Container id → last words from its log."""

    def change(self, name: str, **changes: object) -> None:
        """Replace fields of one container's facts."""
        self.facts[name] = replace(self.facts.get(name, Facts()), **changes)  # type: ignore[arg-type]


def first(pod: Object, found: Found) -> Memory:
    """The memory of a worker that starts.

    What runs is taken over as it was last told to the API, so that a restart of the daemon makes
    no pod unready; probes correct it if it has changed.
    """
    status = pod.get("status") or {}
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or []}
    memory = Memory(sandbox=found.sandbox, ip=found.ip or str(status.get("podIP") or ""))
    memory.sidecar_ready = found.sandbox and found.sidecar and conditions.get("Ready") == "True"
    entries = (
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
        *(status.get("ephemeralContainerStatuses") or []),
    )
    for entry in entries:
        container = str(entry.get("containerID") or "").removeprefix("crun://")
        if container and "running" in (entry.get("state") or {}):
            memory.seen[str(entry["name"])] = container
            memory.change(
                str(entry["name"]),
                started=bool(entry.get("started")),
                ready=bool(entry.get("ready")),
                image_id=str(entry.get("imageID") or ""),
                resources=entry.get("resources"),
            )
    return memory


def failed(old: Failure | None, reason: str, message: str, now: datetime) -> Failure:
    """One more failure in a row."""
    return Failure(reason, message, now, 1 if old is None else old.count + 1)
