"""``python -m cloudwright.operator``: the controllers alone, against any Kubernetes API."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from os import getpid
from socket import gethostname

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError, render
from cloudwright.client.client import Client
from cloudwright.client.kubeconfig import find
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.operator.config import Config
from cloudwright.operator.hooks import DirectHooks
from cloudwright.operator.leader import Elector
from cloudwright.operator.run import ALL, run


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m cloudwright.operator", description=__doc__)
    result.add_argument("--kubeconfig", help="file (default: as kubectl finds it, or in-cluster)")
    result.add_argument("--context", help="context of the kubeconfig")
    result.add_argument(
        "--controllers",
        default="microservice",
        help=f"comma-separated, of {', '.join(ALL)} (default: %(default)s; a real cluster has"
        " the others already)",
    )
    result.add_argument(
        "--leader-elect", action="store_true", help="of several operators only one works"
    )
    result.add_argument("--dry-run", action="store_true", help="decide, but write nothing")
    result.add_argument("--log-level", default="info")
    return result


async def serve(arguments: argparse.Namespace) -> None:
    """Run until cancelled."""
    from aiohttp import ClientSession

    transport = HttpsTransport(find(arguments.kubeconfig, arguments.context))
    names = tuple(name for name in arguments.controllers.split(",") if name)
    client = Client(transport)
    try:
        async with ClientSession() as session:
            hooks = DirectHooks(session)

            async def work() -> None:
                config = Config(dry_run=arguments.dry_run)
                await run(client, hooks=hooks, config=config, controllers=names)

            if arguments.leader_elect:
                await Elector(client, f"{gethostname()}-{getpid()}").lead(work)
            else:
                await work()
    finally:
        await transport.aclose()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 when interrupted, else that of the error."""
    arguments = parser().parse_args(argv)
    logs.configure(arguments.log_level)
    try:
        anyio.run(serve, arguments)
    except KeyboardInterrupt:
        return 0
    except CloudwrightError as error:
        print(render(error), file=sys.stderr)
        return error.exit_code
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
