"""What runs on this machine, and how it is: the daemon, the proxies, services and pods."""

from __future__ import annotations

import argparse
import json
from typing import Any

from cloudwright._base.errors import CloudwrightError, UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``status``."""
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print it; exit code 6 when nothing runs."""
    from cloudwright.platform import control
    from cloudwright.platform.lifecycle import daemon_state

    if args.output not in ("", "json"):
        raise UsageError(f"-o {args.output}: there is no such form", hint="json")
    paths = Paths.find(args.state_dir)
    state = daemon_state(paths)
    facts: dict[str, Any] = {"running": state.running, "pid": state.pid}
    try:
        facts |= control.ask(paths, "GET", "/status")
    except CloudwrightError:
        if args.output == "json":
            terminal.data(json.dumps(facts))
            return 6
        raise
    if args.output == "json":
        terminal.data(json.dumps(facts, indent=2))
        return 0
    good, bad = terminal.paint("✓", "green"), terminal.paint("✗", "red")
    terminal.data(
        f"{good} daemon      pid {state.pid}, {facts['memory_mb']:.0f} MB, state {paths.state}"
    )
    for part in facts["parts"]:
        terminal.data(f"{good if part['ok'] else bad} {part['name']:<11} {part['detail']}")
    return 0 if all(part["ok"] for part in facts["parts"]) else 1
