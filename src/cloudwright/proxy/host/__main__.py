"""``python -I -m cloudwright.proxy.host FOLDER``: started by the proxy, with a socket as input."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from cloudwright.proxy.host.folder import Folder
from cloudwright.proxy.host.process import ProtocolError, serve


class _Lines(logging.Formatter):
    """One JSON object a line, as the proxy itself logs."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        line = {"level": record.levelname.lower(), "target": record.name}
        return json.dumps({**line, "message": super().format(record)}, ensure_ascii=False)


def main(words: list[str]) -> int:
    """Serve; returns the exit code: 0 the proxy is gone, 1 failed, 2 wrong use."""
    if len(words) != 1:
        print("usage: python -I -m cloudwright.proxy.host FOLDER", file=sys.stderr)
        return 2
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    log = logging.getLogger("cloudwright.filters")
    # What a filter prints must not reach the socket, nor may it read from it.
    try:
        channel = socket.socket(fileno=os.dup(0))
        channel.setblocking(True)
    except OSError as error:
        print(f"error: standard input is not a socket: {error.strerror}", file=sys.stderr)
        return 2
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.stdout = sys.stderr
    # The proxy ends the host by closing the socket; a terminal's ^C is the proxy's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(channel, Folder(Path(words[0])))
    except (OSError, ProtocolError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.exit(code)
