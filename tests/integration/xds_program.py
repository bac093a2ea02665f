"""The xDS client's example program: connects to a control plane and prints what it was told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0


@cache
def printer() -> Path:
    """The program, built when it is older than its sources (``cargo test`` builds it too)."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is missing")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = os.environ.get("CARGO_TARGET_DIR") or str(home / "cloudwright" / "target")
    command = [cargo, "build", "--quiet", "-p", "cloudwright-xds", "--example", "xds_print"]
    built = subprocess.run(
        [*command, "--message-format=json"],
        cwd=ROOT,
        env={**os.environ, "CARGO_TARGET_DIR": target},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    made = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return Path(next(one["executable"] for one in reversed(made) if one.get("executable")))


class Lines:
    """A program that answers with one JSON object a line."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stdout = TextReceiveStream(process.stdout) if process.stdout else None
        self._rest = ""
        self.seen: list[dict[str, Any]] = []

    async def say(self, line: str) -> None:
        """Writes one line to the program."""
        assert self._process.stdin is not None
        await self._process.stdin.send(line.encode() + b"\n")

    def end(self) -> None:
        """Ends the program at once."""
        self._process.terminate()

    async def ended(self) -> None:
        """Waits until it is gone."""
        await self._process.wait()

    async def _next(self) -> dict[str, Any]:
        assert self._stdout is not None
        while "\n" not in self._rest:
            self._rest += await self._stdout.receive()
        line, self._rest = self._rest.split("\n", 1)
        found: dict[str, Any] = json.loads(line)
        self.seen.append(found)
        return found

    async def until(self, key: str, **wanted: Any) -> Any:
        """The next object with ``key`` in which the other fields are as wanted."""
        try:
            with anyio.fail_after(PATIENCE):
                while True:
                    found = await self._next()
                    if key in found and wanted.items() <= found.items():
                        return found[key]
        except TimeoutError:
            raise AssertionError(f"no {key} {wanted} in {self.seen[-5:]}") from None


@asynccontextmanager
async def running(command: list[str]) -> AsyncIterator[Lines]:
    """Starts a program that speaks in lines; it is ended by the end of its input."""
    async with await anyio.open_process(command, stderr=None) as process:
        try:
            yield Lines(process)
        finally:
            assert process.stdin is not None
            await process.stdin.aclose()
            with anyio.move_on_after(10) as late:
                await process.wait()
            if late.cancelled_caught:
                process.kill()


@asynccontextmanager
async def proxy(directory: Path, control: Mapping[str, Any]) -> AsyncIterator[Lines]:
    """The example program with these ``control`` options."""
    file = directory / "control.json"
    file.write_text(json.dumps(control))
    async with running([str(printer()), str(file)]) as program:
        yield program


def translated(message: str, encoded: bytes) -> dict[str, Any]:
    """What becomes of one resource: ``resource`` or ``error``, and ``warnings``."""
    command = [str(printer()), "--translate", message]
    done = subprocess.run(command, input=encoded, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def tables() -> list[dict[str, Any]]:
    """Every message that the client walks, with what it does with each field."""
    done = subprocess.run([str(printer()), "--schema"], capture_output=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
