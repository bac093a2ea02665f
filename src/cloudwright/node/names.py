"""Names of kernel objects and files of pods, as ``docs/reference/internals.md`` fixes them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cloudwright._base.paths import Paths
from cloudwright.model.objects import Object, name_of, namespace_of, uid_of

SIDECAR = "sidecar"


def short(uid: str) -> str:
    """First eight hex digits of SHA-256 of a pod's uid."""
    return hashlib.sha256(uid.encode()).hexdigest()[:8]


def container_id(uid: str, name: str, attempt: int) -> str:
    """``SHORT-NAME-ATTEMPT``."""
    return f"{short(uid)}-{name}-{attempt}"


def parse_container_id(text: str) -> tuple[str, str, int] | None:
    """``(SHORT, NAME, ATTEMPT)`` of a container id, or ``None`` when it is not one of ours."""
    prefix, _, rest = text.partition("-")
    name, _, attempt = rest.rpartition("-")
    if len(prefix) != 8 or not name or not attempt.isdigit():
        return None
    return prefix, name, int(attempt)


def sidecar_id(uid: str) -> str:
    """The native process id of a pod's sidecar."""
    return f"{SIDECAR}-{uid}"


def log_directory(paths: Paths, pod: Object) -> Path:
    """Where a pod's CRI logs lie: ``<namespace>_<pod>_<uid>``."""
    return paths.pod_logs / f"{namespace_of(pod)}_{name_of(pod)}_{uid_of(pod)}"


def log_file(paths: Paths, pod: Object, container: str, attempt: int) -> Path:
    """The CRI log of one attempt; rotated older parts are ``<n>.log.*`` beside it."""
    return log_directory(paths, pod) / container / f"{attempt}.log"
