"""Change an object in an editor ($VISUAL, $EDITOR, else vi): cloudwright edit ms/payment"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import tempfile
from pathlib import Path

from cloudwright._base.environment import variable
from cloudwright._base.errors import CloudwrightError, UsageError
from cloudwright.cli import manifests, output, sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``edit``."""
    parser.add_argument("targets", nargs="+", metavar="KIND/NAME")
    sessions.add_namespace(parser, everywhere=False)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Edit it; a refused change is kept in a file."""
    session = Session(args)
    targets = session.targets(args.targets)
    if len(targets) != 1 or not targets[0][1]:
        raise UsageError("edit takes one object", hint="KIND/NAME")
    resource, name = targets[0]
    before = session.client.get(resource, name, session.space(resource))
    shown = {key: value for key, value in before.items() if key != "status"}
    shown["metadata"] = {k: v for k, v in before["metadata"].items() if k != "managedFields"}
    editor = shlex.split(variable("VISUAL") or variable("EDITOR") or "vi")
    with tempfile.NamedTemporaryFile(
        "w", prefix=f"cloudwright-{name}-", suffix=".yaml", delete=False
    ) as file:
        file.write(output.to_yaml(shown))
    path = Path(file.name)
    if subprocess.run([*editor, file.name], check=False).returncode != 0:
        raise CloudwrightError(f"{editor[0]} failed; nothing was changed", hint=f"see {path}")
    try:
        after = manifests.read([file.name])[0].body
        if after == shown:
            terminal.data(f"{resource.singular}/{name} unchanged")
        else:
            if "status" in before:
                after["status"] = before["status"]
            session.client.update(resource, after)
            terminal.data(f"{resource.singular}/{name} edited")
    except CloudwrightError as error:
        error.hint = f"your text is kept in {path}"
        raise
    path.unlink(missing_ok=True)
    return 0
