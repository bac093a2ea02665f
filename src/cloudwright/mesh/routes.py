"""Routes of the gateway (pure): reading their spec, and which of two that collide is served."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudwright.model import durations, fields
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object, key_of, name_of, namespace_of

LOAD_BALANCERS = ("round_robin", "least_request")
RETRY_ON = ("connect-failure", "reset", "unavailable")
DEFAULT_TIMEOUT_MS = 15_000
DEFAULT_RETRIES = {"attempts": 2, "per_try_timeout_ms": 0, "on": list(RETRY_ON)}
MAX_ATTEMPTS = 10
_HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a Route is served: the two conditions of its status, as ``(reason, message)``."""

    accepted: bool
    reason: str
    message: str
    resolved: bool = True
    resolved_reason: str = "ResolvedRefs"
    resolved_message: str = ""


@dataclass(slots=True)
class Judged:
    """The Routes that are served, as the snapshot has them, and a verdict on every one."""

    served: list[dict[str, Any]] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)


def judge(routes: Iterable[Object], ports: Mapping[tuple[str, str], Sequence[int]]) -> Judged:
    """Decide on every Route. ``ports`` has the ports of each Service by ``(namespace, name)``.

    Of two Routes with the same host and path the older wins (then the one whose key sorts first).
    A Route to a Service that is not there is served all the same: its path answers 503, and does
    not fall to a shorter prefix.
    """
    result = Judged()
    taken: dict[tuple[str, str, bool], str] = {}
    for route in sorted(routes, key=_age):
        key = key_of(route)
        spec = route.get("spec") or {}
        entry, problems = read(route)
        if problems:
            text = "; ".join(str(problem) for problem in problems)
            result.verdicts[key] = Verdict(False, "Invalid", text)
            continue
        if spec.get("disabled"):
            result.verdicts[key] = Verdict(False, "Disabled", "spec.disabled is set")
            continue
        exact = bool(entry.get("exact"))
        matches = [(host, entry["path_prefix"], exact) for host in entry["hosts"]]
        winners = [(match, taken[match]) for match in matches if match in taken]
        if winners:
            (host, path, _), winner = winners[0]
            message = f"host {host} and path {path} belong to the older Route {winner}"
            result.verdicts[key] = Verdict(False, "Conflicted", message)
            continue
        taken.update(dict.fromkeys(matches, key))
        result.served.append(entry)
        result.verdicts[key] = _resolve(entry, ports)
    result.served.sort(key=lambda entry: (entry["namespace"], entry["name"]))
    return result


def _age(route: Object) -> tuple[str, str]:
    return str(route.get("metadata", {}).get("creationTimestamp") or "9999"), key_of(route)


def _resolve(entry: Mapping[str, Any], ports: Mapping[tuple[str, str], Sequence[int]]) -> Verdict:
    where = f"Service {entry['namespace']}/{entry['service']}"
    known = ports.get((entry["namespace"], entry["service"]))
    text = "the gateway serves it"
    if known is None:
        return Verdict(True, "Accepted", text, False, "BackendNotFound", f"{where} does not exist")
    if entry["port"] not in known:
        has = ", ".join(str(port) for port in known) or "none"
        message = f"{where} has no port {entry['port']} (it has: {has})"
        return Verdict(True, "Accepted", text, False, "BackendNotFound", message)
    return Verdict(True, "Accepted", text, True, "ResolvedRefs", f"{where}:{entry['port']}")


def read(route: Object) -> tuple[dict[str, Any], list[FieldError]]:
    """A Route as the snapshot has it, and what is wrong with its spec."""
    spec: Mapping[str, Any] = route.get("spec") or {}
    problems: list[FieldError] = []
    service = spec.get("service")
    if not service:
        problems.append(fields.required("spec.service", "the Service that requests go to"))
    port = spec.get("port") or 80
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        problems.append(fields.invalid("spec.port", port, "must be between 1 and 65535"))
    entry = {
        "namespace": namespace_of(route),
        "name": name_of(route),
        "hosts": _hosts(spec, problems),
        "path_prefix": _prefix(spec, problems),
        "strip_prefix": bool(spec.get("stripPrefix")),
        "service": str(service),
        "port": port,
        "timeout_ms": _millis(spec.get("timeout"), "spec.timeout", DEFAULT_TIMEOUT_MS, problems),
        "retries": _retries(spec.get("retries"), problems),
        "load_balancer": spec.get("loadBalancer") or LOAD_BALANCERS[0],
    }
    if spec.get("exact"):
        entry["exact"] = True
    if entry["load_balancer"] not in LOAD_BALANCERS:
        problems.append(
            fields.not_supported("spec.loadBalancer", entry["load_balancer"], LOAD_BALANCERS)
        )
    return entry, problems


def _hosts(spec: Mapping[str, Any], problems: list[FieldError]) -> list[str]:
    hosts = []
    for index, host in enumerate(spec.get("hosts") or ["*"]):
        lower = str(host).lower()
        if lower != "*" and not _HOST.fullmatch(lower):
            wanted = "must be a host name, *.SUFFIX, or *"
            problems.append(fields.invalid(f"spec.hosts[{index}]", host, wanted))
        if lower not in hosts:
            hosts.append(lower)
    return hosts


def _prefix(spec: Mapping[str, Any], problems: list[FieldError]) -> str:
    text = str(spec.get("pathPrefix") or "/")
    if not text.startswith("/"):
        problems.append(fields.invalid("spec.pathPrefix", text, "must start with /"))
    if any(c in text for c in "?# ") or not text.isprintable():
        problems.append(
            fields.invalid("spec.pathPrefix", text, "must be a path without ?, # or space")
        )
    return text if spec.get("exact") else text.rstrip("/") or "/"


def _millis(value: object, path: str, default: int, problems: list[FieldError]) -> int:
    if value is None or value == "":
        return default
    try:
        seconds = durations.parse(str(value))
    except ValueError as error:
        problems.append(fields.invalid(path, value, str(error)))
        return default
    if seconds < 0:
        problems.append(fields.invalid(path, value, "must not be negative"))
        return default
    return round(seconds * 1000)


def _retries(value: Mapping[str, Any] | None, problems: list[FieldError]) -> dict[str, Any]:
    if value is None:
        return dict(DEFAULT_RETRIES)
    attempts = value.get("attempts", DEFAULT_RETRIES["attempts"])
    if not isinstance(attempts, int) or not 0 <= attempts <= MAX_ATTEMPTS:
        wanted = f"must be between 0 and {MAX_ATTEMPTS}"
        problems.append(fields.invalid("spec.retries.attempts", attempts, wanted))
    wishes = list(value.get("on") or RETRY_ON)
    for index, wish in enumerate(wishes):
        if wish not in RETRY_ON:
            problems.append(fields.not_supported(f"spec.retries.on[{index}]", wish, RETRY_ON))
    per_try = _millis(value.get("perTryTimeout"), "spec.retries.perTryTimeout", 0, problems)
    return {"attempts": attempts, "per_try_timeout_ms": per_try, "on": sorted(set(wishes))}
