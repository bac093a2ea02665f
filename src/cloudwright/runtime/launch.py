"""Find the instance's supervisor process, start it, end it."""

from __future__ import annotations

import os
from typing import Any

import anyio

from cloudwright._base.files import make_passage
from cloudwright._base.paths import native_binary
from cloudwright._base.watching import watching
from cloudwright.runtime.config import RuntimeConfig
from cloudwright.runtime.errors import RuntimeFailedError, SupervisorLostError
from cloudwright.runtime.supervisor import SupervisorClient

START_LIMIT = 30.0
_LOCK_SECONDS = 0.25
ANOTHER_RUNS = 7
"""Exit code of a supervisor that found another one for its run directory."""


async def ensure_supervisor(config: RuntimeConfig) -> dict[str, Any]:
    """Its ``hello``; a new one is started in the background when none listens.

    Raises:
        RuntimeFailedError: it does not start; the message says why.
    """
    client = SupervisorClient(config.socket)
    make_passage(config.run)
    with anyio.move_on_after(START_LIMIT), watching(config.run) as directory:
        while True:
            try:
                return await client.call("hello", timeout=5.0)
            except SupervisorLostError:
                # Another one may hold the lock and not listen yet, as it cleans up first (then its
                # socket appears), or not any more, as it was killed a moment ago (then its lock is
                # free soon, which nobody tells): so ask and start by turns.
                if not await start_supervisor(config):
                    with anyio.move_on_after(_LOCK_SECONDS):
                        await directory.changed()
    raise RuntimeFailedError(
        f"no supervisor listened on {config.socket} within {START_LIMIT:g} s",
        hint=f"its log is {config.log}",
    )


def command(config: RuntimeConfig) -> list[str]:
    """The words that start it in the background."""
    native = config.native or native_binary()
    return [
        str(native),
        "supervisor",
        "--run-dir",
        str(config.run),
        "--instance",
        config.instance,
        "--cgroup-root",
        config.cgroup_root,
        "--crun",
        config.crun,
        "--create-timeout-ms",
        str(config.create_timeout_ms),
        "--log-file",
        str(config.log),
        "--detach",
    ]


async def start_supervisor(config: RuntimeConfig) -> bool:
    """Start it; returns when it listens. False when another one runs already.

    Raises:
        RuntimeFailedError: it does not start; the message says why.
    """
    make_passage(config.run)  # the proxies pass through to their own directories
    config.log.parent.mkdir(parents=True, exist_ok=True)
    done = await anyio.run_process(command(config), check=False)
    if done.returncode in (0, ANOTHER_RUNS):
        return done.returncode == 0
    text = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
    message, _, rest = text.partition("\n")
    raise RuntimeFailedError(
        f"the supervisor does not start: {message or f'exit code {done.returncode}'}",
        hint=rest.removeprefix("hint: ") or f"its log is {config.log}",
    )


async def stop_supervisor(config: RuntimeConfig, *, grace_seconds: float = 2.0) -> bool:
    """End every container and process and then the supervisor; False when none ran.

    Returns once its process is gone. One that crashed is started again first: cleaning up after an
    earlier life is what a supervisor begins with.
    """
    client = SupervisorClient(config.socket)
    try:
        hello = await client.call("hello", timeout=5.0)
    except SupervisorLostError:
        if not config.socket.exists():
            return False
        hello = await ensure_supervisor(config)
    try:
        handle = os.pidfd_open(hello["pid"])
    except ProcessLookupError:
        return False
    try:
        limit = 60.0 + grace_seconds
        await client.call("shutdown", timeout=limit, grace_ms=int(grace_seconds * 1000))
        with anyio.move_on_after(10.0):
            await anyio.wait_readable(handle)
    finally:
        os.close(handle)
    return True
