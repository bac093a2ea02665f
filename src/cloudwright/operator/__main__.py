"""``python -m cloudwright.operator``: the controllers alone, against any Kubernetes API.

cloudwright operator run --kubeconfig FILE --leader-elect
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from os import getpid
from signal import SIGINT, SIGTERM
from socket import gethostname
from typing import TYPE_CHECKING

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError, UsageError, render
from cloudwright.client.client import Client
from cloudwright.client.execs import PodExecs
from cloudwright.client.kubeconfig import find
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.operator.config import Config
from cloudwright.operator.hooks import DirectHooks
from cloudwright.operator.install import install
from cloudwright.operator.leader import Elector
from cloudwright.operator.meters import PrometheusMeter, Queries
from cloudwright.operator.run import ALL, build
from cloudwright.operator.serving import served
from cloudwright.operator.vitals import Vitals

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from cloudwright.operator.manager import Manager


def add_arguments(result: argparse.ArgumentParser) -> None:
    """What can be said on the command line, but the kubeconfig."""
    result.add_argument(
        "--controllers",
        default="microservice",
        help=f"comma-separated, of {', '.join(ALL)} (default: %(default)s; a real cluster has"
        " the others already)",
    )
    result.add_argument("-n", "--namespace", default="", help="only this one (default: all)")
    result.add_argument(
        "--leader-elect", action="store_true", help="of several operators only one works"
    )
    result.add_argument(
        "--leader-elect-namespace", default="", help="of the Lease (default: that of the context)"
    )
    result.add_argument(
        "--install-crds", action="store_true", help="create or update our kinds' definitions"
    )
    result.add_argument(
        "--routing",
        default="auto",
        choices=("auto", "gateway-api", "mesh", "none"),
        help="who gives requests their share (default: a Gateway where the API has HTTPRoutes)",
    )
    result.add_argument(
        "--gateway", default="gateway", metavar="[NAMESPACE/]NAME", help="parent of HTTPRoutes"
    )
    result.add_argument(
        "--prometheus", default="", metavar="URL", help="judges canaries and scales by its numbers"
    )
    standard = Queries()
    for name in ("requests", "errors", "latency"):
        result.add_argument(
            f"--prometheus-{name}", default=getattr(standard, name), metavar="PROMQL"
        )
    result.add_argument(
        "--listen", default="", metavar="HOST:PORT", help="for /healthz, /readyz and /metrics"
    )
    result.add_argument("--dry-run", action="store_true", help="decide, but write nothing")
    result.add_argument("--log-level", default="info")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m cloudwright.operator", description=__doc__)
    result.add_argument("--kubeconfig", help="file (default: as kubectl finds it, or in-cluster)")
    result.add_argument("--context", help="context of the kubeconfig")
    add_arguments(result)
    return result


def config_of(arguments: argparse.Namespace) -> Config:
    """The settings that the command line asks for."""
    space, _, name = arguments.gateway.rpartition("/")
    return Config(
        dry_run=arguments.dry_run,
        namespace=arguments.namespace,
        routing=arguments.routing,
        gateway=(space, name),
        nodes_confirm=arguments.routing == "mesh",
    )


async def serve_until_told(arguments: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT; what is led is given up in order. Raises as ``serve``."""
    async with anyio.create_task_group() as tasks:

        async def told() -> None:
            with anyio.open_signal_receiver(SIGTERM, SIGINT) as signals:
                async for _ in signals:
                    tasks.cancel_scope.cancel()
                    return

        tasks.start_soon(told)
        try:
            await serve(arguments)
        except CloudwrightError as error:
            failure = error
        else:
            return
        tasks.cancel_scope.cancel()
    raise failure


async def serve(arguments: argparse.Namespace) -> None:
    """Run until cancelled.

    Raises:
        UsageError: a word is wrong.
        LeadershipLost: another one leads now; the caller should end.
    """
    from aiohttp import ClientSession

    access = find(arguments.kubeconfig, arguments.context)
    transport = HttpsTransport(access)
    client = Client(transport, namespace=access.namespace)
    vitals = Vitals()
    state = _State()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.aclose)
        session = await stack.enter_async_context(ClientSession())
        if arguments.listen:
            await stack.enter_async_context(
                served(arguments.listen, vitals.registry, state.is_ready)
            )
        if arguments.install_crds and not arguments.dry_run:
            await install(client)
        manager = _manager(arguments, client, transport, session, vitals)

        async def work() -> None:
            async with anyio.create_task_group() as tasks:
                await tasks.start(lambda *, task_status: manager.run(task_status=task_status))
                state.working = True

        if not arguments.leader_elect:
            await work()
            return
        state.waiting = True
        space = arguments.leader_elect_namespace or access.namespace
        await Elector(client, f"{gethostname()}-{getpid()}", namespace=space).lead(work)


class _State:
    """How far the start is: ready is who works, and who waits for the leader's end."""

    def __init__(self) -> None:
        self.working = False
        self.waiting = False

    def is_ready(self) -> bool:
        return self.working or self.waiting


def _manager(
    arguments: argparse.Namespace,
    client: Client,
    transport: HttpsTransport,
    session: ClientSession,
    vitals: Vitals,
) -> Manager:
    names = tuple(name for name in arguments.controllers.split(",") if name)
    meter = None
    if arguments.prometheus:
        queries = Queries(
            arguments.prometheus_requests,
            arguments.prometheus_errors,
            arguments.prometheus_latency,
        )
        meter = PrometheusMeter(session, arguments.prometheus, client, queries)
    try:
        return build(
            client,
            hooks=DirectHooks(session),
            meter=meter,
            commands=PodExecs(transport),
            config=config_of(arguments),
            controllers=names,
            registry=vitals.registry,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 when interrupted, else that of the error."""
    return start(parser().parse_args(argv))


def start(arguments: argparse.Namespace) -> int:
    """Run with these words until interrupted; the exit code."""
    logs.configure(arguments.log_level)
    try:
        anyio.run(serve_until_told, arguments)
    except KeyboardInterrupt:
        return 0
    except CloudwrightError as error:
        print(render(error), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
