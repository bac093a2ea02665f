"""What can be set about the scheduler."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one scheduler."""

    name: str = "default-scheduler"
    """Pods with this ``schedulerName`` (or none, for the default) are placed."""
    retry_seconds: float = 1.0
    """After an API that failed (not after a pod that does not fit)."""
