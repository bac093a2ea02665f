"""A served API for foreign clients: the real core, store and face, with pods that are processes.

``python -m tests.integration.served_api STATE_DIR`` prints a JSON line once it serves, and ends
with its standard input. ``exec`` runs a program of the machine, ``connect`` reaches a port of the
machine, logs are made up.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from anyio.abc import Process, SocketStream
from anyio.streams.memory import MemoryObjectSendStream

from cloudwright._base.clock import SystemClock
from cloudwright._base.errors import CloudwrightError, UnreachableError
from cloudwright._base.paths import Paths
from cloudwright.apiserver import bootstrap, identities, tls
from cloudwright.apiserver.authn import TokenFile
from cloudwright.apiserver.authz import ChainAuthorizer
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.server import FaceConfig, serve
from cloudwright.apiserver.store.sqlite import open_store
from cloudwright.model.streams import STDERR, STDOUT

LINES = [b"2026-01-01T00:00:0%d.000000000Z line %d\n" % (i, i) for i in range(5)]


class ProcessSession:
    """``ExecSession`` by a process of this machine."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.sizes: list[tuple[int, int]] = []

    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise CloudwrightError("its standard input is closed") from error

    async def close_stdin(self) -> None:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.aclose()
        except (OSError, anyio.BrokenResourceError) as error:
            raise CloudwrightError("its standard input is closed") from error

    async def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        send, receive = anyio.create_memory_object_stream[tuple[int, bytes]](0)

        async def pump(number: int, out: MemoryObjectSendStream[tuple[int, bytes]]) -> None:
            stream = self._process.stdout if number == STDOUT else self._process.stderr
            assert stream is not None
            async with out:
                async for data in stream:
                    await out.send((number, data))

        async with anyio.create_task_group() as tasks:
            for number in (STDOUT, STDERR):
                tasks.start_soon(pump, number, send.clone())
            send.close()
            async with receive:
                async for item in receive:
                    yield item

    async def wait(self) -> int:
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.aclose()


class TcpStream:
    """``ByteStream`` by TCP."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        try:
            return await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return b""

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class MachinePods:
    """``PodStreams`` by what this machine has."""

    async def logs(
        self, namespace: str, pod: str, *, container: str | None = None, follow: bool = False,
        previous: bool = False, since_seconds: float | None = None, since_time: str | None = None,
        tail_lines: int | None = None, timestamps: bool = False, limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:  # fmt: skip
        if previous:
            raise CloudwrightError(f"previous terminated container in {pod} not found")
        lines = LINES if tail_lines is None else LINES[len(LINES) - tail_lines :]
        for line in lines:
            yield line if timestamps else line.partition(b" ")[2]
        if follow:
            yield b"followed\n"

    async def exec(
        self, namespace: str, pod: str, *, container: str | None, argv: tuple[str, ...], tty: bool,
        stdin: bool,
    ) -> ProcessSession:  # fmt: skip
        try:
            process = await anyio.open_process(list(argv))
        except FileNotFoundError as error:
            raise CloudwrightError(f'exec: "{argv[0]}": executable file not found') from error
        if not stdin and process.stdin is not None:
            await process.stdin.aclose()
        return ProcessSession(process)

    async def attach(
        self, namespace: str, pod: str, *, container: str | None, stdin: bool
    ) -> ProcessSession:
        words = ("sh", "-c", "echo attached; exec cat")
        return await self.exec(
            namespace, pod, container=container, argv=words, tty=False, stdin=stdin
        )

    async def connect(self, namespace: str, pod: str, port: int) -> TcpStream:
        try:
            return TcpStream(await anyio.connect_tcp("127.0.0.1", port))
        except OSError as error:
            raise UnreachableError(f"nothing listens on port {port} in the pod") from error


async def run(state: str) -> None:
    """Serve until standard input ends."""
    paths = Paths.find(state)
    pki = tls.Pki(paths.pki)
    paths.database.parent.mkdir(parents=True, exist_ok=True)
    tokens = TokenFile.of(paths)
    async with open_store(StoreConfig(paths.database), SystemClock()) as store:
        authorizer = ChainAuthorizer(store)
        async with (
            bootstrap.running(store, authorizer) as core,
            identities.running(core, paths, pki.ca.certificate_pem) as known,
            serve(
                core,
                FaceConfig(port=0),
                pki=pki,
                authenticator=known.authenticator,
                authorizer=authorizer,
                streams=MachinePods(),
            ) as serving,
        ):
            kubeconfig = tls.write_kubeconfig(paths, serving.url)
            ready = {
                "url": serving.url,
                "kubeconfig": str(kubeconfig),
                "ca": str(pki.ca.certificate_file),
                "viewer": tokens.issue("ann", ["cloudwright:viewers"]),
                "nobody": tokens.issue("joe"),
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


if __name__ == "__main__":
    anyio.run(run, str(Path(sys.argv[1])))
