"""cloudwrightd: one process with the API, the controllers, the scheduler, the node agent and the
mesh.

It may be killed at any moment: containers and proxies are held by the supervisor, objects by the
store. On start it
takes over what runs. Order: API → supervisor, network, mesh → gateway → node agent, controllers,
scheduler.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import IPv4Network

import anyio
from anyio.abc import TaskGroup

from cloudwright._base import logs, startup
from cloudwright._base.clock import SystemClock
from cloudwright._base.errors import CloudwrightError
from cloudwright._base.files import make_passage
from cloudwright._base.paths import Paths
from cloudwright._base.sockets import holder_of
from cloudwright._base.watching import watching
from cloudwright.apiserver import bootstrap, identities, security
from cloudwright.apiserver.aggregation import aggregator
from cloudwright.apiserver.audit import setup as auditing
from cloudwright.apiserver.authz import policy
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.local import LocalTransport
from cloudwright.apiserver.server import Serving
from cloudwright.apiserver.signer import RequestSigner
from cloudwright.apiserver.store.opening import open_any
from cloudwright.apiserver.tls import Pki, write_kubeconfig
from cloudwright.client.client import Client
from cloudwright.mesh.watch import MeshWatch
from cloudwright.operator import run as operator
from cloudwright.operator.config import Config as OperatorConfig
from cloudwright.platform import (
    answers,
    api_service,
    backups,
    control,
    defaults,
    face,
    measures,
    usage,
    xds,
)
from cloudwright.platform.config import PlatformConfig, address
from cloudwright.platform.errors import AlreadyRunning, PortBusy, StartFailed
from cloudwright.platform.wiring import (
    API_PORT,
    Parts,
    assemble,
    client_of,
    core_config,
    runtime_config,
    store_config,
)
from cloudwright.runtime.launch import ensure_supervisor
from cloudwright.scheduler import driver as scheduler

_log = logs.get("platform")
GATEWAY_SECONDS = 20.0
_LISTEN_SECONDS = 0.1

Say = Callable[[str], None]


class Ready:
    """The pipe to whoever started us: a line for each step, then ``ready`` or the error."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def step(self, text: str) -> None:
        """What is being done now."""
        _log.info(text)
        self._write({"step": text})

    def done(self) -> None:
        """Everything serves."""
        self._write({"ready": True})
        self._close()

    def failed(self, error: CloudwrightError) -> None:
        """It cannot start."""
        fields = {"message": error.message, "cause": error.cause, "hint": error.hint}
        self._write({"error": {**fields, "code": error.code}})
        self._close()

    def _write(self, message: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(message).encode() + b"\n")
        except BrokenPipeError:  # the starter was interrupted; we go on
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def main(paths: Paths, config: PlatformConfig, ready: Ready) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    try:
        with _Lock(paths):
            anyio.run(_run, paths, config, ready, backend_options={"use_uvloop": False})
    except CloudwrightError as error:
        _log.error("%s", error.message, extra={"code": error.code, "cause": error.cause})
        ready.failed(error)
        return error.exit_code
    except BaseExceptionGroup as group:
        first = _first(group)
        _log.error("the daemon ends: %s", first, exc_info=group)
        known = first if isinstance(first, CloudwrightError) else CloudwrightError(repr(first))
        ready.failed(known)
        return known.exit_code
    except OSError as error:
        _log.error("the daemon ends: %s", error, exc_info=error)
        full = error.errno == errno.ENOSPC
        where = f" ({error.filename})" if error.filename else ""
        known = CloudwrightError(
            f"the platform cannot run: {(error.strerror or str(error)).lower()}{where}",
            hint=f"make room on the disk of {paths.state}" if full else None,
        )
        ready.failed(known)
        return known.exit_code
    return 0


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Lock:
    """The pid file, locked as long as we live: a second daemon is refused, a dead one's file is
    not.
    """

    def __init__(self, paths: Paths) -> None:
        self._file = paths.daemon_pid
        self._run = paths.run

    def __enter__(self) -> None:
        make_passage(self._run)
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._descriptor, 32).decode()
            os.close(self._descriptor)
            raise AlreadyRunning(
                f"the platform runs already (pid {pid})", hint="see `cloudwright status`"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, str(os.getpid()).encode())

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


async def _run(paths: Paths, config: PlatformConfig, ready: Ready) -> None:
    make_passage(paths.state)
    _check_machine(paths, config)
    async with AsyncExitStack() as stack:
        ready.step("opening the store")
        backups.finish(paths)  # a restore that was interrupted
        store = await stack.enter_async_context(
            open_any(config.store, store_config(paths), SystemClock())
        )
        store = await stack.enter_async_context(security.sealed(config, store, paths.pki))
        authorizer = await stack.enter_async_context(
            security.authorizer(config, store, SystemClock())
        )
        core = await stack.enter_async_context(
            bootstrap.running(store, authorizer, config=core_config(config))
        )
        authority = Pki(paths.pki).ca.certificate_pem
        await stack.enter_async_context(aggregator.running(core, paths.pki, authority))
        known = await stack.enter_async_context(identities.running(core, paths, authority, config))
        await stack.enter_async_context(
            auditing.running(
                core, config.audit_policy, paths.state / "audit" / "audit.log", webhook=config
            )
        )
        parts = assemble(paths, config, core)
        group = await stack.enter_async_context(anyio.create_task_group())
        told = anyio.Event()
        group.start_soon(_until_told, told)
        ready.step("serving the API")
        serving = await face.serve_api(
            stack, paths, config, core, authorizer, known.authenticator, parts.streams
        )
        write_kubeconfig(paths, f"https://{config.api}")
        await defaults.all_of(Client(LocalTransport(core, bootstrap.SYSTEM)), config.gateway_api)
        ready.step("making the pod network")
        # Before the supervisor: who makes the mount /run/netns also removes it.
        await parts.network.start()
        await _open_to_pods(config, core, serving)
        await _start_parts(paths, config, core, parts, group, ready)
        served = answers.all_of(paths, config, parts)
        served |= await xds.running(stack, paths, config, parts)
        served["POST /rotate-token-key"] = answers.rotating(known.tokens.keys)
        await stack.enter_async_context(control.serving(paths, served))
        await face.serve_metrics(stack, config, core, parts)
        ready.done()
        startup.ready()
        _log.info("ready", extra={"pid": os.getpid()})
        await told.wait()
        group.cancel_scope.cancel()


