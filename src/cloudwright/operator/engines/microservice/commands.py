"""What a person orders in an annotation: ``promote``, ``abort``, ``pause``, ``resume``.

It is obeyed once: what was obeyed stands in ``status.command`` until the annotation is gone, so a
crash between the two does not obey it again.
"""

from __future__ import annotations

from cloudwright.model.objects import annotations_of, name_of, namespace_of
from cloudwright.model.resources import MICRO_SERVICE
from cloudwright.operator.engines.actions import Draft, Patch
from cloudwright.operator.engines.microservice import canary, rollout
from cloudwright.operator.engines.microservice.stages import State, holds_stable
from cloudwright.operator.engines.microservice.world import COMMAND, Ledger

WORDS = ("promote", "abort", "pause", "resume")


def obey(ledger: Ledger, draft: Draft) -> None:
    """Carry out the command in the annotation, and take it away."""
    service = ledger.world.service
    command = annotations_of(service).get(COMMAND)
    if command is None:
        ledger.status.pop("command", None)
        return
    if ledger.status.get("command") != command:
        ledger.status["command"] = command
        refusal = _carry_out(ledger, draft, command)
        if refusal:
            draft.note("CommandIgnored", f"{command}: {refusal}", warning=True)
    body = {"metadata": {"annotations": {COMMAND: None}}}
    draft.actions.append(Patch(MICRO_SERVICE, namespace_of(service), name_of(service), body))


def _carry_out(ledger: Ledger, draft: Draft, command: str) -> str:
    """Do it; returns why not."""
    if command not in WORDS:
        return f"there is no such command; there are {', '.join(WORDS)}"
    record = ledger.record("rollout")
    if record.get("state") != State.PROGRESSING:
        return "no roll-out is in progress"
    if command == "abort":
        return rollout.abort(ledger, draft)
    if command == "promote":
        if not holds_stable(record):
            return "the roll-out has no steps to skip"
        record.pop("paused", None)
        ledger.status["rollout"] = record
        canary.promote(ledger, draft, "a person said so")
    elif command == "pause":
        ledger.status["rollout"] = {**record, "paused": True}
        draft.note("RolloutPaused", "A person paused the roll-out")
    else:
        record.pop("paused", None)
        record["approved"] = record.get("step")
        ledger.status["rollout"] = record
        draft.note("RolloutResumed", "A person resumed the roll-out")
    return ""
