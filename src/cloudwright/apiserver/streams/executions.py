"""Running a command in a container for a client, and attaching to one."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asked for."""

    outputs: frozenset[int]
    """Of STDOUT and STDERR; the rest is read and dropped."""
    merged: bool
    """Standard error goes where standard output goes (a terminal)."""
    attached: bool = False
    """A container's own process: how that ends is told by its status, not here."""


async def run(session: ExecSession, channels: Channels, wanted: Wanted) -> None:
    """Carry bytes until the process ends or the client goes, tell the exit code, close."""
    try:
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                await _input(session, channels)
                tasks.cancel_scope.cancel()  # the client is gone

            tasks.start_soon(read)
            status = await _output(session, channels, wanted)
            await channels.finish(status)
            tasks.cancel_scope.cancel()
    except* ConnectionError as gone:
        _log.debug("a client left its command", extra={"reason": str(gone.exceptions[0])})
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()


async def _output(session: ExecSession, channels: Channels, wanted: Wanted) -> dict[str, Any]:
    try:
        async for source, data in session.output():
            channel = STDOUT if wanted.merged or source == STDOUT else STDERR
            if channel in wanted.outputs:
                await channels.send(channel, data)
        code = await session.wait()
        return exit_status(0 if wanted.attached else code)
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
