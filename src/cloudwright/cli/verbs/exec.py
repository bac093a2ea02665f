"""Run a command in a container: cloudwright exec [-it] POD [-c CONTAINER] -- COMMAND [WORDS …]

The exit code is the command's.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import sys
from typing import TYPE_CHECKING

from cloudwright._base.errors import CloudwrightError, UsageError
from cloudwright.cli import sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.objects import name_of
from cloudwright.model.resources import POD

if TYPE_CHECKING:
    from cloudwright.cli.channels import Channels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``exec``."""
    parser.add_argument("target", metavar="POD or KIND/NAME")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    parser.add_argument("-c", "--container", default="", metavar="NAME")
    parser.add_argument("-i", "--stdin", action="store_true", help="pass standard input on")
    parser.add_argument("-t", "--tty", action="store_true", help="as on a terminal")
    sessions.add_namespace(parser, everywhere=False)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run it."""
    from cloudwright.cli.channels import Channels

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise UsageError("which command?", hint="cloudwright exec POD -- COMMAND")
    session = Session(args)
    tty = args.tty and sys.stdin.isatty()
    if args.tty and not tty:
        terminal.warn("standard input is no terminal: going on without -t")
    query = [("command", word) for word in command]
    query += [("stdout", "true"), ("stderr", "false" if tty else "true")]
    query += [("stdin", "true")] if args.stdin else []
    query += [("tty", "true")] if tty else []
    query += [("container", args.container)] if args.container else []
    path = POD.path(session.namespace or "default", _pod(session, args.target), "exec")
    channels = Channels(session.client, path, query)
    try:
        with _Raw(tty, channels):
            code, message = _pump(channels, args.stdin, tty)
    finally:
        channels.close()
    if message:
        raise CloudwrightError(message)
    return code


def _pod(session: Session, target: str) -> str:
    from cloudwright.cli.verbs.logs import _selector

    resource, name = session.one(target)
    if resource == POD:
        return name
    space = session.namespace or "default"
    selector = _selector(session.client.get(resource, name, space))
    found = session.client.list(POD, space, label_selector=selector).get("items") or []
    running = [pod for pod in found if (pod.get("status") or {}).get("phase") == "Running"]
    if not running:
        raise CloudwrightError(f"{target} has no running pod", hint=f"cloudwright why {target}")
    return name_of(running[0])


def _pump(channels: Channels, stdin: bool, tty: bool) -> tuple[int, str]:
    """Carry both directions until the process ends; its exit code."""
    from cloudwright.cli.channels import ERROR, STDERR, STDIN, STDOUT, exit_code

    outputs = {STDOUT: sys.stdout.buffer, STDERR: sys.stderr.buffer}
    with selectors.DefaultSelector() as selector:
        selector.register(channels.socket, selectors.EVENT_READ)
        if stdin:
            try:
                selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
            except PermissionError:  # a plain file is always readable, and epoll refuses it
                channels.send(STDIN, sys.stdin.buffer.read())
                channels.end_stdin()
        while not channels.closed:
            for key, _ in selector.select():
                if key.fileobj is not channels.socket:
                    data = os.read(sys.stdin.fileno(), 65536)
                    if data:
                        channels.send(STDIN, data)
                    else:
                        selector.unregister(key.fileobj)
                        channels.end_stdin()
                    continue
                for channel, data in channels.receive():
                    if channel == ERROR:
                        return exit_code(data)
                    if channel in outputs:
                        outputs[channel].write(data)
                        outputs[channel].flush()
    return 1, "the stream ended before the command did"


class _Raw:
    """The terminal in raw mode, its size told to the other side, both as long as the command
    runs.
    """

    def __init__(self, tty: bool, channels: Channels) -> None:
        self._tty = tty
        self._channels = channels

    def __enter__(self) -> None:
        if not self._tty:
            return
        import termios
        import tty

        self._before = termios.tcgetattr(sys.stdin.fileno())
        tty.setraw(sys.stdin.fileno())
        self._resize()
        signal.signal(signal.SIGWINCH, self._resize)

    def _resize(self, *_: object) -> None:
        from cloudwright.cli.channels import RESIZE

        size = os.get_terminal_size(sys.stdin.fileno())
        text = json.dumps({"Width": size.columns, "Height": size.lines})
        self._channels.send(RESIZE, text.encode())

    def __exit__(self, *_: object) -> None:
        if not self._tty:
            return
        import termios

        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)
