"""Running a command in a container for a client, and attaching to one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import orjson

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.status import failure
from cloudwright.apiserver.streams.channels import RESIZE, STDERR, STDIN, STDOUT, Channels
from cloudwright.model.streams import ExecSession

_log = logs.get("apiserver")


def exit_status(code: int) -> dict[str, Any]:
    """How a command's end is told on the error channel (``v4.channel.k8s.io``)."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def error_status(error: CloudwrightError) -> dict[str, Any]:
    """How a failure of ours is told there."""
    return failure(ApiError(500, "InternalError", error.message))


async def run(
    session: ExecSession, channels: Channels, *, merged: bool, wanted: frozenset[int]
) -> None:
    """Carry bytes until the command ends or the client goes, tell the exit code, close.

    ``merged``: standard error goes where standard output goes (a terminal). ``wanted``: which of
    STDOUT and STDERR the client asked for; the rest is read and dropped.
    """
    try:
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                await _input(session, channels)
                tasks.cancel_scope.cancel()  # the client is gone

            tasks.start_soon(read)
            status = await _output(session, channels, merged=merged, wanted=wanted)
            await channels.finish(status)
            tasks.cancel_scope.cancel()
    except* ConnectionError as gone:
        _log.debug("a client left its command", extra={"reason": str(gone.exceptions[0])})
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()


async def _output(
    session: ExecSession, channels: Channels, *, merged: bool, wanted: frozenset[int]
) -> dict[str, Any]:
    try:
        async for source, data in session.output():
            channel = STDOUT if merged or source == STDOUT else STDERR
            if channel in wanted:
                await channels.send(channel, data)
        return exit_status(await session.wait())
    except CloudwrightError as error:
        return error_status(error)


async def _input(session: ExecSession, channels: Channels) -> None:
    ended = False

    async def sink(channel: int, data: bytes) -> None:
        nonlocal ended
        if channel == RESIZE:
            size = _size(data)
            if size is not None:
                await session.resize(*size)
        elif channel == STDIN and not ended:
            ended = not data
            if ended:
                await session.close_stdin()
            else:
                await session.write(data)

    try:
        await channels.pump(sink)
    except CloudwrightError as error:
        # The process closed its input or is gone; its exit says the rest.
        _log.debug("standard input ended", extra={"reason": error.message})
        await anyio.sleep_forever()


def _size(data: bytes) -> tuple[int, int] | None:
    """``{"Width":80,"Height":24}`` as columns and rows; a stream may carry several."""
    try:
        size = orjson.loads(data.strip().rpartition(b"\n")[2])
        columns, rows = int(size["Width"]), int(size["Height"])
    except (ValueError, KeyError, TypeError):
        return None
    return (columns, rows) if 0 < columns < 65536 and 0 < rows < 65536 else None


class LogSession:
    """Attaching without standard input: the container's output from now on, by its log."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def write(self, data: bytes) -> None:
        """There is no input."""

    async def close_stdin(self) -> None:
        """There is no input."""

    async def resize(self, columns: int, rows: int) -> None:
        """There is no terminal."""

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What the container writes."""
        async for data in self._chunks:
            yield STDOUT, data

    async def wait(self) -> int:
        """0: how the container ended is in its status."""
        return 0

    async def close(self) -> None:
        """Stop following."""
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
