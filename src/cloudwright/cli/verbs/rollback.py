"""Bring a MicroService back to its last good version (or --to VERSION), by changing spec.version.

cloudwright rollback payment
cloudwright rollback payment --to 1.11.0 --wait
"""

from __future__ import annotations

import argparse

from cloudwright._base.errors import ConflictError
from cloudwright.cli import sessions, waiting
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.resources import MICRO_SERVICE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``rollback``."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--to", default="", metavar="VERSION")
    parser.add_argument("--wait", action="store_true", help="until it is ready")
    parser.add_argument("--timeout", default="120s", metavar="TIME")
    sessions.add_namespace(parser, everywhere=False)
    sessions.add_dry_run(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Roll it back."""
    session = Session(args)
    name = args.name.rpartition("/")[2]
    space = session.namespace or "default"
    found = session.client.get(MICRO_SERVICE, name, space)
    now, status = str(found["spec"].get("version", "")), found.get("status") or {}
    history = [str(v) for v in status.get("history") or [] if str(v) != now]
    last = str(status.get("lastGoodVersion") or "")
    wanted = args.to or (last if last and last != now else (history[-1] if history else ""))
    if not wanted:
        raise ConflictError(f"{name} has no version before {now}", hint="name one: --to VERSION")
    if wanted == now:
        terminal.data(f"microservice/{name} is at {now} already")
        return 0
    patch = {"spec": {"version": wanted}}
    session.client.patch(MICRO_SERVICE, name, patch, space, query=sessions.dry_query(args))
    terminal.data(f"microservice/{name} goes from {now} to {wanted}")
    terminal.flush()
    if args.wait and args.dry_run == "none":
        target = (MICRO_SERVICE, space, name)
        waiting.until_ready(session, [target], sessions.seconds(args.timeout), terminal)
    return 0
