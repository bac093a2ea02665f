"""Show the fields of a kind, from the model, without a server: cloudwright explain
ms.spec.rollout
"""

from __future__ import annotations

import argparse

from cloudwright._base.errors import NotFoundError
from cloudwright.cli.terminal import Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``explain``."""
    parser.add_argument("field", metavar="KIND[.FIELD…]")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print it."""
    from cloudwright.client import discovery
    from cloudwright.model import schemas
    from cloudwright.model.resources import BUILT_IN

    word, _, path = args.field.partition(".")
    resource = discovery.match(word)
    if resource is None:
        raise discovery.unknown(word, BUILT_IN)
    found = schemas.describe(resource, path)
    if found is None:
        raise NotFoundError(
            f"{resource.kind} has no field {path}", hint=f"cloudwright explain {word}"
        )
    terminal.data(f"KIND:     {resource.kind}\nVERSION:  {resource.api_version}\n")
    if path:
        terminal.data(f"FIELD:    {path}  <{found.type}>\n")
    terminal.data("DESCRIPTION:")
    terminal.data(_wrapped(found.text or "(none)", "  "))
    if found.fields:
        terminal.data("\nFIELDS:")
        for name, kind, needed, text in found.fields:
            required = "  -required-" if needed else ""
            terminal.data(f"  {terminal.paint(name, 'bold')}  <{kind}>{required}")
            if text:
                terminal.data(_wrapped(text.split("\n")[0], "    "))
    return 0


def _wrapped(text: str, indent: str) -> str:
    import textwrap

    return "\n".join(
        textwrap.fill(line, 96, initial_indent=indent, subsequent_indent=indent)
        for line in text.splitlines()
    )
