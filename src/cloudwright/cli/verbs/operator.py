"""The operator alone, on any Kubernetes cluster.

cloudwright operator run --kubeconfig FILE --leader-elect     bring MicroServices to life there
cloudwright operator run --dry-run                            say what it would do, write nothing
cloudwright operator crds | kubectl apply -f -                the definitions of our kinds
"""

from __future__ import annotations

import argparse

from cloudwright.cli.terminal import Terminal

ACTIONS = ("run", "crds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``operator``."""
    from cloudwright.operator.__main__ import add_arguments as of_operator

    parser.add_argument("action", choices=ACTIONS)
    of_operator(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run it until interrupted, or print the definitions."""
    if args.action == "run":
        from cloudwright.operator.__main__ import start

        return start(args)
    from cloudwright.cli.output import to_yaml
    from cloudwright.model.crds import definition
    from cloudwright.model.resources import MICRO_SERVICE, ROUTE

    for resource in (MICRO_SERVICE, ROUTE):
        terminal.data("---\n" + to_yaml(definition(resource)).rstrip())
    return 0
