"""``python -m cloudwright.apiserver`` as a process, for tests that kill and restart it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from cloudwright.client import kubeconfig
from cloudwright.client.client import Client
from cloudwright.client.transports.https import HttpsTransport

ROOT = Path(__file__).parents[2]


class Server:
    """One API server process with a state directory of its own."""

    def __init__(self, state: Path, store: str = "sqlite") -> None:
        self.state = state
        self.store = store
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        config = self.state / "user" / "kubeconfig"
        config.unlink(missing_ok=True)
        command = [sys.executable, "-m", "cloudwright.apiserver", "--state-dir", str(self.state)]
        self.state.mkdir(exist_ok=True)
        with (self.state / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", "0", "--store", self.store], stderr=log, stdout=log, cwd=ROOT
            )
        with anyio.fail_after(60):
            while not config.exists():
                assert self.process.poll() is None, (self.state / "log").read_text()
                await anyio.sleep(0.05)

    def end(self, number: int) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                os.kill(self.process.pid, number)
            self.process.wait(30)
            self.process = None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        transport = HttpsTransport(kubeconfig.read(self.state / "user" / "kubeconfig"))
        client = Client(transport)
        try:
            yield client
        finally:
            await client.aclose()
