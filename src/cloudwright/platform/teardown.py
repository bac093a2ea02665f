"""Ending the platform whole: daemon, containers, native processes, network, cgroups; then, on
request, its state.

Works also after a crash and without a daemon: everything is found by its names (``inventory``).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import anyio

from cloudwright._base.errors import CloudwrightError
from cloudwright._base.paths import Paths
from cloudwright.network.driver import BridgeNetwork
from cloudwright.platform import inventory, lifecycle
from cloudwright.platform.config import load
from cloudwright.platform.processes import end
from cloudwright.platform.wiring import network_config
from cloudwright.runtime.config import RuntimeConfig
from cloudwright.runtime.launch import stop_supervisor

Progress = Callable[[str], None]


def down(paths: Paths, *, purge: bool, progress: Progress = lambda _: None) -> dict[str, list[str]]:
    """End everything of the instance; returns what is left by kind (empty: nothing).

    Raises CloudwrightError when a part cannot be ended.
    """
    progress("ending the daemon")
    lifecycle.stop_daemon(paths)
    anyio.run(_end_parts, paths, progress)
    for process in inventory.take(paths).processes:
        end(int(process.split()[0]), grace_seconds=2.0)
    for group in inventory.cgroup_roots(paths):
        _remove_cgroup(group)
    shutil.rmtree(paths.run, ignore_errors=True)
    if purge:
        progress("removing the state")
        shutil.rmtree(paths.state, ignore_errors=True)
        if paths.user.exists():
            paths.kubeconfig.unlink(missing_ok=True)
    return {name: found for name, found in asdict(inventory.take(paths)).items() if found}


async def _end_parts(paths: Paths, progress: Progress) -> None:
    progress("ending containers and proxies")
    await stop_supervisor(RuntimeConfig.of(paths), grace_seconds=5.0)
    found = inventory.take(paths)
    if not (found.namespaces or found.links or found.tables):
        return
    progress("removing the pod network")
    network = BridgeNetwork(network_config(paths, load(paths.state / "config.toml", {})))
    try:
        await network.start()
        await network.stop(remove=True)
    except CloudwrightError as error:
        raise CloudwrightError(
            "the pod network cannot be removed", cause=error.message, hint=error.hint
        ) from error


def _remove_cgroup(group: Path) -> None:
    """Remove a cgroup and those below it, deepest first; one with processes in it stays."""
    inside = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
    for folder in [*inside, group]:
        with suppress(OSError):  # what cannot be removed is found again and reported by down()
            folder.rmdir()
