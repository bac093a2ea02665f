"""Versions of the client, the native parts and the server."""

from __future__ import annotations

import argparse
import json

from cloudwright import __version__
from cloudwright._base.errors import CloudwrightError
from cloudwright.cli.terminal import Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``version``."""
    parser.add_argument("--client", action="store_true", help="do not ask the server")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print them."""
    import subprocess

    from cloudwright._base.paths import native_binary
    from cloudwright.cli.sessions import Session

    answer = subprocess.run(
        [native_binary(), "--version"], capture_output=True, text=True, check=False
    )
    native = (answer.stdout + answer.stderr).strip().rpartition(" ")[2]
    facts = {"client": __version__, "native": native}
    if not args.client:
        try:
            facts["server"] = str(json.loads(Session(args).client.raw("/version"))["gitVersion"])
        except CloudwrightError as error:
            facts["server"] = f"not reachable ({error.message})"
    if args.output == "json":
        terminal.data(json.dumps(facts))
        return 0
    for name, text in facts.items():
        terminal.data(f"{name:<8}{text}")
    return 0
