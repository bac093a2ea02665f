"""Change fields of an object.

cloudwright patch ms payment -p '{"spec":{"version":"1.11.0"}}'
cloudwright patch deploy/web --type json -p '[{"op":"replace","path":"/spec/replicas","value":2}]'
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from cloudwright._base.errors import UsageError
from cloudwright.cli import output, sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``patch``."""
    parser.add_argument("targets", nargs="+", metavar="KIND NAME")
    parser.add_argument("-p", "--patch", metavar="TEXT", help="JSON or YAML")
    parser.add_argument("--patch-file", metavar="FILE")
    parser.add_argument(
        "--type", default="", choices=("", "strategic", "merge", "json"), help="default: fitting"
    )
    parser.add_argument("--subresource", default="", choices=("", "status", "scale"))
    sessions.add_namespace(parser, everywhere=False)
    sessions.add_dry_run(parser)
    parser.add_argument("-o", "--output", default="", metavar="FORM", help=output.FORMS)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Patch it."""
    from cloudwright.client.requests import PATCH_TYPES

    form = output.check(args.output)
    body = _body(args)
    session = Session(args)
    for resource, name in session.targets(args.targets):
        if not name:
            raise UsageError(f"which {resource.singular}?", hint="KIND NAME or KIND/NAME")
        built_in = resource.group in ("", "apps", "discovery.k8s.io", "coordination.k8s.io")
        kind = args.type or ("strategic" if built_in else "merge")
        changed, warnings = session.client.write(
            "PATCH",
            resource,
            session.space(resource),
            name,
            body,
            subresource=args.subresource,
            content_type=PATCH_TYPES[kind],
            query=sessions.dry_query(args),
        )
        for warning in warnings:
            terminal.warn(warning)
        if output.is_table(form):
            head = {"apiVersion": resource.api_version, "kind": resource.kind}
            terminal.data(f"{output.typed_name({**head, **changed})} patched")
        else:
            output.show(terminal, form, changed)
    return 0


def _body(args: argparse.Namespace) -> Any:
    if bool(args.patch) == bool(args.patch_file):
        raise UsageError("give the change with -p TEXT or --patch-file FILE")
    text = args.patch
    if args.patch_file:
        try:
            with open(args.patch_file, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise UsageError(f"{args.patch_file} cannot be read", cause=error.strerror) from None
    try:
        return json.loads(text)
    except ValueError:
        import yaml

        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError("the patch is neither JSON nor YAML", cause=str(error)) from None
    if not isinstance(value, dict | list):
        raise UsageError(
            f"the patch is {type(value).__name__}, not an object", hint="-p '{\"spec\":{…}}'"
        )
    return value
