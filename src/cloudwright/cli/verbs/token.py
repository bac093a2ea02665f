"""Tokens of service accounts.

cloudwright token create ACCOUNT [-n NS]   one for an account, for an hour
cloudwright token rotate-key               sign with a new key from now on; old tokens stay good
"""

from __future__ import annotations

import argparse

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli import sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.resources import SERVICE_ACCOUNT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``token``."""
    parser.add_argument("action", choices=("create", "rotate-key"))
    parser.add_argument("account", nargs="?", default="", metavar="ACCOUNT")
    parser.add_argument("--duration", default="1h", metavar="TIME", help="at least 10m")
    parser.add_argument("--audience", action="append", default=[], metavar="NAME")
    sessions.add_namespace(parser, everywhere=False)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Do the action."""
    if args.action == "rotate-key":
        from cloudwright.platform import control

        answer = control.ask(Paths.find(args.state_dir), "POST", "/rotate-token-key")
        terminal.data(f"tokens are signed with key {answer['key']}")
        return 0
    if not args.account:
        raise UsageError("which service account?", hint="cloudwright token create default")
    session = Session(args)
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": args.audience,
            "expirationSeconds": int(sessions.seconds(args.duration)),
        },
    }
    space = session.space(SERVICE_ACCOUNT)
    made, _ = session.client.write(
        "POST", SERVICE_ACCOUNT, space, args.account, body, subresource="token"
    )
    terminal.data(str(made["status"]["token"]))
    return 0
