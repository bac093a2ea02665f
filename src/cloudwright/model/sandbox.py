"""Sandboxes, containers and native processes as the node agent and a runtime speak of them
(CRI-shaped).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ContainerState(StrEnum):
    """Where a container is in its life (CRI ``ContainerState``)."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class LogTarget:
    """A CRI-format log file and its rotation."""

    path: str
    max_bytes: int = 10 * 1024 * 1024
    max_files: int = 5


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """The namespaces that a pod's containers share. ``netns`` is a path that is already set up."""

    id: str
    hostname: str
    netns: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount from the host into a container."""

    source: str
    destination: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Cgroup limits; ``None`` is no limit."""

    memory_bytes: int | None = None
    cpu_millis: int | None = None
    cpu_shares: int | None = None
    pids: int | None = 1024


@dataclass(frozen=True, slots=True)
class SecurityContext:
    """Who the process is and what it may do. The defaults are the restricted profile."""

    uid: int | None = None
    """``None``: the image's user; when that is root or unset, 65532."""
    gid: int | None = None
    fs_group: int | None = None
    capabilities: tuple[str, ...] = ()
    read_only_root: bool = False
    no_new_privileges: bool = True
    seccomp: str = "default"
    """``default`` or ``unconfined``."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container of a sandbox. Empty ``command``/``args`` mean the image's own."""

    id: str
    sandbox: str
    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    limits: Limits = Limits()
    security: SecurityContext = SecurityContext()
    log: LogTarget | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    stdin: bool = False
    """Who attaches may write to its standard input."""
    stdin_once: bool = False
    """Standard input ends with the first client that was attached to it."""
    tty: bool = False
    target: str = ""
    """The id of another container of the sandbox whose processes it sees."""
    debugs: bool = False
    """It is there to look into others: it may trace the processes that it sees."""


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """What a runtime knows of a container, also after a restart of the daemon."""

    id: str
    sandbox: str
    state: ContainerState
    pid: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    signal: int | None = None
    oom_killed: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A native process (a proxy) in a pod's network namespace, or in the host's when ``netns``
    is None.

    The supervisor restarts it with a back-off when it ends unasked; it has no capabilities.
    """

    id: str
    argv: tuple[str, ...]
    netns: str | None = None
    uid: int = 1337
    gid: int = 1337
    env: dict[str, str] = field(default_factory=dict)
    log: LogTarget | None = None
    cgroup: str = ""
    """A path below the instance's cgroup, for accounting; empty: the instance's own."""
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A native process as the supervisor sees it."""

    id: str
    running: bool
    pid: int | None = None
    restarts: int = 0
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something ended or changed: ``kind`` is ``container.exit``, ``process.exit`` or ``lost``
    (list again).
    """

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of itself (OCI image config)."""

    reference: str
    digest: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    user: str = ""
    layers: tuple[str, ...] = ()
    """Directories of the unpacked layers, lowest first."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A container's or process's resource use at one moment."""

    cpu_seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """A pod's place in the pod network."""

    pod_uid: str
    netns: str
    ip: str
    gateway: str
    interface: str


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A command to run inside a running container."""

    container: str
    argv: tuple[str, ...]
    tty: bool = False
    stdin: bool = False
    env: dict[str, str] = field(default_factory=dict)
