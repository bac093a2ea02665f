"""Set the number of replicas: cloudwright scale ms/payment --replicas 5"""

from __future__ import annotations

import argparse

from cloudwright._base.errors import ConflictError, UsageError
from cloudwright.cli import sessions, waiting
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``scale``."""
    parser.add_argument("targets", nargs="+", metavar="KIND NAME")
    parser.add_argument("--replicas", type=int, required=True, metavar="COUNT")
    parser.add_argument("--current-replicas", type=int, metavar="COUNT", help="only from this")
    sessions.add_namespace(parser, everywhere=False)
    sessions.add_dry_run(parser)
    parser.add_argument("--wait", action="store_true", help="until that many are ready")
    parser.add_argument("--timeout", default="120s", metavar="TIME")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Scale them."""
    if args.replicas < 0:
        raise UsageError("--replicas: zero or more")
    session = Session(args)
    done: list[waiting.Target] = []
    for resource, name in session.targets(args.targets):
        if not name:
            raise UsageError(f"which {resource.singular}?")
        if "scale" not in resource.subresources:
            raise UsageError(f"a {resource.singular} cannot be scaled")
        space = session.space(resource)
        if args.current_replicas is not None:
            current = session.client.get(resource, name, space)["spec"].get("replicas", 1)
            if current != args.current_replicas:
                raise ConflictError(f"{name} has {current} replicas, not {args.current_replicas}")
        session.client.patch(
            resource,
            name,
            {"spec": {"replicas": args.replicas}},
            space,
            subresource="scale",
            query=sessions.dry_query(args),
        )
        terminal.data(f"{resource.singular}/{name} scaled")
        done.append((resource, space, name))
    if args.wait and args.dry_run == "none":
        waiting.until_ready(session, done, sessions.seconds(args.timeout), terminal)
    return 0
