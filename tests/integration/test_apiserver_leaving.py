"""Proxied requests to a pod that takes connections and never answers."""

from __future__ import annotations

import socket
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from anyio.abc import SocketAttribute, SocketStream

from tests.integration.http_world import World, world
from tests.integration.served_api import MachinePods

pytestmark = pytest.mark.anyio
POD = {"metadata": {"name": "mute"}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
PODS = "/api/v1/namespaces/default/pods"
CLIENTS = 40
"""More than the flow control has seats for one level of a machine of two cores."""


def _leave(world: World, path: str) -> socket.socket:
    """A client that has asked; closing its socket is leaving."""
    plain = socket.create_connection(("127.0.0.1", world.serving.port), 60)
    secure = world.admin.wrap_socket(plain, server_hostname="127.0.0.1")
    secure.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    return secure


async def test_they_hold_nobody_up_and_end_with_their_clients(tmp_path: Path) -> None:
    ended = 0
    asked, left = anyio.Event(), anyio.Event()

    async def mute(stream: SocketStream) -> None:
        nonlocal ended
        async with stream:
            count.append(1)
            if len(count) == CLIENTS:
                asked.set()
            try:
                while True:
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                ended += 1
                if ended == CLIENTS:
                    left.set()

    count: list[int] = []
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with (
        world(tmp_path, streams=MachinePods()) as found,
        listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, mute)
        assert (await found.ask("POST", PODS, POD)).status == 201
        port = listener.extra(SocketAttribute.local_port)
        path = f"{PODS}/mute:{port}/proxy/"
        clients = [await to_thread.run_sync(_leave, found, path) for _ in range(CLIENTS)]
        with anyio.fail_after(60):
            await asked.wait()
            assert (await found.ask("GET", PODS)).status == 200  # nobody waits for them
            for client in clients:
                client.close()
            await left.wait()
        tasks.cancel_scope.cancel()
