"""Asks the probes of one running container and tells what they say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import anyio

from cloudwright._base.errors import CloudwrightError, UnreachableError
from cloudwright.model.sandbox import ExecRequest
from cloudwright.model.streams import ExecSession
from cloudwright.node import probes
from cloudwright.node.neighbours import Neighbours
from cloudwright.node.probes import ProbeSpec, ProbeState

_OUTPUT_MAX = 1024


@dataclass(frozen=True, slots=True)
class Listener:
    """What to call when a probe's word changes."""

    started: Callable[[], None]
    ready: Callable[[bool], None]
    warning: Callable[[str], Awaitable[None]]
    exhausted: Callable[[ProbeSpec, str], None]


async def run(
    node: Neighbours,
    uid: str,
    container: dict[str, Any],
    container_id: str,
    listener: Listener,
    *,
    was_started: bool = False,
    was_ready: bool = False,
) -> None:
    """Probe until cancelled. ``was_*`` is what a container that was taken over had reached."""
    startup = probes.spec_of(container, "startup")
    now = node.clock.monotonic
    if startup is not None and not was_started:
        state = probes.begin(startup, now())
        while not state.ok:
            state = await _once(node, uid, container_id, state, listener)
    listener.started()
    readiness = probes.spec_of(container, "readiness")
    if readiness is None:
        listener.ready(True)
    async with anyio.create_task_group() as tasks:
        if readiness is not None:
            state = probes.begin(readiness, now())
            if was_ready:
                state = replace(state, ok=True, succeeded=True)
            tasks.start_soon(_forever, node, uid, container_id, state, listener)
        liveness = probes.spec_of(container, "liveness")
        if liveness is not None:
            state = probes.begin(liveness, now())
            tasks.start_soon(_forever, node, uid, container_id, state, listener)


async def _forever(
    node: Neighbours, uid: str, container_id: str, state: ProbeState, listener: Listener
) -> None:
    while True:
        before = state.ok
        state = await _once(node, uid, container_id, state, listener)
        if state.spec.kind == "readiness" and state.ok != before:
            listener.ready(state.ok)


async def _once(
    node: Neighbours, uid: str, container_id: str, state: ProbeState, listener: Listener
) -> ProbeState:
    await anyio.sleep(max(state.next_at - node.clock.monotonic(), 0.0))
    try:
        ok, message = await ask(node, uid, container_id, state.spec)
    except UnreachableError:
        # Not the application's fault: it says nothing of it, least of all that it must restart.
        # The pod is unready anyway while its sidecar is away.
        return replace(state, next_at=node.clock.monotonic() + min(state.spec.period, 1.0))
    outcome = probes.observe(state, ok, message, node.clock.monotonic())
    if outcome.warning is not None:
        await listener.warning(outcome.warning)
    if outcome.exhausted:
        listener.exhausted(state.spec, message)
    return outcome.state


async def ask(node: Neighbours, uid: str, container_id: str, spec: ProbeSpec) -> tuple[bool, str]:
    """Ask once: ``(ok, why not)``.

    Raises:
        UnreachableError: the sidecar or the supervisor, which should ask, does not answer.
    """
    try:
        if "exec" in spec.handler:
            argv = tuple(str(word) for word in spec.handler["exec"].get("command") or [])
            code, output = await execute(node, container_id, argv, spec.timeout)
            return code == 0, output.strip() or f"command exited with code {code}"
        answer = await node.mesh.probe(uid, probes.mesh_request(spec))
    except UnreachableError:
        raise
    except TimeoutError:
        return False, f"command timed out after {spec.timeout:g}s"
    except CloudwrightError as error:
        return False, error.message
    return bool(answer.get("ok")), probes.failure_text(spec, answer)


async def execute(
    node: Neighbours, container_id: str, argv: tuple[str, ...], timeout: float
) -> tuple[int, str]:
    """Run a command in a container: ``(exit code, beginning of its output)``.

    Raises:
        TimeoutError: it ran longer than ``timeout`` seconds and was killed.
        CloudwrightError: it could not be started.
    """
    with anyio.fail_after(timeout):
        session = await node.runtime.exec(ExecRequest(container_id, argv))
        try:
            return await _collect(session)
        finally:
            with anyio.CancelScope(shield=True):
                await session.close()


async def _collect(session: ExecSession) -> tuple[int, str]:
    output = bytearray()
    async for _, data in session.output():
        if len(output) < _OUTPUT_MAX:
            output += data
    return await session.wait(), output[:_OUTPUT_MAX].decode("utf-8", "replace")
