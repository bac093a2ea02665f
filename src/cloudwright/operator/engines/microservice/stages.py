"""How far a roll-out is, as ``status.rollout`` says: its state, and of one in steps its stage."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.operator.engines.microservice.world import Routing

LINGER_SECONDS = 30.0
"""How long the canary's pods stay after a Gateway was told to send nothing there: nobody says when
it has heard (Cloudwright's own proxies do).
"""


class State(StrEnum):
    """How far a roll-out is."""

    PROGRESSING = "Progressing"
    COMPLETE = "Complete"
    FAILED = "Failed"
    ROLLED_BACK = "RolledBack"


class Stage(StrEnum):
    """What a roll-out in steps is doing."""

    PREPARING = "Preparing"
    """The canary's pods for the next share are starting."""
    STEPPING = "Stepping"
    """The share is set; it is being watched."""
    PROMOTING = "Promoting"
    """The stable Deployment gets the new version; the canary helps until it has it."""
    LINGERING = "Lingering"
    """All is decided; the canary's pods wait for the last requests."""


def stage_of(record: dict[str, Any]) -> str:
    """The stage of a roll-out; empty when it is not one in steps, or over."""
    return str(record.get("stage") or "")


def holds_stable(record: dict[str, Any]) -> bool:
    """Whether the stable Deployment must keep the old version."""
    return stage_of(record) in (Stage.PREPARING, Stage.STEPPING)


def end(record: dict[str, Any], routing: Routing, now: datetime) -> None:
    """The roll-out is over, well or not: no more requests to the canary, and then no canary.

    One that failed and may not go back keeps its pods, for a person to look at.
    """
    if not stage_of(record):
        return
    record.update(weight=0, message="")
    if record.get("state") == State.FAILED:
        return
    if routing == "gateway-api":
        until = now + timedelta(seconds=LINGER_SECONDS)
        record.update(stage=Stage.LINGERING.value, lingerUntil=rfc3339(until))
    else:
        record.pop("stage")