async def _open_to_pods(config: PlatformConfig, core: ApiCore, serving: Serving) -> None:
    """Serve the API on the node's address too, as the Service ``kubernetes``."""
    host, port = address(config.api, "api")
    node = str(next(IPv4Network(config.pod_cidr).hosts()))
    if host not in ("0.0.0.0", "::"):  # noqa: S104
        serving.listen(node, port)
    service = str(next(IPv4Network(config.service_cidr).hosts()))
    client = Client(LocalTransport(core, bootstrap.SYSTEM))
    await api_service.publish(client, service, API_PORT, node, port)


async def _start_parts(
    paths: Paths,
    config: PlatformConfig,
    core: ApiCore,
    parts: Parts,
    group: TaskGroup,
    ready: Ready,
) -> None:
    ready.step("starting the supervisor")
    await ensure_supervisor(runtime_config(paths))
    ready.step("starting the mesh")
    await parts.mesh.start()
    watch = MeshWatch(parts.mesh, client_of(core, policy.MESH))
    group.start_soon(_guarded, "mesh", watch.run)
    group.start_soon(_guarded, "network policies", parts.policies.run)
    ready.step("opening the gateway")
    await _gateway(config, parts)
    ready.step("starting the controllers")
    hooks, clock = parts.hooks, SystemClock()

    async def controllers() -> None:
        wanted = OperatorConfig(
            volume_directory=str(paths.state / "volumes"),
            ingress_address=address(config.gateway, "gateway")[0],
        )
        await operator.run(
            client_of(core, policy.OPERATOR),
            hooks=hooks,
            meter=measures.meter(parts),
            commands=measures.PodCommands(parts.streams),
            signer=RequestSigner(Pki(paths.pki).ca),
            clock=clock,
            config=wanted,
        )

    async def placing() -> None:
        await scheduler.run(client_of(core, policy.SCHEDULER), clock=clock)

    group.start_soon(_guarded, "operator", controllers)
    group.start_soon(_guarded, "scheduler", placing)
    group.start_soon(_guarded, "node", parts.node.run)
    measured = partial(usage.serve, core, parts.node, config.node)
    group.start_soon(_guarded, "metrics", measured)


async def _gateway(config: PlatformConfig, parts: Parts) -> None:
    """Start the gateway unless it runs, and wait until it serves."""
    running = {process.id for process in await parts.runtime.processes() if process.running}
    if "gateway" not in running:
        for key in ("gateway", "gateway_tls"):
            _need_free(getattr(config, key), key)
    spec = await parts.mesh.gateway(http=[config.gateway], https=[config.gateway_tls])
    await parts.runtime.start_process(spec)
    admin, reason = parts.mesh.admin(), "it does not start"
    with anyio.move_on_after(GATEWAY_SECONDS), watching(admin.socket.parent) as directory:
        while True:
            try:
                if await admin.serving(timeout=GATEWAY_SECONDS):
                    return
                reason = (await admin.ready())[1]
            except CloudwrightError as error:  # its socket is not there yet
                reason = error.message
            # A socket appears a moment before it listens, which nobody tells.
            with anyio.move_on_after(_LISTEN_SECONDS):
                await directory.changed()
    raise CloudwrightError("the gateway does not become ready", cause=reason)


def _check_machine(paths: Paths, config: PlatformConfig) -> None:
    """Refuse what would fail later, before anything is made. Raises PortBusy, StartFailed."""
    keys = ["api", "metrics"]
    if not paths.supervisor_socket.exists():  # else a gateway of ours may hold its ports
        keys += ["gateway", "gateway_tls"]
    for key in keys:
        _need_free(getattr(config, key), key)
    crun = runtime_config(paths).crun
    if shutil.which(crun) is None:
        raise StartFailed(f"{crun} is not installed", hint="install the package crun")


def _need_free(text: str, key: str) -> None:
    """Raise PortBusy, naming the holder, when nobody can listen on ``text``."""
    host, port = address(text, key)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            flag = f"--{key.replace('_', '-')}"
            raise PortBusy(
                f"{text} ({flag}) cannot be taken",
                cause=holder_of(port) or error.strerror,
                hint=f"end it, or choose another: `cloudwright up {flag} IP:PORT`",
            ) from None


async def _guarded(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run a part; one that fails is logged and started again with a back-off, the others go on."""
    delay = 0.5
    while True:
        started = anyio.current_time()
        try:
            await work()
        except Exception:
            _log.exception("part %s failed", name)
        if anyio.current_time() - started > 60:
            delay = 0.5
        await anyio.sleep(delay)
        delay = min(delay * 2, 30.0)


async def _until_told(told: anyio.Event) -> None:
    """Set ``told`` at SIGTERM or SIGINT; containers and proxies go on."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            _log.info("ending", extra={"signal": signal.Signals(number).name})
            told.set()
            return
