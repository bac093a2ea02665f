"""What a crash or a deletion while the daemon was down has left: found by owner, then removed."""

from __future__ import annotations

from pathlib import Path

from anyio import to_thread

from cloudwright.node import starting
from cloudwright.node.names import SIDECAR
from cloudwright.node.neighbours import Neighbours

GATEWAY = "gateway"


async def find(node: Neighbours, alive: set[str]) -> set[str]:
    """Uids of pods of which something is left here, though they are not in ``alive``.

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
    uids |= await to_thread.run_sync(_directories, paths.pods)
    uids |= await to_thread.run_sync(_directories, paths.proxies)
    return {uid for uid in uids - alive if uid and uid != GATEWAY}


async def remove(node: Neighbours, uid: str) -> None:
    """Remove everything of one. Raises ``CloudwrightError``; call again until it does not."""
    await starting.tear_down(node, uid, None, keep_logs=False)


async def remove_logs(node: Neighbours, alive: set[str]) -> None:
    """Remove logs (``<namespace>_<pod>_<uid>``) of pods that are gone."""

    def work() -> None:
        for name in _directories(node.config.paths.pod_logs):
            if name.rpartition("_")[2] not in alive:
                starting.remove_directories([node.config.paths.pod_logs / name])

    await to_thread.run_sync(work)


def _directories(root: Path) -> set[str]:
    if not root.is_dir():
        return set()
    return {entry.name for entry in root.iterdir() if entry.is_dir()}
