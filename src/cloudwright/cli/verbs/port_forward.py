"""Reach a pod's port from here: cloudwright port-forward POD [LOCAL:]PORT … (Ctrl-C ends it)"""

from __future__ import annotations

import argparse
import selectors
import socket
from concurrent.futures import ThreadPoolExecutor

from cloudwright._base.errors import CloudwrightError, ConflictError, UsageError
from cloudwright.cli import sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.resources import POD

CONNECTIONS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``port-forward``."""
    parser.add_argument("target", metavar="POD or KIND/NAME")
    parser.add_argument("ports", nargs="+", metavar="[LOCAL:]PORT")
    parser.add_argument("--address", default="127.0.0.1", metavar="IP")
    sessions.add_namespace(parser, everywhere=False)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Listen and carry until interrupted."""
    from cloudwright.cli.verbs.exec import _pod

    session = Session(args)
    pod = _pod(session, args.target)
    listeners: dict[socket.socket, int] = {}
    for words in args.ports:
        local, _, remote = words.rpartition(":")
        if not (remote.isdigit() and (local or remote).isdigit()):
            raise UsageError(f"{words!r} is not [LOCAL:]PORT")
        try:
            made = socket.create_server((args.address, int(local or remote)))
        except OSError as error:
            raise ConflictError(
                f"port {local or remote} cannot be taken", cause=error.strerror
            ) from error
        listeners[made] = int(remote)
        host, port = made.getsockname()[:2]
        terminal.data(f"Forwarding from {host}:{port} -> {remote}")
    terminal.flush()
    with selectors.DefaultSelector() as selector, ThreadPoolExecutor(CONNECTIONS) as workers:
        for made in listeners:
            selector.register(made, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in selector.select():
                    listener = key.fileobj
                    if isinstance(listener, socket.socket):
                        peer, _ = listener.accept()
                        workers.submit(_carry, args, pod, listeners[listener], peer, terminal)
        finally:
            for made in listeners:
                made.close()
            workers.shutdown(wait=False, cancel_futures=True)


def _carry(
    args: argparse.Namespace, pod: str, port: int, peer: socket.socket, terminal: Terminal
) -> None:
    """One connection: data on channel 0, errors on channel 1; each begins with the port number."""
    from cloudwright.cli.channels import Channels

    session = Session(args)
    path = POD.path(session.namespace or "default", pod, "portforward")
    try:
        channels = Channels(session.client, path, [("ports", str(port))], ["v4.channel.k8s.io"])
    except CloudwrightError as error:
        terminal.error(error)
        peer.close()
        return
    headed: set[int] = set()
    with peer, selectors.DefaultSelector() as selector:
        selector.register(peer, selectors.EVENT_READ)
        selector.register(channels.socket, selectors.EVENT_READ)
        while not channels.closed:
            for key, _ in selector.select():
                if key.fileobj is peer:
                    data = peer.recv(65536)
                    if not data:
                        channels.close()
                        return
                    channels.send(0, data)
                    continue
                for channel, data in channels.receive():
                    if channel not in headed:
                        headed.add(channel)
                        data = data[2:]
                    if channel == 0:
                        peer.sendall(data)
                    elif data:
                        terminal.warn(data.decode(errors="replace"))
    channels.close()
