"""Behaving neighbours of a node agent: a runtime, a pod network, a mesh and hooks in memory.

They outlive an agent as the real ones do, are idempotent as their protocols say, and refuse what
the real ones would refuse. ``leaks()`` names what is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import anyio

from cloudwright._base.errors import CloudwrightError, NotFoundError, UnreachableError
from cloudwright.model.sandbox import (
    Attachment,
    ContainerSpec,
    ContainerState,
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
from cloudwright.model.streams import STDOUT, ExecSession


@dataclass
class Program:
    """How a container behaves: ends by itself at once with ``exit_code``, or runs until a
    signal; ``stubborn`` ones heed only SIGKILL.
    """

    exit_code: int | None = None
    stubborn: bool = False
    oom: bool = False
    output: tuple[str, ...] = ()


Step = Callable[[str], None]


def no_step(name: str) -> None:
    """Nothing happens at a step."""


class FakeRuntime:
    """Sandboxes, containers and processes in memory. ``step`` is called with each verb's name."""

    def __init__(self) -> None:
        self.images: dict[str, ImageConfig] = {}
        self.programs: dict[str, list[Program] | Program] = {}
        self.execs: dict[tuple[str, ...], tuple[int, str]] = {}
        self.limits: dict[str, Limits] = {}
        self.hanging_execs: set[tuple[str, ...]] = set()
        self.failures: dict[str, list[CloudwrightError]] = {}
        self.calls: list[tuple[str, str]] = []
        self.specs: dict[str, ContainerSpec] = {}
        self._sandboxes: dict[str, SandboxSpec] = {}
        self._containers: dict[str, ContainerStatus] = {}
        self._processes: dict[str, tuple[ProcessSpec, ProcessStatus]] = {}
        self._listeners: list[Any] = []
        self.step: Step = no_step

    def add_image(self, reference: str) -> None:
        self.images[reference] = ImageConfig(reference, f"sha256:{len(reference):064x}")

    async def _enter(self, verb: str, target: str) -> None:
        self.step(verb)
        await anyio.lowlevel.checkpoint()
        self.calls.append((verb, target))
        if self.failures.get(verb):
            raise self.failures[verb].pop(0)

    def _emit(self, kind: str, target: str) -> None:
        for listener in self._listeners:
            listener.send_nowait(RuntimeEvent(kind, target))

    async def image(self, reference: str) -> ImageConfig:
        await self._enter("image", reference)
        if reference not in self.images:
            raise NotFoundError(
                f"image not found: {reference}", hint=f"cloudwright build DIR -t {reference}"
            )
        return self.images[reference]

    async def ensure_sandbox(self, spec: SandboxSpec) -> None:
        await self._enter("ensure_sandbox", spec.id)
        self._sandboxes.setdefault(spec.id, spec)

    async def remove_sandbox(self, sandbox: str) -> None:
        await self._enter("remove_sandbox", sandbox)
        for status in list(self._containers.values()):
            if status.sandbox == sandbox:
                if status.state is ContainerState.RUNNING:
                    self.end(status.id, 137)
                del self._containers[status.id]
        self._sandboxes.pop(sandbox, None)

    async def sandboxes(self) -> list[str]:
        return list(self._sandboxes)

    async def create_container(self, spec: ContainerSpec) -> None:
        await self._enter("create_container", spec.id)
        assert spec.sandbox in self._sandboxes, "a container needs its sandbox"
        if spec.id in self._containers:
            return
        for mount in spec.mounts:
            assert Path(mount.source).exists(), f"{mount.source} does not exist"
        self.specs[spec.id] = spec
        self._containers[spec.id] = ContainerStatus(
            spec.id, spec.sandbox, ContainerState.CREATED, created_at=datetime.now(UTC)
        )

    async def start_container(self, container: str) -> None:
        await self._enter("start_container", container)
        status, spec = self._containers[container], self.specs[container]
        if status.state is not ContainerState.CREATED:
            return
        for other in self._containers.values():
            twin = self.specs[other.id].name == spec.name and other.sandbox == spec.sandbox
            assert not (twin and other.state is ContainerState.RUNNING), "two attempts at once"
        self._containers[container] = replace(
            status, state=ContainerState.RUNNING, pid=4711, started_at=datetime.now(UTC)
        )
        program = self.program(spec.name)
        if spec.log is not None:
            with Path(spec.log.path).open("a") as file:
                for line in program.output:
                    file.write(f"2026-11-24T08:00:00.000000000Z stdout F {line}\n")
        if program.exit_code is not None:
            self.end(container, program.exit_code, oom=program.oom)
            if isinstance(self.programs[spec.name], list):
                self.programs[spec.name].pop(0)

    def program(self, name: str) -> Program:
        chosen = self.programs.get(name, Program())
        if isinstance(chosen, list):
            return chosen[0] if chosen else Program()
        return chosen

    def end(self, container: str, code: int, *, oom: bool = False) -> None:
        """The container's first process ends."""
        status = self._containers[container]
        self._containers[container] = replace(
            status,
            state=ContainerState.EXITED,
            finished_at=datetime.now(UTC),
            exit_code=code,
            oom_killed=oom,
        )
        self._emit("container.exit", container)

    async def signal_container(self, container: str, signal: int) -> None:
        await self._enter("signal_container", f"{container}:{signal}")
        status = self._containers.get(container)
        if status is None or status.state is not ContainerState.RUNNING:
            return
        program = self.program(self.specs[container].name)
        if signal == SIGKILL or not program.stubborn:
            self.end(container, 137 if signal == SIGKILL else 0)

    async def remove_container(self, container: str) -> None:
        await self._enter("remove_container", container)
        self._containers.pop(container, None)

    async def containers(self) -> list[ContainerStatus]:
        await anyio.lowlevel.checkpoint()
        return list(self._containers.values())

    async def exec(self, request: ExecRequest) -> ExecSession:
        await self._enter("exec", " ".join(request.argv))
        status = self._containers.get(request.container)
        if status is None or status.state is not ContainerState.RUNNING:
            raise NotFoundError("the container does not run")
        code, output = self.execs.get(request.argv, (0, ""))
        return _Session(code, output, request.argv in self.hanging_execs)

    async def attach(self, container: str, *, stdin: bool) -> ExecSession:
        await self._enter("attach", f"{container} stdin={stdin}")
        return _Session(0, "attached", False)

    async def update_container(self, container: str, limits: Limits) -> None:
        await self._enter("update_container", container)
        status = self._containers.get(container)
        if status is None or status.state is not ContainerState.RUNNING:
            raise NotFoundError("the container does not run")
        self.limits[container] = limits

    async def start_process(self, spec: ProcessSpec) -> None:
        await self._enter("start_process", spec.id)
        known = self._processes.get(spec.id)
        if known is None or known[0].argv != spec.argv or not known[1].running:
            self._processes[spec.id] = (spec, ProcessStatus(spec.id, True, pid=4712))

    async def stop_process(self, process: str, *, grace_seconds: float = 5.0) -> None:
        await self._enter("stop_process", process)
        self._processes.pop(process, None)

    def crash_process(self, process: str) -> None:
        spec, status = self._processes[process]
        self._processes[process] = (spec, replace(status, running=False))
        self._emit("process.exit", process)

    def revive_process(self, process: str) -> None:
        spec, status = self._processes[process]
        self._processes[process] = (spec, replace(status, running=True, restarts=1))

    def process_runs(self, process: str) -> bool:
        return process in self._processes and self._processes[process][1].running

    async def processes(self) -> list[ProcessStatus]:
        return [status for _, status in self._processes.values()]

    async def usage(self) -> dict[str, Usage]:
        return {name: Usage(0.5, 1024) for name in (*self._containers, *self._processes)}

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        send, receive = anyio.create_memory_object_stream[RuntimeEvent](1000)
        self._listeners.append(send)
        send.send_nowait(RuntimeEvent("lost", ""))  # as after every (re)connect
        try:
            async with receive:
                async for event in receive:
                    yield event
        finally:
            if send in self._listeners:
                self._listeners.remove(send)

    def lose(self) -> None:
        self._emit("lost", "")

    def perish(self) -> None:
        """The supervisor is killed, and everything it held with it."""
        self._sandboxes.clear()
        self._containers.clear()
        self._processes.clear()
        self.lose()

    def break_off(self) -> None:
        """The stream of events ends, as when the supervisor is away for a moment."""
        for listener in list(self._listeners):
            listener.close()
        self._listeners.clear()

    def running(self) -> list[str]:
        return [c.id for c in self._containers.values() if c.state is ContainerState.RUNNING]

    def starts(self, fragment: str = "") -> list[str]:
        return [t for verb, t in self.calls if verb == "start_container" and fragment in t]

    def leaks(self) -> list[str]:
        return [*self._sandboxes, *self._containers, *self._processes]


