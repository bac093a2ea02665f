"""The API server alone: ``python -m cloudwright.apiserver --state-dir D --port N``.

Serves the Kubernetes API on an embedded store (or on etcd: ``--store``), without nodes or
controllers: objects can be read, written and watched, but nothing runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cloudwright._base import logs, startup
from cloudwright._base.errors import CloudwrightError, render
from cloudwright._base.paths import Paths
from cloudwright.apiserver import security


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(
        prog="python -m cloudwright.apiserver", description=(__doc__ or "").splitlines()[0]
    )
    words.add_argument("--state-dir", help="where everything is kept (else /var/lib/cloudwright)")
    words.add_argument("--host", default="127.0.0.1", help="address to listen on")
    words.add_argument("--port", type=int, default=6443, help="port to listen on; 0: any free one")
    words.add_argument(
        "--store",
        default="sqlite",
        metavar="STORE",
        help="sqlite (in the state directory), or etcd://HOST:PORT,…/PREFIX?ca=&cert=&key=",
    )
    words.add_argument(
        "--enable-admission-plugins",
        default="",
        metavar="NAMES",
        help="beside the usual ones: ServiceAccount (needs somebody who makes the accounts)",
    )
    security.add_flags(words)
    words.add_argument("--issue-token", metavar="USER", help="print a token for USER and end")
    words.add_argument("--group", action="append", default=[], help="group of --issue-token's USER")
    return words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit code."""
    options = parser().parse_args(arguments)
    paths = Paths.find(options.state_dir)
    logs.configure()
    try:
        if options.issue_token:
            from cloudwright.apiserver.authn import TokenFile

            token = TokenFile.of(paths).issue(options.issue_token, options.group)
            sys.stdout.write(f"{token}\n")
            return 0
        startup.begin()
        import anyio

        from cloudwright.apiserver import alone

        anyio.run(alone.run, paths, options)
    except CloudwrightError as error:
        sys.stderr.write(f"{render(error)}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
