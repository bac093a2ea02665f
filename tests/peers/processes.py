"""Programs for tests: started in a group of their own, stopped by pid, dead with their parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
PATIENCE = 120.0
"""Seconds that a program may take to become ready on a loaded machine."""


class NotStarted(Exception):
    """A program ended or hung before it was ready; the text has the end of its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now; another may take it before it is used."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _die_with_parent() -> None:
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A running program and the file that its output goes to."""

    def __init__(
        self,
        words: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.words = [str(word) for word in words]
        self.log = log
        self.started = time.monotonic()
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                self.words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def tail(self, lines: int = 20) -> str:
        """The end of its output."""
        text = self.log.read_text(errors="replace").splitlines()
        return f"$ {' '.join(self.words)}\n" + "\n".join(text[-lines:])

    def wait_until(self, ready: Callable[[], bool], seconds: float = PATIENCE) -> float:
        """Ask ``ready`` until it says yes; the seconds since the start.

        Raises:
            NotStarted: it ended, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise NotStarted(f"exit code {self.process.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotStarted(f"not ready after {seconds:.0f} s\n{self.tail()}")
            threading.Event().wait(0.02)
        return time.monotonic() - self.started

    def stop(self, seconds: float = 20) -> None:
        """End it: SIGTERM, then SIGKILL."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(program: Program) -> Iterator[Program]:
    """Stop the program at the end."""
    try:
        yield program
    finally:
        program.stop()


def port_was_taken(program: Program) -> bool:
    """Whether its output says that an address was in use."""
    return "address already in use" in program.log.read_text(errors="replace")


def memory(pid: int) -> dict[str, int]:
    """``Rss``, ``Pss`` and ``Anonymous`` of a process, in bytes."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss", "Anonymous"):
            found[name] = int(rest.split()[0]) * 1024
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def python() -> str:
    """The interpreter of the project."""
    return sys.executable


def start(make: Callable[[], tuple[Program, Callable[[], bool]]], attempts: int = 5) -> Program:
    """A ready program. ``make`` starts it on ports it picks and says what asks for its readiness;
    when another took a port meanwhile, it is made again.

    Raises:
        NotStarted: it did not become ready.
    """
    for left in reversed(range(attempts)):
        program, ready = make()
        try:
            program.wait_until(ready)
        except BaseException as error:
            program.stop()
            if isinstance(error, NotStarted) and left and port_was_taken(program):
                continue
            raise
        return program
    raise AssertionError("no attempts")
