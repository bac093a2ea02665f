"""Start one by hand: ``python -m tests.peers real|kine|ours DIRECTORY [--controllers]``.

Prints where it serves and a kubeconfig, and ends on Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.peers.build import Unavailable
from tests.peers.ours import our_server
from tests.peers.processes import NotStarted
from tests.peers.real import real_cluster


def main() -> int:
    """Serve until told to end."""
    words = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    words.add_argument("which", choices=("real", "kine", "ours"))
    words.add_argument("directory", type=Path)
    words.add_argument("--controllers", action="store_true", help="with the controller manager")
    options = words.parse_args()
    directory = options.directory.absolute()
    end = {signal.SIGINT, signal.SIGTERM}
    if options.which == "ours":
        made = our_server(directory)
    else:
        store = "kine" if options.which == "kine" else "etcd"
        made = real_cluster(directory, store=store, controllers=options.controllers)
    try:
        with made as cluster:
            signal.pthread_sigmask(signal.SIG_BLOCK, end)
            print(f"{cluster.url}\nexport KUBECONFIG={cluster.kubeconfig()}", flush=True)
            signal.sigwait(end)
    except (Unavailable, NotStarted) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
