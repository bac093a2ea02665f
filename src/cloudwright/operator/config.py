"""What can be set about the operator."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloudwright.operator.queue import Backoff


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the controllers; the defaults fit one machine."""

    backoff: Backoff = field(default_factory=Backoff)
    concurrency: int = 4
    """Objects of one kind that are worked on at once."""
    hook_timeout: float = 10.0
    """Seconds that a hook may take."""
    lease_grace: float = 40.0
    """Seconds without a renewed Lease after which a node counts as silent."""
    lease_namespace: str = "kube-node-lease"
    dry_run: bool = False
    """Decide and report, but write nothing."""
