"""Listening on a TCP port, and naming who holds it when it is taken."""

from __future__ import annotations

import errno
import socket

from cloudwright._base.errors import CloudwrightError, ConflictError
from cloudwright._base.sockets import holder_of

BACKLOG = 512


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one.

    Raises:
        ConflictError: the port is taken; the message names the process if it can be seen.
        CloudwrightError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            holder = holder_of(port)
            raise ConflictError(
                f"port {port} on {host} is already in use" + (f" by {holder}" if holder else ""),
                code="CW3220",
                hint="stop that process, or choose another port",
            ) from error
        raise CloudwrightError(
            f"cannot listen on {host}:{port}: {error.strerror}", code="CW3221"
        ) from error
    return sock
