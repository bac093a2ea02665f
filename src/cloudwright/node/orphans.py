"""What a crash or a deletion while the daemon was down has left: found by owner, then removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anyio import to_thread

from cloudwright.node import starting
from cloudwright.node.names import SIDECAR
from cloudwright.node.neighbours import Neighbours

GATEWAY = "gateway"


async def find(node: Neighbours) -> set[str]:
    """Uids of all pods of which something is on this machine, alive or not.

    Raises ``CloudwrightError`` when a neighbour does not answer.
    """
    uids = set(await node.runtime.sandboxes())
    uids |= {status.sandbox for status in await node.runtime.containers()}
    uids |= {place.pod_uid for place in await node.network.attachments()}
    prefix = f"{SIDECAR}-"
    uids |= {
        process.id.removeprefix(prefix)
        for process in await node.runtime.processes()
        if process.id.startswith(prefix)
    }
    paths = node.config.paths
    for root in (paths.pods, paths.proxies):
        uids |= await to_thread.run_sync(_directories, root)
    return {uid for uid in uids if uid and uid != GATEWAY}


async def remove_dead(node: Neighbours, alive: Callable[[], set[str]]) -> list[str]:
    """Remove everything of pods that are not alive; returns their uids.

    ``alive`` is asked after something was found and again before each removal, never before: a
    pod that starts meanwhile must not be taken for a dead one. Raises ``CloudwrightError`` or
    ``OSError``; call again until it does not.
    """
    removed = []
    for uid in sorted(await find(node)):
        if uid not in alive():
            await starting.tear_down(node, uid, None, keep_logs=False)
            removed.append(uid)
    root = node.config.paths.pod_logs
    for name in sorted(await to_thread.run_sync(_directories, root)):
        if name.rpartition("_")[2] not in alive():
            await to_thread.run_sync(starting.remove_directories, [root / name])
    return removed


def _directories(root: Path) -> set[str]:
    if not root.is_dir():
        return set()
    return {entry.name for entry in root.iterdir() if entry.is_dir()}
