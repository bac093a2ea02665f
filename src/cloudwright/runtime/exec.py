"""A command inside a container: the frames of the exec connection as an ``ExecSession``."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from cloudwright.model.streams import STDERR, STDIN, STDOUT
from cloudwright.runtime.errors import SupervisorLostError

EXIT, RESIZE = 3, 4
CHUNK = 64 * 1024
_HEADER = struct.Struct(">BI")


def frame(channel: int, payload: bytes) -> bytes:
    """One byte channel, four bytes big-endian length, payload."""
    return _HEADER.pack(channel, len(payload)) + payload


class FramedExec:
    """A running command. Closing the connection kills it."""

    def __init__(self, stream: ByteStream, reader: BufferedByteReceiveStream) -> None:
        self._stream = stream
        self._reader = reader
        self._sending = anyio.Lock()
        self._exit_code: int | None = None

    async def write(self, data: bytes) -> None:
        """Send bytes to its standard input; after its end they go nowhere."""
        for start in range(0, len(data), CHUNK):
            await self._send(frame(STDIN, data[start : start + CHUNK]))

    async def close_stdin(self) -> None:
        """End its standard input."""
        await self._send(frame(STDIN, b""))

    async def resize(self, columns: int, rows: int) -> None:
        """Tell its terminal the size."""
        size = json.dumps({"columns": columns, "rows": rows})
        await self._send(frame(RESIZE, size.encode()))

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """``(STDOUT|STDERR, data)`` until the command ends.

        Raises:
            SupervisorLostError: the connection broke before its end.
        """
        while self._exit_code is None:
            channel, payload = await self._receive()
            if channel in (STDOUT, STDERR):
                yield channel, payload

    async def wait(self) -> int:
        """Its exit code (128 + n for signal n); output that nobody took is thrown away.

        Raises:
            SupervisorLostError: the connection broke before its end.
        """
        while self._exit_code is None:
            await self._receive()
        return self._exit_code

    async def close(self) -> None:
        """End it if it still runs, and the connection."""
        await self._stream.aclose()

    async def _receive(self) -> tuple[int, bytes]:
        try:
            header = await self._reader.receive_exactly(_HEADER.size)
            channel, length = _HEADER.unpack(header)
            payload = await self._reader.receive_exactly(length) if length else b""
        except (
            anyio.IncompleteRead,
            anyio.EndOfStream,
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
        ) as error:
            raise SupervisorLostError("the command's connection broke before its end") from error
        if channel == EXIT:
            self._exit_code = int(json.loads(payload)["exit_code"])
        return channel, payload

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            try:
                await self._stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                # The command has ended; how is for ``wait`` to say.
                return
