"""The first cause of an object's state.

cloudwright why pod/payment-7f9c4-x2x   not scheduled, not ready, restarting, because …
cloudwright why ms/payment              a roll-out that does not end
cloudwright why route/payment           a path that is not served
"""

from __future__ import annotations

import argparse
import json

from cloudwright._base.errors import UsageError
from cloudwright.cli import sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model import resources
from cloudwright.model.objects import Object


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``why``."""
    parser.add_argument("target", metavar="KIND/NAME")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json")
    sessions.add_namespace(parser, everywhere=False)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the causes, the first first."""
    import dataclasses

    from cloudwright.platform.why import World, why

    if args.output not in ("", "json"):
        raise UsageError(f"-o {args.output}: there is no such form", hint="json")
    session = Session(args)
    resource, name = session.one(args.target)
    space = session.space(resource)
    obj = {**session.client.get(resource, name, space), "kind": resource.kind}

    def items(kind: resources.Resource) -> list[Object]:
        return list(session.client.list(kind, space).get("items") or [])

    routed = resource.kind in ("Route", "Service")
    world = World(
        pods=items(resources.POD),
        events=items(resources.EVENT),
        services=items(resources.SERVICE) if routed else (),
        slices=items(resources.ENDPOINT_SLICE) if routed else (),
        routes=items(resources.ROUTE) if routed else (),
    )
    causes = why(obj, world)
    if args.output == "json":
        terminal.data(json.dumps([dataclasses.asdict(cause) for cause in causes], indent=2))
        return 0
    if not causes:
        terminal.data(f"{terminal.paint('✓', 'green')} {args.target} is as it should be")
        return 0
    for number, cause in enumerate(causes):
        mark = terminal.paint("✗" if number == 0 else "·", "red" if number == 0 else "dim")
        terminal.data(f"{mark} {cause.subject}: {cause.text}")
        if cause.hint:
            terminal.data(f"  {terminal.paint('hint:', 'cyan')} {cause.hint}")
    return 0
