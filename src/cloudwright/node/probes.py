"""The state machine of one probe: what it says now, and when to ask next. Pure.

Two things differ from upstream, for quicker starts, and change no threshold: until its first
success a readiness or startup probe is also asked in between its periods (0.1 s, 0.2 s, … up to
the period), and failures of these extra questions are neither counted nor told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["startup", "liveness", "readiness"]
EAGER_FIRST = 0.1


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """One probe of a container; times in seconds."""

    kind: Kind
    handler: dict[str, Any]
    """``{"httpGet"|"tcpSocket"|"grpc"|"exec": {...}}`` with named ports resolved."""
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3
    grace: float | None = None
    """Overrides the pod's grace period when this probe ends the container."""

    @property
    def title(self) -> str:
        """``Readiness``, ``Liveness`` or ``Startup``, as events name it."""
        return self.kind.capitalize()


@dataclass(frozen=True, slots=True)
class ProbeState:
    """What a probe says. ``now`` and ``next_at`` are seconds of one monotonic clock."""

    spec: ProbeSpec
    ok: bool
    next_at: float
    due_at: float
    """The next question that counts; earlier ones are eager."""
    succeeded: bool = False
    run_ok: int = 0
    run_failed: int = 0
    eager: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer means: the new state, whether ``ok`` changed, a warning to tell, if any."""

    state: ProbeState
    changed: bool
    warning: str | None
    exhausted: bool
    """A liveness or startup probe has failed often enough: restart the container."""


def spec_of(container: dict[str, Any], kind: Kind) -> ProbeSpec | None:
    """The probe of that kind, defaults filled in, or ``None``."""
    raw = container.get(f"{kind}Probe")
    if not raw:
        return None
    handler = {key: raw[key] for key in ("httpGet", "tcpSocket", "grpc", "exec") if key in raw}
    for target in ("httpGet", "tcpSocket"):
        if target in handler:
            port = _port(container, handler[target].get("port"))
            handler[target] = {**handler[target], "port": port}
    grace = raw.get("terminationGracePeriodSeconds")
    return ProbeSpec(
        kind=kind,
        handler=handler,
        initial_delay=float(raw.get("initialDelaySeconds") or 0),
        period=max(float(raw.get("periodSeconds") or 10), 1.0),
        timeout=max(float(raw.get("timeoutSeconds") or 1), 1.0),
        successes=1 if kind != "readiness" else max(int(raw.get("successThreshold") or 1), 1),
        failures=max(int(raw.get("failureThreshold") or 3), 1),
        grace=None if grace is None else float(grace),
    )


def begin(spec: ProbeSpec, now: float) -> ProbeState:
    """The state when the container has just started."""
    first = now + spec.initial_delay
    return ProbeState(spec, ok=spec.kind == "liveness", next_at=first, due_at=first)


def observe(state: ProbeState, ok: bool, message: str, now: float) -> Outcome:
    """The state after an answer that arrived at ``now``."""
    spec = state.spec
    if not ok and now < state.due_at:
        return Outcome(_schedule(replace(state, message=message), now), False, None, False)
    if ok:
        run = state.run_ok + 1
        value = state.ok or run >= spec.successes
        after = replace(state, ok=value, run_ok=run, run_failed=0, succeeded=True, message="")
    else:
        run = state.run_failed + 1
        value = state.ok and run < spec.failures
        after = replace(state, ok=value, run_ok=0, run_failed=run, message=message)
    if now >= state.due_at:
        after = replace(after, due_at=now + spec.period, eager=0)
    exhausted = not ok and spec.kind != "readiness" and run >= spec.failures
    warning = None if ok else f"{spec.title} probe failed: {message}"
    return Outcome(_schedule(after, now), value != state.ok, warning, exhausted)


def _schedule(state: ProbeState, now: float) -> ProbeState:
    if state.succeeded and (state.ok or state.run_failed):
        return replace(state, next_at=state.due_at)
    if state.spec.kind == "liveness":
        return replace(state, next_at=state.due_at)
    pause = EAGER_FIRST * 2.0 ** min(state.eager, 16)
    return replace(state, next_at=min(now + pause, state.due_at), eager=state.eager + 1)


def mesh_request(spec: ProbeSpec) -> dict[str, Any]:
    """The request for ``Mesh.probe`` (http, tcp and grpc handlers)."""
    timeout = int(spec.timeout * 1000)
    if "httpGet" in spec.handler:
        get = spec.handler["httpGet"]
        headers = {str(h["name"]): str(h["value"]) for h in get.get("httpHeaders") or []}
        return {
            "type": "http",
            "port": get["port"],
            "path": get.get("path") or "/",
            "headers": headers,
            "scheme": str(get.get("scheme") or "HTTP").lower(),
            "timeout_ms": timeout,
        }
    if "grpc" in spec.handler:
        grpc = spec.handler["grpc"]
        service = grpc.get("service") or ""
        return {"type": "grpc", "port": grpc["port"], "service": service, "timeout_ms": timeout}
    return {"type": "tcp", "port": spec.handler["tcpSocket"]["port"], "timeout_ms": timeout}


def failure_text(spec: ProbeSpec, answer: dict[str, Any]) -> str:
    """Why an answer of ``Mesh.probe`` is a failure, in upstream's words."""
    status = answer.get("status")
    if "httpGet" in spec.handler and status is not None:
        return f"HTTP probe failed with statuscode: {status}"
    return str(answer.get("message") or "no answer")


def _port(container: dict[str, Any], port: Any) -> int:
    if isinstance(port, str) and not port.isdigit():
        for entry in container.get("ports") or []:
            if entry.get("name") == port:
                return int(entry["containerPort"])
        return 0
    return int(port or 0)
