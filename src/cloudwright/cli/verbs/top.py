"""CPU and memory in use now: cloudwright top pods|nodes [-A] [--containers]"""

from __future__ import annotations

import argparse
import json

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli import sessions
from cloudwright.cli.terminal import Terminal

COLUMNS = {"cpu": "cpu_millis", "memory": "memory_bytes"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``top``."""
    parser.add_argument("what", nargs="?", default="pods", choices=("pods", "pod", "nodes", "node"))
    parser.add_argument("--containers", action="store_true", help="each container of a pod")
    parser.add_argument("--sort-by", default="", choices=("", "cpu", "memory"))
    parser.add_argument("--no-headers", action="store_true")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json")
    sessions.add_namespace(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the use."""
    from cloudwright.platform import control

    if args.output not in ("", "json"):
        raise UsageError(f"-o {args.output}: there is no such form", hint="json")
    usage = control.ask(Paths.find(args.state_dir), "GET", "/usage")
    if args.what.startswith("node"):
        rows, header = usage["nodes"], ["NAME", "CPU(cores)", "CPU%", "MEMORY(bytes)", "MEMORY%"]
        if args.output:
            terminal.data(json.dumps(rows, indent=2))
            return 0
        cells = [
            [r["name"], _cpu(r), f"{r['cpu_percent']}%", _memory(r), f"{r['memory_percent']}%"]
            for r in rows
        ]
        terminal.table([] if args.no_headers else header, cells)
        return 0
    wanted = args.namespace or "default"
    rows = [r for r in usage["pods"] if args.all_namespaces or r["namespace"] == wanted]
    if args.sort_by:
        rows.sort(key=lambda r: -r[COLUMNS[args.sort_by]])
    if args.output:
        terminal.data(json.dumps(rows, indent=2))
        return 0
    header = ["POD", "NAME"] if args.containers else ["NAME"]
    header += ["CPU(cores)", "MEMORY(bytes)"]
    lines: list[list[str]] = []
    for row in rows:
        parts = row["containers"] if args.containers else [row]
        for part in parts:
            names = [row["name"], part["name"]] if args.containers else [row["name"]]
            space = [row["namespace"]] if args.all_namespaces else []
            lines.append([*space, *names, _cpu(part), _memory(part)])
    if args.all_namespaces:
        header.insert(0, "NAMESPACE")
    terminal.table([] if args.no_headers else header, lines)
    return 0


def _cpu(row: dict[str, int]) -> str:
    return f"{row['cpu_millis']}m"


def _memory(row: dict[str, int]) -> str:
    return f"{row['memory_bytes'] // (1024 * 1024)}Mi"
