"""Starting and ending the platform of one machine from the outside (``cloudwright
up|down|status``).
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from cloudwright._base.errors import CloudwrightError, TimedOutError
from cloudwright._base.files import make_passage, make_private
from cloudwright._base.paths import Paths
from cloudwright.platform.config import PlatformConfig
from cloudwright.platform.errors import NotRoot, StartFailed
from cloudwright.platform.processes import alive, command_of, end

READY_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DaemonState:
    """What is known of the daemon from the outside."""

    running: bool
    pid: int | None = None
    since: float | None = None
    """Seconds since the epoch."""


def need_root() -> None:
    """Raise NotRoot unless this process may make containers and networks."""
    if os.geteuid() != 0:
        raise NotRoot("the platform needs root", hint="run `sudo cloudwright …`")


def daemon_state(paths: Paths) -> DaemonState:
    """Whether the daemon of this state directory runs, by its pid file and its command line."""
    try:
        stat = paths.daemon_pid.stat()
        pid = int(paths.daemon_pid.read_text())
    except (OSError, ValueError):
        return DaemonState(False)
    if alive(pid) and "cloudwright.platform" in command_of(pid):
        return DaemonState(True, pid, stat.st_mtime)
    return DaemonState(False)


def start(
    paths: Paths, config: PlatformConfig, *, progress: Callable[[str], None] = lambda _: None
) -> DaemonState:
    """Start the daemon in the background and return once it serves; a running one is left alone.

    ``progress`` gets a line for each step. Raises NotRoot, StartFailed (with the daemon's own
    words), TimedOutError.
    """
    need_root()
    state = daemon_state(paths)
    if state.running:
        return state
    make_passage(paths.state)
    make_passage(paths.run)
    config.save(paths.state / "config.toml")
    make_private(paths.daemon_log.parent)
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "cloudwright.platform", "--state-dir", str(paths.state)]
    if paths.run != paths.state / "run":
        command.pop()
        command.pop()
    with paths.daemon_log.open("ab") as log:
        process = subprocess.Popen(  # detached: it outlives us on purpose
            [*command, "--ready-fd", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            start_new_session=True,
            cwd="/",
        )
    os.close(writer)
    try:
        _await_ready(reader, process, paths.daemon_log, progress)
    finally:
        os.close(reader)
    return daemon_state(paths)


def _await_ready(
    reader: int,
    process: subprocess.Popen[bytes],
    log: Path,
    progress: Callable[[str], None],
) -> None:
    """Read the daemon's progress lines until ``ready``; its end or an error line ends the wait."""
    rest = b""
    while True:
        if not select.select([reader], [], [], READY_SECONDS)[0]:
            end(process.pid)
            raise TimedOutError(
                f"the platform was not ready after {READY_SECONDS:.0f} s", hint=f"read {log}"
            )
        data = os.read(reader, 65536)
        if not data:
            process.wait()
            raise StartFailed(
                f"the platform ended while starting (exit code {process.returncode})",
                hint=f"read {log}",
            )
        rest += data
        while b"\n" in rest:
            line, _, rest = rest.partition(b"\n")
            message = json.loads(line)
            if "error" in message:
                raise _carried(message["error"])
            if message.get("ready"):
                return
            progress(str(message.get("step", "")))


def _carried(fields: dict[str, str | None]) -> CloudwrightError:
    return StartFailed(
        str(fields.get("message")),
        code=fields.get("code"),
        cause=fields.get("cause"),
        hint=fields.get("hint"),
    )


def stop_daemon(paths: Paths) -> bool:
    """End the daemon only; containers and traffic go on. Returns whether one ran."""
    state = daemon_state(paths)
    if not state.running or state.pid is None:
        return False
    end(state.pid, grace_seconds=STOP_SECONDS)
    paths.daemon_pid.unlink(missing_ok=True)
    return True


def describe(state: DaemonState) -> dict[str, object]:
    """``state`` as JSON."""
    return asdict(state)
