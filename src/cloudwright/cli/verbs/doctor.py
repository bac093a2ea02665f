"""What this machine and its kernel offer, what is missing, and the command that mends it."""

from __future__ import annotations

import argparse
import json

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``doctor``."""
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print every check; exit code 1 when something needed is missing."""
    import dataclasses

    from cloudwright.platform import doctor

    if args.output not in ("", "json"):
        raise UsageError(f"-o {args.output}: there is no such form", hint="json")
    checks = doctor.examine(Paths.find(args.state_dir))
    if args.output == "json":
        terminal.data(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        marks = {
            "ok": terminal.paint("✓", "green"),
            "warning": terminal.paint("!", "yellow"),
            "missing": terminal.paint("✗", "red"),
        }
        for check in checks:
            terminal.data(f"{marks[check.verdict]} {check.name:<22} {check.fact}")
            if check.fix and check.verdict != "ok":
                terminal.data(f"  {terminal.paint('hint:', 'cyan')} {check.fix}")
    return 1 if any(check.verdict == "missing" for check in checks) else 0
