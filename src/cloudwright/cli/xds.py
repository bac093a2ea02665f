"""``cloudwright mesh xds``: a server that serves files, and what the platform's clients have."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Terminal

if TYPE_CHECKING:
    from cloudwright.mesh.xds.listening import Listen

STEPS = ("serve", "validate", "status")
_MISSING = "pip install 'cloudwright[xds]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words behind ``mesh xds``."""
    parser.add_argument("step", nargs="?", choices=STEPS, help="of xds")
    group = parser.add_argument_group("xds serve, xds validate")
    group.add_argument(
        "-f", "--file", action="append", default=[], metavar="FILE",
        help="resources of xDS v3 as YAML or JSON; a folder, or several",
    )  # fmt: skip
    group.add_argument(
        "--listen", action="append", default=[], metavar="ADDRESS",
        help="unix:PATH or IP:PORT; several are possible",
    )  # fmt: skip
    group.add_argument("--tls-cert", metavar="FILE", help="the server's certificate (chain)")
    group.add_argument("--tls-key", metavar="FILE", help="its key")
    group.add_argument("--tls-ca", metavar="FILE", help="the authority of the clients")


def run(args: argparse.Namespace, paths: Paths, terminal: Terminal) -> int:
    """Do one step of ``mesh xds``."""
    if args.action != "xds" or not args.step:
        hint = f"cloudwright mesh xds {'|'.join(STEPS)}"
        raise UsageError(f"mesh {args.action} {args.step}: there is no such action", hint=hint)
    if args.step == "status":
        return _status(args, paths, terminal)
    if not args.file:
        raise UsageError(f"mesh xds {args.step}: no resources", hint="name files with -f")
    try:
        from cloudwright.mesh.xds import files
    except ImportError as error:
        raise UsageError(f"xDS needs packages that are missing: {error}", hint=_MISSING) from error
    if args.step == "validate":
        found = files.read([Path(name) for name in args.file])
        for text in files.dangling(found):
            terminal.warn(text)
        terminal.data(f"{found.count()} resources are good")
        return 0
    return _serve(args, terminal)


def _listens(args: argparse.Namespace) -> list[Listen]:
    from cloudwright.mesh.xds.listening import Tls, listen

    given = [args.tls_cert, args.tls_key, args.tls_ca]
    if any(given) and not all(given):
        raise UsageError("--tls-cert, --tls-key and --tls-ca belong together")
    tls = Tls(*(Path(name) for name in given)) if all(given) else None
    if tls is not None:
        tls.read()
    if not args.listen:
        hint = "for example --listen 127.0.0.1:15010, or --listen unix:/run/xds.sock"
        raise UsageError("mesh xds serve: nowhere to listen", hint=hint)
    # a Unix socket is for its owner only; certificates are for the network
    return [listen(text, None if text.startswith("unix:") else tls) for text in args.listen]


def _serve(args: argparse.Namespace, terminal: Terminal) -> int:
    import anyio

    from cloudwright._base import logs
    from cloudwright.mesh.xds import server
    from cloudwright.mesh.xds.files import FileSource

    logs.configure()
    source, listens = FileSource(Path(name) for name in args.file), _listens(args)
    count = source.load().count()

    async def serve() -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with (
                server.serving(source, listens) as served,
                anyio.create_task_group() as group,
            ):
                group.start_soon(source.follow)
                terminal.data(f"xDS: {count} resources on {_where(listens, served.ports)}")
                terminal.flush()
                async for _ in signals:
                    group.cancel_scope.cancel()
                    return

    anyio.run(serve)
    return 0


def _where(listens: Sequence[Listen], ports: Sequence[int]) -> str:
    return ", ".join(
        one.address if one.path else f"{one.address.rpartition(':')[0]}:{port}"
        for one, port in zip(listens, ports, strict=True)
    )


def _status(args: argparse.Namespace, paths: Paths, terminal: Terminal) -> int:
    from cloudwright.platform import control

    found: list[dict[str, Any]] = control.ask(paths, "GET", "/xds")
    if args.output == "json":
        terminal.data(json.dumps(found, indent=2))
        return 0
    rows = []
    for client in found:
        for name, one in client["types"].items():
            state = "in flight" if one["in_flight"] else "in sync"
            if "refused" in one:
                state = f"refused: {one['refused']['message']}"
            head = [client["node"], client["role"] or "-", client["variant"]]
            rows.append([*head, name, str(one["resources"]), one["acked"] or "-", state])
    columns = ["NODE", "ROLE", "VARIANT", "TYPE", "RESOURCES", "ACKED", "STATE"]
    terminal.table(columns, rows)
    return 0
