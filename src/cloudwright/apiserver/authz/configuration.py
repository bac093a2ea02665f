"""Who is asked about rights, and in which order: by flags, or an ``AuthorizationConfiguration``.

--authorization-mode=Node,RBAC,Webhook  --authorization-webhook-config-file=FILE
--authorization-webhook-cache-authorized-ttl=5m  …-unauthorized-ttl=30s
--authorization-config=FILE
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudwright._base.errors import UsageError
from cloudwright.apiserver.authz.webhook import WebhookSettings, compiled
from cloudwright.apiserver.cel import CelError
from cloudwright.model import durations

NODE, RBAC, WEBHOOK = "Node", "RBAC", "Webhook"
ALWAYS_ALLOW, ALWAYS_DENY = "AlwaysAllow", "AlwaysDeny"
MODES = (NODE, RBAC, WEBHOOK, ALWAYS_ALLOW, ALWAYS_DENY)
USUAL = (NODE, RBAC)
_TIMEOUT_MAX = 30.0


class AuthorizationProblem(UsageError):
    """The configuration cannot be used; the message names the field."""

    default_code = "CW3214"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook and where it is."""

    settings: WebhookSettings
    file: Path
    timeout: float = 30.0


Step = str | Webhook
"""One of ``MODES``, but ``Webhook`` as what it is."""


def load(file: Path) -> tuple[Step, ...]:
    """The order in an ``AuthorizationConfiguration``.

    Raises:
        AuthorizationProblem: it cannot be read or used.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise AuthorizationProblem(f"{file} cannot be read", cause=str(error)) from error
    return configuration(content)


def configuration(content: Any) -> tuple[Step, ...]:
    """The order in an object. Raises AuthorizationProblem."""
    if not isinstance(content, dict) or content.get("kind") != "AuthorizationConfiguration":
        raise AuthorizationProblem("the file holds no AuthorizationConfiguration")
    entries = content.get("authorizers") or []
    if not entries:
        raise AuthorizationProblem("authorizers: at least one authorization mode must be defined")
    steps: list[Step] = []
    seen_names: set[str] = set()
    for at, entry in enumerate(entries):
        path = f"authorizers[{at}]"
        kind, name = str(entry.get("type") or ""), str(entry.get("name") or "")
        if kind not in MODES:
            raise AuthorizationProblem(f"{path}.type: {kind!r} is not one of {', '.join(MODES)}")
        if not name:
            raise AuthorizationProblem(f"{path}.name: required")
        if name in seen_names:
            raise AuthorizationProblem(f"{path}.name: {name!r} is there twice")
        seen_names.add(name)
        if kind == WEBHOOK:
            steps.append(_webhook(entry.get("webhook"), name, f"{path}.webhook"))
        elif entry.get("webhook") is not None:
            raise AuthorizationProblem(f"{path}.webhook: only of the type Webhook")
        elif kind in steps:
            raise AuthorizationProblem(f"{path}.type: {kind} is there twice")
        else:
            steps.append(kind)
    return tuple(steps)


def _webhook(given: Any, name: str, path: str) -> Webhook:
    if not isinstance(given, Mapping):
        raise AuthorizationProblem(f"{path}: required")
    versions = ("subjectAccessReviewVersion", "matchConditionSubjectAccessReviewVersion")
    conditions = tuple(str(one.get("expression")) for one in given.get("matchConditions") or ())
    for field in versions if conditions else versions[:1]:
        if given.get(field) != "v1":
            raise AuthorizationProblem(f"{path}.{field}: must be v1")
    policy = given.get("failurePolicy")
    if policy not in ("Deny", "NoOpinion"):
        raise AuthorizationProblem(f"{path}.failurePolicy: must be Deny or NoOpinion")
    try:
        compiled(conditions)
    except CelError as error:
        raise AuthorizationProblem(f"{path}.matchConditions: {error.message}") from error
    timeout = _seconds(given.get("timeout"), f"{path}.timeout", None)
    if timeout > _TIMEOUT_MAX:
        raise AuthorizationProblem(f"{path}.timeout: must be at most 30s")
    info = given.get("connectionInfo") or {}
    if info.get("type") != "KubeConfigFile" or not info.get("kubeConfigFile"):
        message = f"{path}.connectionInfo: must be a KubeConfigFile with its kubeConfigFile"
        raise AuthorizationProblem(message)
    settings = WebhookSettings(
        name,
        _seconds(given.get("authorizedTTL"), f"{path}.authorizedTTL", 300.0),
        _seconds(given.get("unauthorizedTTL"), f"{path}.unauthorizedTTL", 30.0),
        policy == "Deny",
        conditions,
    )
    return Webhook(settings, Path(str(info["kubeConfigFile"])), timeout)


def _seconds(text: Any, path: str, default: float | None) -> float:
    if text is None and default is not None:
        return default
    try:
        found = durations.parse(str(text or ""))
    except ValueError:
        found = 0.0
    if found <= 0:
        raise AuthorizationProblem(f"{path}: must be a duration above zero, such as 30s")
    return found


def from_flags(modes: str, file: str, authorized: str, unauthorized: str) -> tuple[Step, ...]:
    """The order that flags give; empty ``modes``: the usual one.

    Raises:
        AuthorizationProblem: a mode is unknown, or the webhook has no file (or the reverse).
    """
    names = [one.strip() for one in modes.split(",") if one.strip()] or list(USUAL)
    wrong = [one for one in names if one not in MODES]
    if wrong or len(set(names)) < len(names):
        raise AuthorizationProblem(
            f"--authorization-mode: {modes!r}", hint=f"each at most once: {', '.join(MODES)}"
        )
    if (WEBHOOK in names) != bool(file):
        raise AuthorizationProblem(
            "--authorization-mode=…,Webhook and --authorization-webhook-config-file go together"
        )
    settings = WebhookSettings(
        authorized_seconds=_seconds(
            authorized or None, "--authorization-webhook-cache-authorized-ttl", 300.0
        ),
        unauthorized_seconds=_seconds(
            unauthorized or None, "--authorization-webhook-cache-unauthorized-ttl", 30.0
        ),
    )
    return tuple(Webhook(settings, Path(file)) if one == WEBHOOK else one for one in names)
