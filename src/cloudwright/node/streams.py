"""``model.streams.PodStreams`` of this node: logs, exec, and connections into pods."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from cloudwright._base.clock import parse_rfc3339
from cloudwright._base.errors import NotFoundError, UsageError
from cloudwright.model.objects import name_of
from cloudwright.model.sandbox import ContainerState, ExecRequest
from cloudwright.model.streams import ByteStream, ExecSession
from cloudwright.node import logs
from cloudwright.node.names import SIDECAR, log_file, sidecar_id
from cloudwright.node.observe import Attempt, ContainerView, PodView

if TYPE_CHECKING:
    from cloudwright.node.agent import NodeAgent
    from cloudwright.node.worker import PodWorker

_BLOCK = 64 * 1024
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


class NodeStreams:
    """Streams of the pods that ``agent`` runs. Errors are ``CloudwrightError``s."""

    def __init__(self, agent: NodeAgent) -> None:
        self._agent = agent

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str | None = None,
        follow: bool = False,
        previous: bool = False,
        since_seconds: float | None = None,
        since_time: str | None = None,
        tail_lines: int | None = None,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncGenerator[bytes]:
        """Chunks of whole lines; ``container`` may also be ``sidecar``.

        Raises:
            NotFoundError: no such pod or container here, or no previous attempt.
            UsageError: it has not started yet, or a word is wrong.
        """
        since = None
        if since_seconds is not None:
            since = self._agent.node.now() - timedelta(seconds=since_seconds)
        elif since_time:
            try:
                since = parse_rfc3339(since_time)
            except ValueError as error:
                raise UsageError(f'sinceTime "{since_time}" is not RFC 3339') from error
        options = logs.Options(since, tail_lines, timestamps, limit_bytes)
        worker = self._worker(namespace, pod)
        paths = self._agent.node.config.paths
        ended = anyio.Event()
        if container == SIDECAR:
            path = worker.memory.sidecar_log or log_file(paths, worker.pod, SIDECAR, 0)
            self._agent.when_ended(sidecar_id(worker.uid), ended)
        else:
            view = await worker.view()
            chosen = _container(view, container)
            attempt = _attempt(view, chosen, previous)
            path = log_file(paths, worker.pod, chosen.name, attempt.number)
            follow = follow and await self._runs(attempt, ended)
        source = logs.follow(path, options, ended) if follow else logs.stream(path, options)
        async with aclosing(source) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _runs(self, attempt: Attempt, ended: anyio.Event) -> bool:
        """Whether the attempt still runs; if so ``ended`` will be set when it ends."""
        self._agent.when_ended(attempt.id, ended)
        for status in await self._agent.node.runtime.containers():
            if status.id == attempt.id:
                return status.state is not ContainerState.EXITED
        return False

    async def exec(
        self,
        namespace: str,
        pod: str,
        *,
        container: str | None,
        argv: tuple[str, ...],
        tty: bool,
        stdin: bool,
    ) -> ExecSession:
        """Start a command in a running container.

        Raises:
            NotFoundError: no such pod or container here.
            UsageError: the container does not run.
        """
        if not argv:
            raise UsageError("exec needs a command")
        running = await self._running(namespace, pod, container)
        return await self._agent.node.runtime.exec(ExecRequest(running, argv, tty, stdin))

    async def attach(
        self, namespace: str, pod: str, *, container: str | None, stdin: bool
    ) -> ExecSession:
        """The streams of a running container's own process, from now on.

        Raises:
            NotFoundError: no such pod or container here.
            UsageError: the container does not run.
        """
        running = await self._running(namespace, pod, container)
        return await self._agent.node.runtime.attach(running, stdin=stdin)

    async def _running(self, namespace: str, pod: str, container: str | None) -> str:
        """The id of a container that runs."""
        view = await self._worker(namespace, pod).view()
        chosen = _container(view, container)
        running = chosen.running
        if running is None:
            raise UsageError(
                f'container "{chosen.name}" in pod "{pod}" is not running',
                hint=f"cloudwright why pod/{pod} -n {namespace}",
            )
        return running.id

    async def connect(self, namespace: str, pod: str, port: int) -> ByteStream:
        """Connect to a port on the pod's loopback, through its sidecar.

        Raises:
            NotFoundError: no such pod here.
            UnreachableError: it has no sidecar, or nobody listens there.
        """
        worker = self._worker(namespace, pod)
        reader, writer = await self._agent.node.mesh.connect(worker.uid, port)
        return _Bytes(reader, writer)

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        worker = self._agent.worker_of(namespace, pod)
        if worker is None:
            raise NotFoundError(
                f'pod "{namespace}/{pod}" does not run on node {self._agent.node.config.node_name}',
                hint=f"cloudwright why pod/{pod} -n {namespace}",
            )
        return worker


class _Bytes:
    """A ``ByteStream`` over asyncio's two halves."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes:
        """The next bytes; empty at the end."""
        try:
            return await self._reader.read(_BLOCK)
        except ConnectionError:
            return b""

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def send_eof(self) -> None:
        """End the sending half."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def aclose(self) -> None:
        """Close both halves."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


def _container(view: PodView, name: str | None) -> ContainerView:
    annotations = view.pod["metadata"].get("annotations") or {}
    wanted = name or annotations.get(DEFAULT_CONTAINER) or (view.app[0].name if view.app else "")
    for container in view.containers:
        if container.name == wanted:
            return container
    names = ", ".join(c.name for c in view.containers)
    raise NotFoundError(
        f'pod "{name_of(view.pod)}" has no container "{wanted}"', hint=f"one of: {names}"
    )


def _attempt(view: PodView, container: ContainerView, previous: bool) -> Attempt:
    pod = name_of(view.pod)
    started = [a for a in container.attempts if a.state is not ContainerState.CREATED]
    if previous:
        if len(started) < 2:
            raise NotFoundError(
                f'previous terminated container "{container.name}" in pod "{pod}" not found'
            )
        return started[-2]
    if not started:
        failure = container.facts.failure
        reason = failure.reason if failure is not None else "ContainerCreating"
        raise UsageError(
            f'container "{container.name}" in pod "{pod}" is waiting to start: {reason}',
            hint=None if failure is None else failure.message,
        )
    return started[-1]