class _Session:
    def __init__(self, code: int, output: str, hangs: bool) -> None:
        self._code, self._output, self._hangs = code, output, hangs

    async def write(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    async def resize(self, columns: int, rows: int) -> None: ...
    async def close(self) -> None: ...

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        if self._hangs:
            await anyio.sleep_forever()
        yield STDOUT, self._output.encode()

    async def wait(self) -> int:
        return self._code


@dataclass
class FakeNetwork:
    """Addresses for pods."""

    places: dict[str, Attachment] = field(default_factory=dict)
    failures: list[CloudwrightError] = field(default_factory=list)
    step: Step = no_step
    _next: int = 2

    async def attach(self, pod_uid: str, namespace: str, name: str, *, egress: bool) -> Attachment:
        self.step("attach")
        await anyio.lowlevel.checkpoint()
        if self.failures:
            raise self.failures.pop(0)
        if pod_uid not in self.places:
            ip = f"10.244.0.{self._next}"
            self._next += 1
            place = Attachment(pod_uid, f"/run/netns/{pod_uid}", ip, "10.244.0.1", "eth0")
            self.places[pod_uid] = place
        return self.places[pod_uid]

    async def detach(self, pod_uid: str) -> None:
        self.step("detach")
        await anyio.lowlevel.checkpoint()
        self.places.pop(pod_uid, None)

    async def attachments(self) -> list[Attachment]:
        return list(self.places.values())


class FakeMesh:
    """Sidecars that answer probes while their process runs. ``answers`` is by port."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.runtime = runtime
        self.enrolled: set[str] = set()
        self.answers: dict[int, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.delay = 0.0
        """Seconds that a probe takes."""
        self.refused = 0
        """Probes of the application that met no sidecar."""
        self.drained_ips: list[str] = []
        self.drain_gate: anyio.Event | None = None
        self.step: Step = no_step

    async def enroll(self, pod: dict[str, Any], attachment: Attachment) -> ProcessSpec:
        self.step("enroll")
        await anyio.lowlevel.checkpoint()
        uid = pod["metadata"]["uid"]
        self.enrolled.add(uid)
        return ProcessSpec(f"sidecar-{uid}", ("sidecar", uid), attachment.netns)

    async def release(self, pod_uid: str) -> None:
        self.step("release")
        await anyio.lowlevel.checkpoint()
        self.enrolled.discard(pod_uid)

    async def drained(self, ip: str, *, timeout: float = 10.0) -> None:
        self.step("drained")
        if self.drain_gate is not None:
            await self.drain_gate.wait()
        self.drained_ips.append(ip)

    async def probe(self, pod_uid: str, request: dict[str, Any]) -> dict[str, Any]:
        await anyio.sleep(self.delay)
        if pod_uid not in self.enrolled or not self.runtime.process_runs(f"sidecar-{pod_uid}"):
            self.refused += request["port"] != 15006
            raise UnreachableError("the sidecar does not answer")
        if request["port"] != 15006:
            self.asked.append(request)
        ok = {"ok": True, "status": 200, "message": ""}
        return self.answers.get(request["port"], ok)

    async def connect(self, pod_uid: str, port: int) -> tuple[Any, Any]:
        raise UnreachableError("nothing listens")


@dataclass
class FakeHooks:
    """Webhooks that are recorded; ``error`` is raised when set."""

    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    error: CloudwrightError | None = None

    async def call(
        self, url: str, namespace: str, payload: dict[str, Any], *, timeout: float = 10.0
    ) -> None:
        await anyio.lowlevel.checkpoint()
        self.calls.append((url, namespace, payload))
        if self.error is not None:
            raise self.error
