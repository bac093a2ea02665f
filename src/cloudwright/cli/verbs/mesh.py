"""The mesh of this machine.

cloudwright mesh certificates     every proxy's identity, serial and end
cloudwright mesh rotate           new certificates for all of them, now
cloudwright mesh proxies          what each proxy runs: snapshot version, endpoints, routes
cloudwright mesh xds serve -f FILE --listen unix:PATH|IP:PORT
                                  an xDS server for any Envoy: resources of files, live reload
cloudwright mesh xds validate -f FILE
                                  whether these files can be served
cloudwright mesh xds status       the xDS clients of the platform, and what each has
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``mesh``."""
    from cloudwright.cli import xds

    parser.add_argument("action", choices=("certificates", "rotate", "proxies", "xds"))
    xds.add_arguments(parser)
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Do the action."""
    from cloudwright.platform import control

    if args.output not in ("", "json"):
        raise UsageError(f"-o {args.output}: there is no such form", hint="json")
    paths = Paths.find(args.state_dir)
    if args.action == "xds" or args.step:
        from cloudwright.cli import xds

        return xds.run(args, paths, terminal)
    if args.action == "rotate":
        rotated = control.ask(paths, "POST", "/rotate")["rotated"]
        terminal.data(f"{len(rotated)} certificates replaced and in use")
        return 0
    found: list[dict[str, Any]] = control.ask(paths, "GET", "/proxies")
    if args.output == "json":
        terminal.data(json.dumps(found, indent=2))
    elif args.action == "certificates":
        rows = [[p["id"], p["identity"], p["serial"], p["not_after"]] for p in found]
        terminal.table(["PROXY", "IDENTITY", "SERIAL", "NOT AFTER"], rows)
    else:
        rows = [
            [p["id"], p["name"], str(p["version"]), str(p["endpoints"]), str(p["routes"]),
             p["rejected"] or "-"]
            for p in found
        ]  # fmt: skip
        terminal.table(["PROXY", "POD", "SNAPSHOT", "ENDPOINTS", "ROUTES", "REJECTED"], rows)
    return 0
