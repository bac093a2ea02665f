"""The supervisor's JSON to the model's types and back. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model.sandbox import (
    ContainerState,
    ContainerStatus,
    Limits,
    LogTarget,
    ProcessSpec,
    ProcessStatus,
    Usage,
)


def container_status(line: dict[str, Any]) -> ContainerStatus:
    """One entry of ``container.list``."""
    return ContainerStatus(
        id=line["container"],
        sandbox=line["sandbox"],
        state=ContainerState(line["state"]),
        pid=line["pid"],
        created_at=_moment(line["created_at"]),
        started_at=_moment(line["started_at"]),
        finished_at=_moment(line["finished_at"]),
        exit_code=line["exit_code"],
        signal=line["signal"],
        oom_killed=line["oom_killed"],
        message=_message(line),
    )


def process_status(line: dict[str, Any]) -> ProcessStatus:
    """One entry of ``process.list``."""
    return ProcessStatus(
        id=line["process"],
        running=line["running"],
        pid=line["pid"],
        restarts=line["restarts"],
        exit_code=line["exit_code"],
    )


def usage(answer: dict[str, Any]) -> dict[str, Usage]:
    """The answer to ``usage``."""
    return {
        name: Usage(cpu_seconds=one["cpu_seconds"], memory_bytes=one["memory_bytes"])
        for name, one in answer["usage"].items()
    }


def log_target(log: LogTarget | None) -> dict[str, Any] | None:
    """The ``log`` field of a request."""
    if log is None:
        return None
    return {"path": log.path, "max_bytes": log.max_bytes, "max_files": log.max_files}


def process_start(spec: ProcessSpec) -> dict[str, Any]:
    """The fields of ``process.start``."""
    return {
        "process": spec.id,
        "argv": list(spec.argv),
        "netns": spec.netns,
        "uid": spec.uid,
        "gid": spec.gid,
        "env": dict(spec.env),
        "log": log_target(spec.log),
        "cgroup": spec.cgroup,
        "limits": limits_of(spec.limits),
        "restart": True,
    }


def limits_of(limits: Limits) -> dict[str, int | None]:
    """The limits as a request tells them."""
    return {
        "memory_bytes": limits.memory_bytes,
        "cpu_millis": limits.cpu_millis,
        "cpu_shares": limits.cpu_shares,
        "pids": limits.pids,
    }


def _moment(text: str | None) -> datetime | None:
    """RFC 3339 with nanoseconds; Python keeps microseconds."""
    if text is None:
        return None
    head, _, fraction = text.removesuffix("Z").partition(".")
    return parse_rfc3339(f"{head}.{fraction[:6]}Z" if fraction else f"{head}Z")


def _message(line: dict[str, Any]) -> str:
    dropped = line.get("log_dropped", 0)
    return f"{dropped} log lines were dropped (disk full?)" if dropped else ""
