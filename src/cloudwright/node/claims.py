"""Claims of a pod: the PersistentVolumes behind them, as directories of this machine.

A pod waits until its claim is bound. Volumes of provisioner ``cloudwright.dev/local`` lie below
the state directory; other ``local`` and ``hostPath`` volumes need host paths to be allowed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError, NotFoundError
from cloudwright.client.informer import Callbacks, Informer
from cloudwright.model.local_volumes import DATA, PROVISIONED, PROVISIONER
from cloudwright.model.objects import (
    Object,
    annotations_of,
    deleting,
    finalizers_of,
    name_of,
    namespace_of,
)
from cloudwright.model.resources import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from cloudwright.node.errors import VolumeError
from cloudwright.node.neighbours import Neighbours

_log = logs.get("node")
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


def directory(node: Neighbours) -> Path:
    """Where provisioned volumes lie."""
    return node.config.paths.state / "volumes"


async def resolve(node: Neighbours, pod: Object) -> None:
    """Look up the claims and volumes that the pod mounts, for ``Neighbours.claims``.

    Raises:
        VolumeError: a claim is missing, not bound, or its volume cannot be mounted here.
    """
    for entry in pod["spec"].get("volumes") or ():
        name = claim_name(pod, entry)
        if name:
            path, read_only = await _path(node, pod, str(entry["name"]), name)
            asked = (entry.get("persistentVolumeClaim") or {}).get("readOnly")
            node.claims[(namespace_of(pod), name)] = (str(path), read_only or bool(asked))


def claim_name(pod: Object, entry: Mapping[str, Any]) -> str:
    """The claim that a volume of the pod stands for; empty when it is none."""
    if entry.get("persistentVolumeClaim") is not None:
        return str(entry["persistentVolumeClaim"]["claimName"])
    if entry.get("ephemeral") is not None:
        return f"{name_of(pod)}-{entry['name']}"
    return ""


async def _path(node: Neighbours, pod: Object, volume: str, name: str) -> tuple[Path, bool]:
    where = f'volume "{volume}"'
    try:
        claim = await node.client.get(PERSISTENT_VOLUME_CLAIM, name, namespace_of(pod))
    except NotFoundError as error:
        raise VolumeError(
            f'{where}: persistentvolumeclaim "{name}" not found',
            hint=f"create it in {namespace_of(pod)}",
        ) from error
    if deleting(claim):
        raise VolumeError(f'{where}: persistentvolumeclaim "{name}" is being deleted')
    if (claim.get("status") or {}).get("phase") != "Bound":
        raise VolumeError(
            f'{where}: persistentvolumeclaim "{name}" is not bound yet',
            hint=f"kubectl describe pvc {name} -n {namespace_of(pod)} says what it waits for",
        )
    bound = await node.client.get(PERSISTENT_VOLUME, str(claim["spec"]["volumeName"]))
    read_only = (claim["spec"].get("accessModes") or ()) == ["ReadOnlyMany"]
    return await to_thread.run_sync(partial(_prepared, node, bound, where)), read_only


def _prepared(node: Neighbours, volume: Object, where: str) -> Path:
    """The directory of a volume; a provisioned one is made when it is first mounted."""
    spec = volume["spec"]
    source = spec.get("local") or spec.get("hostPath")
    if source is None:
        raise VolumeError(
            f"{where}: PersistentVolume {name_of(volume)} is neither local nor a host path",
            hint="volumes of CSI drivers cannot be mounted on this node",
        )
    path = Path(str(source["path"]))
    if ours(node, volume):
        directory(node).mkdir(mode=0o711, parents=True, exist_ok=True)
        if not path.exists():
            path.mkdir(mode=0o777)
            path.chmod(0o777)  # whatever user the container runs as: only pods get here
        return path
    if not node.config.allow_host_path:
        raise VolumeError(
            f"{where}: PersistentVolume {name_of(volume)} lies at {path} on the host, "
            "and host paths are not allowed on this node",
            hint="use a storage class of provisioner cloudwright.dev/local",
        )
    return path


def ours(node: Neighbours, volume: Object) -> bool:
    """Whether the volume was provisioned as a directory of this node."""
    if annotations_of(volume).get(PROVISIONED) != PROVISIONER:
        return False
    path = Path(str((volume["spec"].get("local") or {}).get("path") or "/"))
    return path.parent == directory(node) and path.name == name_of(volume) and _here(node, volume)


def _here(node: Neighbours, volume: Object) -> bool:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for one in term.get("matchExpressions") or ():
            if one.get("key") == "kubernetes.io/hostname":
                return node.config.node_name in (one.get("values") or ())
    return False


async def clean_up(node: Neighbours) -> None:
    """Remove the data of provisioned volumes that are deleted; runs until cancelled."""
    informer = Informer(node.client, PERSISTENT_VOLUME)
    sender, receiver = anyio.create_memory_object_stream[Object](4096)

    def look(volume: Object) -> None:
        if deleting(volume) and finalizers_of(volume) == [DATA] and ours(node, volume):
            sender.send_nowait(volume)

    informer.add_handler(Callbacks(look))
    async with sender, receiver, anyio.create_task_group() as tasks:
        tasks.start_soon(informer.run)
        async for volume in receiver:
            tasks.start_soon(_remove, node, volume)


async def _remove(node: Neighbours, volume: Object) -> None:
    pause = _FIRST_PAUSE
    path = directory(node) / name_of(volume)
    while True:
        try:
            if await to_thread.run_sync(path.exists):
                await to_thread.run_sync(shutil.rmtree, path)
            body: Object = {"metadata": {"finalizers": []}}
            await node.client.patch(PERSISTENT_VOLUME, name_of(volume), body)
            _log.info("removed the data of volume %s", name_of(volume))
        except NotFoundError:
            return
        except (CloudwrightError, OSError) as error:
            _log.warning("volume %s cannot be removed yet: %s", name_of(volume), error)
            await anyio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        else:
            return
