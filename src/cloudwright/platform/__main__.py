"""``python -m cloudwright.platform``: the daemon in the foreground (``cloudwright up`` starts
it).
"""

from __future__ import annotations

import argparse
import sys

from cloudwright._base import logs, startup
from cloudwright._base.errors import CloudwrightError, render
from cloudwright._base.paths import Paths
from cloudwright.platform.config import load


def run() -> int:
    """Parse the words and run the daemon."""
    parser = argparse.ArgumentParser(prog="cloudwrightd", description=__doc__)
    parser.add_argument("--state-dir")
    parser.add_argument("--ready-fd", type=int, help="where to tell the progress of the start")
    args = parser.parse_args()
    paths = Paths.find(args.state_dir)
    startup.begin()
    from cloudwright.platform.daemon import Ready, main

    ready = Ready(args.ready_fd)
    try:
        config = load(paths.state / "config.toml", {})
    except CloudwrightError as error:
        ready.failed(error)
        print(render(error), file=sys.stderr)
        return error.exit_code
    logs.configure(config.log_level)
    return main(paths, config, ready)


if __name__ == "__main__":
    sys.exit(run())
