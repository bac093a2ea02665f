"""The Node object: what this machine has, and how it is. Reads the machine; decides nothing."""

from __future__ import annotations

import os
import platform
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model import conditions, quantities
from cloudwright.model.objects import Object
from cloudwright.node.config import NodeConfig

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_RESERVED_MEMORY = 256 * 1024 * 1024
_MEMORY_MIN = 100 * 1024 * 1024
_DISK_MIN_SHARE = 0.10
_PIDS_MIN_SHARE = 0.05
VERSION = "v1.35.0+cloudwright"


def architecture() -> str:
    """This machine's architecture in Go's words."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def capacity(config: NodeConfig) -> dict[str, str]:
    """Processors, memory, disk and pods of this machine. Blocking."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    disk = shutil.disk_usage(_existing(config.paths.state)).total
    return {
        "cpu": str(len(os.sched_getaffinity(0))),
        "memory": f"{pages // 1024}Ki",
        "ephemeral-storage": f"{disk // 1024}Ki",
        "pods": str(config.max_pods),
    }


def allocatable(total: dict[str, str]) -> dict[str, str]:
    """What pods may ask for: all but a little memory for the platform itself."""
    memory = quantities.as_bytes(total["memory"])
    kept = min(_RESERVED_MEMORY, memory // 4)
    return {**total, "memory": f"{(memory - kept) // 1024}Ki"}


def node_object(config: NodeConfig) -> Object:
    """Metadata and spec of the Node."""
    labels = {
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
        **config.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.node_name, "labels": labels},
        "spec": {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]},
    }


def status(config: NodeConfig, old: Object, now: datetime) -> dict[str, Any]:
    """The Node's status. Blocking (reads ``/proc`` and ``/etc``)."""
    total = capacity(config)
    entries = list((old.get("status") or {}).get("conditions") or [])
    for kind, bad, reasons, texts in _pressures(config):
        entries = conditions.set_condition(
            entries, kind, "True" if bad else "False", reasons[bad], texts[bad], now
        )
    entries = conditions.set_condition(
        entries, "Ready", "True", "KubeletReady", "the node agent posts ready status", now
    )
    beat = rfc3339(now)
    return {
        "capacity": total,
        "allocatable": allocatable(total),
        "addresses": [
            {"type": "InternalIP", "address": config.node_ip},
            {"type": "Hostname", "address": config.node_name},
        ],
        "conditions": [{**entry, "lastHeartbeatTime": beat} for entry in entries],
        "nodeInfo": _info(),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
    }


def lease(config: NodeConfig, node_uid: str, now_micro: str) -> Object:
    """The heartbeat in ``kube-node-lease``."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": config.node_name, "uid": node_uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": config.node_name,
            "namespace": "kube-node-lease",
            "ownerReferences": [owner],
        },
        "spec": {
            "holderIdentity": config.node_name,
            "leaseDurationSeconds": config.lease_seconds,
            "renewTime": now_micro,
        },
    }


Pressure = tuple[str, bool, tuple[str, str], tuple[str, str]]


def _pressures(config: NodeConfig) -> list[Pressure]:
    disk = shutil.disk_usage(_existing(config.paths.state))
    memory = _meminfo("MemAvailable")
    used, limit = _processes()
    return [
        (
            "MemoryPressure",
            memory is not None and memory < _MEMORY_MIN,
            ("KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"),
            ("enough memory is available", f"only {(memory or 0) >> 20} MiB are available"),
        ),
        (
            "DiskPressure",
            disk.free < disk.total * _DISK_MIN_SHARE,
            ("KubeletHasNoDiskPressure", "KubeletHasDiskPressure"),
            (
                "enough disk is free",
                f"only {disk.free >> 20} MiB are free below {config.paths.state}",
            ),
        ),
        (
            "PIDPressure",
            limit > 0 and limit - used < limit * _PIDS_MIN_SHARE,
            ("KubeletHasSufficientPID", "KubeletHasInsufficientPID"),
            ("enough process ids are free", f"{used} of {limit} process ids are in use"),
        ),
    ]


def _info() -> dict[str, str]:
    return {
        "architecture": architecture(),
        "operatingSystem": "linux",
        "kernelVersion": platform.release(),
        "osImage": _os_image(),
        "containerRuntimeVersion": "crun://1",
        "kubeletVersion": VERSION,
        "kubeProxyVersion": "",
        "machineID": _read("/etc/machine-id"),
        "systemUUID": _read("/etc/machine-id"),
        "bootID": _read("/proc/sys/kernel/random/boot_id"),
    }


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _meminfo(key: str) -> int | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return None


def _processes() -> tuple[int, int]:
    load = _read("/proc/loadavg").split()
    used = int(load[3].split("/")[1]) if len(load) > 3 else 0
    limit = _read("/proc/sys/kernel/pid_max")
    return used, int(limit) if limit.isdigit() else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
