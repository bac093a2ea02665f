"""What `apply` would change, as a unified diff. Exit code 0: nothing; 10: something differs."""

from __future__ import annotations

import argparse
import difflib

from cloudwright.cli import manifests, output, sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.objects import Object, name_of

DIFFERS = 10
_HIDDEN = ("resourceVersion", "uid", "generation", "creationTimestamp", "managedFields")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``diff``."""
    parser.add_argument("-f", "--filename", action="append", required=True, metavar="FILE")
    parser.add_argument("-R", "--recursive", action="store_true")
    sessions.add_namespace(parser, everywhere=False)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the differences."""
    from cloudwright.client import applies
    from cloudwright.client.errors import NotFound
    from cloudwright.client.requests import PATCH_TYPES

    session, differs = Session(args), False
    for manifest in manifests.read(args.filename, recursive=args.recursive):
        resource = session.resource_of(manifest.body)
        space, name = session.space(resource, manifest.body), name_of(manifest.body)
        wanted = applies.annotated(manifest.body)
        try:
            before = session.client.get(resource, name, space)
        except NotFound:
            before = {}
            query = [("dryRun", "All")]
            after, _ = session.client.write("POST", resource, space, body=wanted, query=query)
        else:
            patch = applies.three_way_patch(applies.last_applied(before), wanted, before)
            after, _ = session.client.write(
                "PATCH",
                resource,
                space,
                name,
                patch,
                content_type=PATCH_TYPES["merge"],
                query=[("dryRun", "All")],
            )
        title = f"{resource.singular}/{name}"
        lines = difflib.unified_diff(
            _text(before), _text(after), f"now/{title}", f"applied/{title}", lineterm=""
        )
        for line in lines:
            differs = True
            colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
            terminal.data(terminal.paint(line, colour) if colour else line)
    return DIFFERS if differs else 0


def _text(obj: Object) -> list[str]:
    from cloudwright.client.applies import LAST_APPLIED

    if not obj:
        return []
    shown = {key: value for key, value in obj.items() if key != "status"}
    shown["metadata"] = {k: v for k, v in obj["metadata"].items() if k not in _HIDDEN}
    annotations = dict(shown["metadata"].get("annotations") or {})
    annotations.pop(LAST_APPLIED, None)
    shown["metadata"].pop("annotations", None)
    if annotations:
        shown["metadata"]["annotations"] = annotations
    return output.to_yaml(shown).splitlines()
