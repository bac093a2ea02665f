"""What the node agent needs of its neighbours; each is filled in by ``platform``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from cloudwright.model.sandbox import (
    Attachment,
    ContainerSpec,
    ContainerStatus,
    ExecRequest,
    ImageConfig,
    Limits,
    ProcessSpec,
    ProcessStatus,
    RuntimeEvent,
    SandboxSpec,
    Usage,
)
from cloudwright.model.streams import ExecSession


class Runtime(Protocol):
    """Runs sandboxes, containers and native processes. Every verb is idempotent."""

    async def image(self, reference: str) -> ImageConfig:
        """The image's configuration, its layers unpacked. Raises ``NotFoundError`` with a hint."""

    async def ensure_sandbox(self, spec: SandboxSpec) -> None:
        """Make the shared namespaces of a pod."""

    async def remove_sandbox(self, sandbox: str) -> None:
        """Remove every container and namespace of a sandbox; a missing one is fine."""

    async def sandboxes(self) -> list[str]:
        """The ids of all sandboxes that exist."""

    async def create_container(self, spec: ContainerSpec) -> None:
        """Mount the root, make the cgroup, create the container; nothing is left when it fails."""

    async def start_container(self, container: str) -> None:
        """Start a created container."""

    async def signal_container(self, container: str, signal: int) -> None:
        """Send a signal to the container's first process; SIGKILL goes to all of them."""

    async def remove_container(self, container: str) -> None:
        """Kill if need be, unmount, remove its cgroup; a missing one is fine."""

    async def containers(self) -> list[ContainerStatus]:
        """Every container, running or ended, that was not removed."""

    async def exec(self, request: ExecRequest) -> ExecSession:
        """Run a command in a running container."""

    async def attach(self, container: str, *, stdin: bool) -> ExecSession:
        """The streams of a running container's first process, from now on; it does not end with
        the session.
        """

    async def update_container(self, container: str, limits: Limits) -> None:
        """Set the limits of a running container."""

    async def start_process(self, spec: ProcessSpec) -> None:
        """Start a native process; one with the same id and argv that runs is left alone."""

    async def stop_process(self, process: str, *, grace_seconds: float = 5.0) -> None:
        """SIGTERM, then SIGKILL; a missing one is fine."""

    async def processes(self) -> list[ProcessStatus]:
        """Every native process."""

    async def usage(self) -> dict[str, Usage]:
        """Resource use by container or process id."""

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Ends of containers and processes, as they happen; ``lost`` after a reconnect."""


class PodNetwork(Protocol):
    """Gives pods a network namespace with an address."""

    async def attach(self, pod_uid: str, namespace: str, name: str, *, egress: bool) -> Attachment:
        """Make or find the pod's namespace, link and address lease."""

    async def detach(self, pod_uid: str) -> None:
        """Remove link, namespace and lease; a missing one is fine."""

    async def attachments(self) -> list[Attachment]:
        """Every attachment that exists."""


class Mesh(Protocol):
    """Gives pods an identity and tells who still sends to them."""

    async def enroll(self, pod: dict[str, Any], attachment: Attachment) -> ProcessSpec:
        """Write the sidecar's files (bootstrap, certificate) and say how to run it."""

    async def release(self, pod_uid: str) -> None:
        """Forget a pod: remove its files; a missing one is fine."""

    async def drained(self, ip: str, *, timeout: float = 10.0) -> None:
        """Return once no live proxy routes new requests to ``ip`` (or the time is over)."""

    async def probe(self, pod_uid: str, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the pod's sidecar to probe the application on its loopback.

        ``request``:
        ``{"type":"http|tcp|grpc","port":8080,"path":"/","headers":{},"timeout_ms":1000,…}``;
        the answer: ``{"ok":bool,"status":int|null,"message":str}``. Raises ``UnreachableError``
        when there is
        no sidecar.
        """

    async def connect(self, pod_uid: str, port: int) -> tuple[Any, Any]:
        """An asyncio ``(StreamReader, StreamWriter)`` to a port on the pod's loopback, through
        its sidecar.
        """


class Hooks(Protocol):
    """Calls a life-cycle hook that is a URL (``webhook://NAME[/PATH]``, ``http://…``)."""

    async def call(
        self, url: str, namespace: str, payload: dict[str, Any], *, timeout: float = 10.0
    ) -> None:
        """POST ``payload`` as JSON; ``CloudwrightError`` unless the answer is 2xx in time."""
