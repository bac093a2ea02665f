"""A controller as a program: flags, leader election, health and metrics, an end in order.

if __name__ == "__main__":
raise SystemExit(main(Greetings()))
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from os import getpid
from signal import SIGINT, SIGTERM
from socket import gethostname

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError, render
from cloudwright.client.client import Client
from cloudwright.client.kubeconfig import find
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.operator.config import Config
from cloudwright.operator.leader import Elector
from cloudwright.operator.manager import Controller, Manager
from cloudwright.operator.serving import served
from cloudwright.operator.vitals import Vitals

Make = Callable[[Client, HttpsTransport, Vitals, AsyncExitStack], "Manager"]
"""Makes the manager; what must be closed at the end goes onto the stack."""


def add_kubeconfig(parser: argparse.ArgumentParser) -> None:
    """Where the API is."""
    parser.add_argument("--kubeconfig", help="file (default: as kubectl finds it, or in-cluster)")
    parser.add_argument("--context", help="context of the kubeconfig")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to run."""
    parser.add_argument("-n", "--namespace", default="", help="only this one (default: all)")
    parser.add_argument(
        "--leader-elect", action="store_true", help="of several processes only one works"
    )
    parser.add_argument(
        "--leader-elect-namespace", default="", help="of the Lease (default: that of the context)"
    )
    parser.add_argument(
        "--listen", default="", metavar="HOST:PORT", help="for /healthz, /readyz and /metrics"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be written, write nothing"
    )
    parser.add_argument("--log-level", default="info")


def main(*controllers: Controller, name: str = "", words: Sequence[str] | None = None) -> int:
    """Run controllers until interrupted, as the command line says; returns the exit code.

    ``name`` is the Lease's and the events' (default: the first controller's).
    """
    name = name or controllers[0].name
    parser = argparse.ArgumentParser(prog=name)
    add_kubeconfig(parser)
    add_arguments(parser)
    arguments = parser.parse_args(words)

    def make(client: Client, _: HttpsTransport, vitals: Vitals, __: AsyncExitStack) -> Manager:
        config = Config(dry_run=arguments.dry_run, namespace=arguments.namespace)
        manager = Manager(client, config=config, vitals=vitals, component=name)
        for controller in controllers:
            manager.add(controller)
        return manager

    return start(arguments, make, name)


def start(arguments: argparse.Namespace, make: Make, name: str) -> int:
    """Run with parsed words; the exit code is 0 when interrupted, else that of the error."""
    logs.configure(arguments.log_level)
    try:
        anyio.run(_until_told, arguments, make, name)
    except KeyboardInterrupt:
        return 0
    except CloudwrightError as error:
        sys.stderr.write(f"{render(error)}\n")
        return error.exit_code
    return 0


async def _until_told(arguments: argparse.Namespace, make: Make, name: str) -> None:
    """Run until SIGTERM or SIGINT; what is led is given up in order."""
    failure: CloudwrightError | None = None
    async with anyio.create_task_group() as tasks:

        async def told() -> None:
            with anyio.open_signal_receiver(SIGTERM, SIGINT) as signals:
                async for _ in signals:
                    tasks.cancel_scope.cancel()
                    return

        tasks.start_soon(told)
        try:
            await serve(arguments, make, name)
        except CloudwrightError as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def serve(arguments: argparse.Namespace, make: Make, name: str) -> None:
    """Run until cancelled.

    Raises:
        UsageError: a word is wrong.
        LeadershipLost: another one leads now; the process should end.
    """
    access = find(arguments.kubeconfig, arguments.context)
    async with AsyncExitStack() as stack:
        transport = HttpsTransport(access)
        stack.push_async_callback(transport.aclose)
        client, vitals, state = Client(transport, namespace=access.namespace), Vitals(), _State()
        vitals.leading.labels(name).set(0)
        if arguments.listen:
            await stack.enter_async_context(
                served(arguments.listen, vitals.registry, state.is_ready)
            )
        manager = make(client, transport, vitals, stack)

        async def work() -> None:
            vitals.leading.labels(name).set(1)
            async with anyio.create_task_group() as tasks:
                await tasks.start(lambda *, task_status: manager.run(task_status=task_status))
                state.working = True

        if not arguments.leader_elect:
            await work()
            return
        state.waiting = True
        space = arguments.leader_elect_namespace or access.namespace
        identity = f"{gethostname()}-{getpid()}"
        await Elector(client, identity, namespace=space, name=name).lead(work)


class _State:
    """How far the start is: ready is who works, and who waits for the leader's end."""

    def __init__(self) -> None:
        self.working = False
        self.waiting = False

    def is_ready(self) -> bool:
        return self.working or self.waiting
