"""``python -m cloudwright.operator``: the controllers alone, against any Kubernetes API.

cloudwright operator run --kubeconfig FILE --leader-elect
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import AsyncExitStack

import anyio
from aiohttp import ClientSession
from anyio.abc import TaskStatus

from cloudwright._base.errors import UsageError
from cloudwright.client.client import Client
from cloudwright.client.execs import PodExecs
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.operator import program
from cloudwright.operator.config import Config
from cloudwright.operator.hooks import DirectHooks
from cloudwright.operator.install import install
from cloudwright.operator.manager import Manager
from cloudwright.operator.meters import PrometheusMeter, Queries
from cloudwright.operator.run import ALL, add
from cloudwright.operator.vitals import Vitals

NAME = "cloudwright-operator"


def add_arguments(result: argparse.ArgumentParser) -> None:
    """What can be said on the command line, but the kubeconfig."""
    program.add_arguments(result)
    result.add_argument(
        "--controllers",
        default="microservice",
        help=f"comma-separated, of {', '.join(ALL)} (default: %(default)s; a real cluster has"
        " the others already)",
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
        "--server-side-apply",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write children by server-side apply; fields of others are left alone (default: yes)",
    )
    result.add_argument(
        "--prometheus", default="", metavar="URL", help="judges canaries and scales by its numbers"
    )
    standard = Queries()
    for name in ("requests", "errors", "latency"):
        default = getattr(standard, name)
        result.add_argument(f"--prometheus-{name}", default=default, metavar="PROMQL")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m cloudwright.operator", description=__doc__)
    program.add_kubeconfig(result)
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
        server_side_apply=arguments.server_side_apply,
        nodes_confirm=arguments.routing == "mesh",
    )


class _Operator(Manager):
    """The manager, which may install the definitions first."""

    installs = False

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Fill the caches, then work until cancelled."""
        if self.installs and not self.config.dry_run:
            await install(self.client)
        await super().run(task_status=task_status)


def start(arguments: argparse.Namespace) -> int:
    """Run with these words until interrupted; the exit code."""

    def make(
        client: Client, transport: HttpsTransport, vitals: Vitals, stack: AsyncExitStack
    ) -> Manager:
        session = ClientSession()
        stack.push_async_callback(session.close)
        manager = _Operator(client, config=config_of(arguments), vitals=vitals)
        manager.installs = arguments.install_crds
        queries = Queries(
            arguments.prometheus_requests,
            arguments.prometheus_errors,
            arguments.prometheus_latency,
        )
        url = arguments.prometheus
        try:
            add(
                manager,
                tuple(name for name in arguments.controllers.split(",") if name),
                hooks=DirectHooks(session),
                meter=PrometheusMeter(session, url, client, queries) if url else None,
                commands=PodExecs(transport),
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        return manager

    return program.start(arguments, make, NAME)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 when interrupted, else that of the error."""
    return start(parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
