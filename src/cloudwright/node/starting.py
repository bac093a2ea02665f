"""Making what a pod stands on: sandbox, network, sidecar, volumes, containers.

Every function is idempotent, so that a retry or a new daemon may call it again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from anyio import to_thread

from cloudwright._base.files import make_private, write_atomic
from cloudwright.model.objects import Object, annotations_of, name_of, namespace_of, uid_of
from cloudwright.model.sandbox import Attachment, ContainerSpec, LogTarget, Mount, SandboxSpec
from cloudwright.node import claims, environment, etcfiles, projection, specs, tokens, volumes
from cloudwright.node.names import SIDECAR, log_directory, log_file, sidecar_id
from cloudwright.node.neighbours import Neighbours
from cloudwright.node.volumes import VolumePlan

EGRESS = "cloudwright.dev/egress"
ETC_FILES = ("resolv.conf", "hosts", "hostname")


async def sandbox(node: Neighbours, pod: Object) -> tuple[Attachment, Path]:
    """Network, sandbox, identity, sidecar process; returns also the sidecar's log.

    Raises ``CloudwrightError`` or ``OSError``; call again until it does not.
    """
    uid = uid_of(pod)
    egress = annotations_of(pod).get(EGRESS) == "true"
    place = await node.network.attach(uid, namespace_of(pod), name_of(pod), egress=egress)
    await node.runtime.ensure_sandbox(SandboxSpec(uid, etcfiles.hostname(pod), place.netns))
    process = await node.mesh.enroll(pod, place)
    target = process.log or _log(node, log_file(node.config.paths, pod, SIDECAR, 0))
    process = replace(process, log=target)
    await to_thread.run_sync(_make_parents, Path(target.path))
    await node.runtime.start_process(process)
    await to_thread.run_sync(_write_etc, node, pod, place.ip)
    return place, Path(target.path)


async def write_volumes(node: Neighbours, pod: Object) -> str:
    """Write every volume; returns the ConfigMap revisions now in them (``name@rv,…``).

    Raises:
        VolumeError: something is missing, refused or does not fit on the disk.
    """
    await node.objects.ready(pod)
    await claims.resolve(node, pod)
    await tokens.resolve(node, pod)
    plans = _plans(node, pod)
    root = node.pod_directory(uid_of(pod)) / "volumes"
    group = _group(pod)

    def write() -> None:
        make_private(node.pod_directory(uid_of(pod)))
        for plan in plans:
            projection.write(root, plan, group)

    await to_thread.run_sync(write)
    return volumes.applied(plans)


async def container_spec(
    node: Neighbours, pod: Object, container: Mapping[str, Any], attempt: int, *, target: str = ""
) -> tuple[ContainerSpec, str]:
    """What to ask the runtime for, and the image's digest. ``target``: the id of the container
    whose processes it sees.

    Raises:
        NotFoundError: the image is missing.
        NodeError: the pod's words, or objects they name, are wrong.
    """
    image = await node.runtime.image(str(container["image"]))
    await node.objects.ready(pod)
    await tokens.resolve(node, pod)
    given = environment.of_api(node.config.api_address)
    env = environment.resolve(container, pod, node.lookup, node.machine, given)
    mounts = await to_thread.run_sync(_mounts, node, pod, container, env)
    log = _log(node, log_file(node.config.paths, pod, str(container["name"]), attempt))
    await to_thread.run_sync(_make_parents, Path(log.path))
    spec = specs.container_spec(
        pod, container, attempt, image=image, env=env, mounts=mounts, log=log, target=target
    )
    return spec, image.digest


async def tear_down(node: Neighbours, uid: str, pod: Object | None, *, keep_logs: bool) -> None:
    """Remove everything of a pod from this machine; the sidecar goes first of all that is left.

    Raises ``CloudwrightError``; call again until it does not.
    """
    await node.runtime.stop_process(sidecar_id(uid))
    await node.runtime.remove_sandbox(uid)
    await node.network.detach(uid)
    await node.mesh.release(uid)
    directories = [node.pod_directory(uid)]
    if pod is not None and not keep_logs:
        directories.append(log_directory(node.config.paths, pod))
    await to_thread.run_sync(remove_directories, directories)


def _plans(node: Neighbours, pod: Object) -> list[VolumePlan]:
    return volumes.plan(
        pod,
        node.lookup,
        node.machine,
        allow_host_path=node.config.allow_host_path,
        claims=node.claims,
        tokens={key: token.text for key, token in node.tokens.items() if key[0] == uid_of(pod)},
    )


def _mounts(
    node: Neighbours, pod: Object, container: Mapping[str, Any], env: Mapping[str, str]
) -> list[Mount]:
    directory = node.pod_directory(uid_of(pod))
    plans = {plan.name: plan for plan in _plans(node, pod)}
    wanted = volumes.mounts(pod, container, env)
    taken = {mount.destination for mount in wanted}
    result = [
        Mount(str(directory / "etc" / name), f"/etc/{name}", read_only=name != "hosts")
        for name in ETC_FILES
        if f"/etc/{name}" not in taken
    ]
    for mount in wanted:
        plan = plans[mount.volume]
        source = volumes.source_of(directory / "volumes", plan, replace(mount, sub_path=""))
        if mount.sub_path:
            source = projection.sub_path(source, plan, mount.sub_path, _group(pod))
        read_only = mount.read_only or plan.read_only
        result.append(Mount(str(source), mount.destination, read_only))
    return result


def _group(pod: Object) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def _log(node: Neighbours, path: Path) -> LogTarget:
    return LogTarget(str(path), node.config.log_max_bytes, node.config.log_max_files)


def _make_parents(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)


def _write_etc(node: Neighbours, pod: Object, ip: str) -> None:
    directory = make_private(node.pod_directory(uid_of(pod))) / "etc"
    directory.mkdir(exist_ok=True)
    config = node.config
    texts = {
        "resolv.conf": etcfiles.resolv_conf(pod, config.dns_address, config.cluster_domain),
        "hosts": etcfiles.hosts(pod, ip, config.cluster_domain),
        "hostname": etcfiles.hostname(pod) + "\n",
    }
    for name, text in texts.items():
        path = directory / name
        # A bind mount holds the inode: an equal file stays, so that running containers keep it.
        if not path.exists() or path.read_text() != text:
            write_atomic(path, text.encode(), mode=0o644)


def remove_directories(directories: list[Path]) -> None:
    """Remove directories with all that is in them; missing ones are fine. Blocking."""
    for directory in directories:
        if directory.exists():
            shutil.rmtree(directory)
