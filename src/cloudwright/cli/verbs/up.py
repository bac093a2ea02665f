"""Start the platform on this machine, or say that it runs.

Containers that ran before go on, or are started again. Settings are kept in STATE/config.toml.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys

from cloudwright._base.errors import CloudwrightError, TimedOutError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Progress, Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``up``; each is also ``CLOUDWRIGHT_<NAME>`` and a key of config.toml."""
    from cloudwright.platform.config import SECURITY, PlatformConfig

    parser.add_argument("--foreground", action="store_true", help="stay in this terminal")
    settings = parser.add_argument_group("settings")
    security = parser.add_argument_group("settings as kube-apiserver's")
    for field in dataclasses.fields(PlatformConfig):
        (security if field.name in SECURITY else settings).add_argument(
            f"--{field.name.replace('_', '-')}",
            metavar=type(field.default).__name__.upper(),
            help=f"default {field.default!r}",
        )


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Start it and say where it is."""
    from cloudwright.platform import lifecycle
    from cloudwright.platform.config import PlatformConfig, load
    from cloudwright.platform.errors import AlreadyRunning, StartFailed

    paths = Paths.find(args.state_dir)
    lifecycle.need_root()
    names = [field.name for field in dataclasses.fields(PlatformConfig)]
    config = load(paths.state / "config.toml", {name: getattr(args, name) for name in names})
    before = lifecycle.daemon_state(paths)
    if args.foreground and not before.running:
        words = [sys.executable, "-m", "cloudwright.platform"]
        if args.state_dir:
            words += ["--state-dir", str(paths.state)]
        config.save(paths.state / "config.toml")
        os.execv(sys.executable, words)  # noqa: S606 (our own interpreter)
    progress = Progress(terminal)
    first = not paths.supervisor_socket.exists()
    try:
        state = lifecycle.start(paths, config, progress=lambda step: progress.show([f"… {step}"]))
    except (StartFailed, TimedOutError) as error:
        if first and error.code != AlreadyRunning.default_code:
            _undo(paths, terminal)
        raise
    progress.clear()
    word = "runs already" if before.running else "is up"
    terminal.data(f"{terminal.paint('✓', 'green')} cloudwright {word} (pid {state.pid})")
    terminal.data(f"  API         https://{config.api}")
    terminal.data(f"  gateway     http://{config.gateway}  https://{config.gateway_tls}")
    terminal.data(f"  kubeconfig  {paths.kubeconfig}")
    return 0


def _undo(paths: Paths, terminal: Terminal) -> None:
    """Take away what a first start that failed has made; objects and images stay."""
    from cloudwright.platform import teardown

    try:
        left = teardown.down(paths, purge=False)
    except CloudwrightError as error:
        terminal.warn(f"what was made is not removed: {error.message}; run `cloudwright down`")
        return
    for name, members in left.items():
        terminal.warn(f"left {name}: {', '.join(members)}")
