"""End the platform: every container, the pod network, the daemon.

Objects, images and logs stay, so that the next `up` returns to the same state; --purge removes
them too.
"""

from __future__ import annotations

import argparse

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Progress, Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``down``."""
    parser.add_argument("--purge", action="store_true", help="remove objects, images and logs too")
    parser.add_argument("--daemon-only", action="store_true", help="containers and traffic go on")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """End it."""
    from cloudwright.platform import lifecycle, teardown

    paths = Paths.find(args.state_dir)
    lifecycle.need_root()
    if args.daemon_only:
        ended = lifecycle.stop_daemon(paths)
        terminal.data("the daemon is down; containers go on" if ended else "the daemon did not run")
        return 0
    if args.purge and not args.yes:
        terminal.note(f"this removes {paths.state} with every object, image and log")
        if not terminal.ask("go on?"):
            raise UsageError("nothing was done", hint="say --yes to remove the state")
    progress = Progress(terminal)
    left = teardown.down(paths, purge=args.purge, progress=lambda s: progress.show([f"… {s}"]))
    progress.clear()
    terminal.data(f"{terminal.paint('✓', 'green')} cloudwright is down")
    for name, members in left.items():
        for member in members:
            terminal.warn(f"{name[:-1]} is left: {member}")
    return 1 if left else 0
