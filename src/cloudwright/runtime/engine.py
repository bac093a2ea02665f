"""The runtime as the node agent uses it (``node.ports.Runtime``, structurally)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from anyio import Lock, to_thread
from anyio.streams.buffered import BufferedByteReceiveStream

from cloudwright.model.sandbox import (
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
from cloudwright.runtime import bundles, launch, layerfiles, probe, spec, users, vitals, wire
from cloudwright.runtime.config import RuntimeConfig
from cloudwright.runtime.errors import RuntimeFailedError
from cloudwright.runtime.exec import FramedExec
from cloudwright.runtime.ports import Images
from cloudwright.runtime.supervisor import SupervisorClient


class RuntimeEngine:
    """Runs sandboxes, containers and native processes through the supervisor.

    Keeps no state: what runs is what the supervisor says. A supervisor that is not there is
    started with the first request.
    """

    def __init__(self, config: RuntimeConfig, images: Images) -> None:
        self._config = config
        self._images = images
        self._host = probe.host()
        self._supervisor = SupervisorClient(config.socket, revive=self._revive)
        # Two requests for one container must not write its bundle at the same time.
        self._creating: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    async def _revive(self) -> None:
        await launch.ensure_supervisor(self._config)

    async def image(self, reference: str) -> ImageConfig:
        """The image's configuration, its layers unpacked.

        Raises:
            NotFoundError: there is none; the hint says how to get it.
        """
        return await self._images.config(reference)

    async def ensure_sandbox(self, spec: SandboxSpec) -> None:
        """Make the IPC and UTS namespaces of a pod; the network namespace exists already."""
        await self._supervisor.call(
            "sandbox.create", sandbox=spec.id, hostname=spec.hostname, netns=spec.netns
        )

    async def remove_sandbox(self, sandbox: str) -> None:
        """Remove every container and namespace of a sandbox; a missing one is fine."""
        await self._supervisor.call("sandbox.remove", sandbox=sandbox)
        await to_thread.run_sync(bundles.remove_all, self._config.pods, sandbox)

    async def sandboxes(self) -> list[str]:
        """The ids of all sandboxes that exist."""
        answer = await self._supervisor.call("sandbox.list")
        return [line["sandbox"] for line in answer["sandboxes"]]

    async def create_container(self, spec: ContainerSpec) -> None:
        """Mount the root, make the cgroup, create the container; nothing is left when it fails.

        One that exists already under this id is left as it is.

        Raises:
            NotFoundError: no such image, or no such sandbox.
            ContainerSpecError: a field makes no sense; the message names it.
            RuntimeFailedError: crun could not; the message is crun's.
            RuntimeTimeoutError: crun hung and was ended.
        """
        lock = self._creating.setdefault(spec.id, Lock())
        async with lock:
            if any(one.id == spec.id for one in await self.containers()):
                return
            image = await self._images.config(spec.image)
            with vitals.timed("create"):
                await self._create(spec, image)

    async def _create(self, container: ContainerSpec, image: ImageConfig) -> None:
        config = await to_thread.run_sync(self._config_json, container, image)
        pods = self._config.pods
        try:
            make = partial(bundles.write, pods, container.sandbox, container.id, config)
            bundle = await to_thread.run_sync(make)
            await self._supervisor.call(
                "container.create",
                container=container.id,
                sandbox=container.sandbox,
                bundle=str(bundle.path),
                layers=list(image.layers),
                upper=str(bundle.upper),
                work=str(bundle.work),
                read_only=container.security.read_only_root,
                log=wire.log_target(container.log),
                stdin=container.stdin,
                stdin_once=container.stdin_once,
                tty=container.tty,
                target=container.target or None,
            )
        except OSError as error:
            await to_thread.run_sync(bundles.remove, pods, container.id)
            raise RuntimeFailedError(
                f"cannot write the files of container {container.id}: {error.strerror}",
                cause=str(error),
                hint=f"look at the file system of {pods}",
            ) from error
        except Exception:
            await to_thread.run_sync(bundles.remove, pods, container.id)
            raise

    def _config_json(self, container: ContainerSpec, image: ImageConfig) -> dict[str, object]:
        identity = users.resolve(
            image.user,
            container.security,
            passwd=layerfiles.read_text(image.layers, "/etc/passwd"),
            group=layerfiles.read_text(image.layers, "/etc/group"),
        )
        return spec.build(container, image, identity, self._host)

    async def start_container(self, container: str) -> None:
        """Start a created container; one that runs is left alone."""
        with vitals.timed("start"):
            await self._supervisor.call("container.start", container=container)

    async def signal_container(self, container: str, signal: int) -> None:
        """Send a signal to the container's first process; SIGKILL ends all of them.

        Raises:
            ContainerMissingError: it does not run.
        """
        await self._supervisor.call("container.signal", container=container, signal=signal)

    async def remove_container(self, container: str) -> None:
        """Kill if need be, unmount, remove its cgroup and files; a missing one is fine."""
        await self._supervisor.call("container.remove", container=container)
        await to_thread.run_sync(bundles.remove, self._config.pods, container)

    async def containers(self) -> list[ContainerStatus]:
        """Every container, running or ended, that was not removed."""
        answer = await self._supervisor.call("container.list")
        return [wire.container_status(line) for line in answer["containers"]]

    async def exec(self, request: ExecRequest) -> ExecSession:
        """Run a command in a running container, as the container's user.

        Raises:
            ContainerMissingError: there is no such container.
            ContainerSpecError: it does not run, or ``argv`` is empty.
            RuntimeFailedError: the command cannot be run; the message says why.
        """
        return await self._streams(
            "exec",
            container=request.container,
            argv=list(request.argv),
            tty=request.tty,
            stdin=request.stdin,
            env=dict(request.env),
        )

    async def attach(self, container: str, *, stdin: bool) -> ExecSession:
        """The streams of a running container's first process, from now on. Closing the session
        leaves the container as it is (unless its input was to have one client).

        Raises:
            ContainerMissingError: there is no such container.
            ContainerSpecError: it does not run.
        """
        return await self._streams("attach", container=container, stdin=stdin)

    async def _streams(self, op: str, **fields: Any) -> FramedExec:
        stream = await self._supervisor.connect()
        reader = BufferedByteReceiveStream(stream)
        try:
            await self._supervisor.request(stream, reader, op, **fields)
        except BaseException:
            await stream.aclose()
            raise
        return FramedExec(stream, reader)

    async def update_container(self, container: str, limits: Limits) -> None:
        """Set the limits of a running container; one that is ``None`` is taken away.

        Raises:
            ContainerMissingError: there is no such container.
            ContainerSpecError: it does not run, or uses more memory than the new limit.
            RuntimeFailedError: the kernel refuses the limit.
        """
        fields = wire.limits_of(limits)
        await self._supervisor.call("container.update", container=container, limits=fields)

    async def start_process(self, spec: ProcessSpec) -> None:
        """Start a native process; the same one again is left alone, another one replaces it."""
        await self._supervisor.call("process.start", **wire.process_start(spec))

    async def stop_process(self, process: str, *, grace_seconds: float = 5.0) -> None:
        """SIGTERM, then SIGKILL; a missing one is fine."""
        grace_ms = max(int(grace_seconds * 1000), 0)
        await self._supervisor.call(
            "process.stop", timeout=60.0 + grace_seconds, process=process, grace_ms=grace_ms
        )

    async def processes(self) -> list[ProcessStatus]:
        """Every native process."""
        answer = await self._supervisor.call("process.list")
        return [wire.process_status(line) for line in answer["processes"]]

    async def usage(self) -> dict[str, Usage]:
        """Resource use by container or process id."""
        return wire.usage(await self._supervisor.call("usage"))

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        """Ends of containers and processes as they happen; ``lost`` whenever it (re)connects."""
        async for line in self._supervisor.events():
            yield RuntimeEvent(kind=line["event"], id=line.get("id", ""))

    async def shutdown(self, *, grace_seconds: float = 2.0) -> bool:
        """End every container and process, and the supervisor; False when none ran."""
        stopped = await launch.stop_supervisor(self._config, grace_seconds=grace_seconds)
        with suppress(FileNotFoundError):
            for pod in self._config.pods.iterdir():
                await to_thread.run_sync(bundles.remove_all, self._config.pods, pod.name)
        return stopped
