"""What pods and the machine use, for ``metrics.k8s.io``: the node's accounts and ``/proc``."""

from __future__ import annotations

import os
from pathlib import Path

import anyio

from cloudwright.apiserver import resource_metrics
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.resource_metrics import Usage, Used
from cloudwright.node.agent import NodeAgent

_STAT, _MEMORY = Path("/proc/stat"), Path("/proc/meminfo")
_WAITING = (3, 4)
"""Of ``user nice system idle iowait irq softirq steal``: idle and iowait."""


async def serve(core: ApiCore, node: NodeAgent, name: str) -> None:
    """Serve ``metrics.k8s.io`` until cancelled; ``name`` is the node's."""
    usage: Usage = NodeUsage(node, name)
    await resource_metrics.attach(core, usage).run()


class NodeUsage:
    """``resource_metrics.Usage`` of one machine."""

    def __init__(self, node: NodeAgent, name: str) -> None:
        self._node = node
        self._name = name

    async def used(self) -> list[Used]:
        """Every container that a pod declares (a sidecar is not the pod's load), and the node."""
        found = [
            Used(
                one.namespace,
                one.pod,
                one.container,
                one.usage.cpu_seconds,
                one.usage.memory_bytes,
            )
            for one in await self._node.usage()
            if one.container != "sidecar"
        ]
        cpu, memory = await anyio.to_thread.run_sync(machine)
        return [*found, Used("", "", self._name, cpu, memory)]


def machine() -> tuple[float, int]:
    """CPU seconds since boot, and bytes of memory that are in use and cannot be had back."""
    words = _STAT.read_text().partition("\n")[0].split()[1:9]
    ticks = sum(int(word) for at, word in enumerate(words) if at not in _WAITING)
    lines = (line.split() for line in _MEMORY.read_text().splitlines())
    kib = {one[0].rstrip(":"): int(one[1]) for one in lines if len(one) > 1}
    return ticks / os.sysconf("SC_CLK_TCK"), (kib["MemTotal"] - kib["MemAvailable"]) * 1024
