"""Roll-outs of MicroServices: what a person may order, and what there was before."""

from __future__ import annotations

import argparse

from cloudwright._base.errors import ConflictError, NotFoundError
from cloudwright.cli import sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.objects import Object, name_of, owned_by
from cloudwright.model.resources import CONTROLLER_REVISION, MICRO_SERVICE
from cloudwright.operator.engines.microservice.history import NOT_HISTORY, content, number
from cloudwright.operator.engines.microservice.world import COMMAND, LABEL

WORDS = {
    "pause": "paused",
    "resume": "resumed",
    "promote": "promoted",
    "abort": "aborted",
    "undo": "rolled back",
}


def act(
    session: Session, name: str, space: str, args: argparse.Namespace, terminal: Terminal
) -> None:
    """``pause``, ``resume``, ``promote``, ``abort``, ``undo`` or ``history``.

    Raises:
        ConflictError: there is no roll-out that could be promoted, aborted or resumed.
        NotFoundError: there is no such revision.
    """
    service = session.client.get(MICRO_SERVICE, name, space)
    if args.action == "history":
        _history(session, service, args, terminal)
        return
    if args.action == "undo":
        patch = _undo(session, service, args.to_revision)
    elif args.action == "pause":
        patch = {"spec": {"rollout": {"paused": True}}}
    else:
        patch = _order(service, args.action)
    session.client.patch(MICRO_SERVICE, name, patch, space, query=sessions.dry_query(args))
    terminal.data(f"microservice/{name} {WORDS[args.action]}")


def _order(service: Object, command: str) -> Object:
    """The patch that gives a command, and takes a pause of the spec away."""
    record = (service.get("status") or {}).get("rollout") or {}
    held = bool((service["spec"].get("rollout") or {}).get("paused"))
    moving = record.get("state") == "Progressing"
    if not moving and not (command == "resume" and held):
        raise ConflictError(
            f"{name_of(service)} has no roll-out in progress",
            cause=f"the last one is {record.get('state') or 'unknown'}",
        )
    if command == "promote" and record.get("stage") not in ("Preparing", "Stepping"):
        text = f"the roll-out of {name_of(service)} has no steps to skip"
        raise ConflictError(text, hint="spec.rollout.steps makes it a canary")
    patch: Object = {}
    if moving:
        patch["metadata"] = {"annotations": {COMMAND: command}}
    if held and command in ("resume", "promote"):
        patch["spec"] = {"rollout": {"paused": None}}
    return patch


def _revisions(session: Session, service: Object) -> list[Object]:
    """Its revisions, oldest first."""
    space = str(service["metadata"]["namespace"])
    selector = f"{LABEL}={name_of(service)}"
    found = session.client.list(CONTROLLER_REVISION, space, label_selector=selector)
    mine = [item for item in found.get("items") or [] if owned_by(item, service)]
    return sorted(mine, key=number)


def _spec_of(revision: Object) -> Object:
    return dict((revision.get("data") or {}).get("spec") or {})


def _history(
    session: Session, service: Object, args: argparse.Namespace, terminal: Terminal
) -> None:
    found = _revisions(session, service)
    if args.revision:
        wanted = [r for r in found if number(r) == args.revision]
        if not wanted:
            raise NotFoundError(f"{name_of(service)} has no revision {args.revision}")
        from cloudwright.cli.output import to_yaml

        terminal.data(to_yaml(_spec_of(wanted[0])).rstrip())
        return
    now = content(service["spec"])
    good = ((service.get("status") or {}).get("lastGood") or {}).get("revision")
    rows = []
    for revision in found:
        spec = _spec_of(revision)
        marks = ["now"] if spec == now else []
        marks += ["last good"] if name_of(revision) == good else []
        files = ",".join(sorted(spec.get("config") or {})) or "<none>"
        rows.append([str(number(revision)), str(spec.get("version")), files, ", ".join(marks)])
    terminal.table(["REVISION", "VERSION", "CONFIG", ""], rows)


def _undo(session: Session, service: Object, wanted: int) -> Object:
    """The patch that brings a revision's spec back: version, configuration and all the rest."""
    found, now = _revisions(session, service), content(service["spec"])
    others = [r for r in found if _spec_of(r) != now]
    if wanted:
        others = [r for r in found if number(r) == wanted]
    if not others:
        known = ", ".join(str(number(r)) for r in found) or "none"
        text = f"{name_of(service)} has no such revision to go back to"
        raise NotFoundError(text, hint=f"known: {known}")
    old = {k: v for k, v in service["spec"].items() if k not in NOT_HISTORY}
    return {"spec": replacing(old, _spec_of(others[-1]))}


def replacing(old: Object, new: Object) -> Object:
    """``new`` as a merge patch that also removes what only ``old`` has."""
    patch: Object = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            patch[key] = replacing(old[key], value)
        else:
            patch[key] = value
    return patch
