"""Start the platform on this machine, or say that it runs.

Containers that ran before go on, or are started again. Settings are kept in STATE/config.toml.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys

from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Progress, Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``up``; each is also ``CLOUDWRIGHT_<NAME>`` and a key of config.toml."""
    from cloudwright.platform.config import PlatformConfig

    parser.add_argument("--foreground", action="store_true", help="stay in this terminal")
    settings = parser.add_argument_group("settings")
    for field in dataclasses.fields(PlatformConfig):
        settings.add_argument(
            f"--{field.name.replace('_', '-')}",
            metavar=type(field.default).__name__.upper(),
            help=f"default {field.default!r}",
        )


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Start it and say where it is."""
    from cloudwright.platform import lifecycle
    from cloudwright.platform.config import PlatformConfig, load

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
    state = lifecycle.start(paths, config, progress=lambda step: progress.show([f"… {step}"]))
    progress.clear()
    word = "runs already" if before.running else "is up"
    terminal.data(f"{terminal.paint('✓', 'green')} cloudwright {word} (pid {state.pid})")
    terminal.data(f"  API         https://{config.api}")
    terminal.data(f"  gateway     http://{config.gateway}  https://{config.gateway_tls}")
    terminal.data(f"  kubeconfig  {paths.kubeconfig}")
    return 0
