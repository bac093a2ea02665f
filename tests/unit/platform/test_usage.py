"""What the machine uses, and what of it is a pod's."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cloudwright.model.sandbox import Usage
from cloudwright.node.agent import ContainerUsage
from cloudwright.platform import usage

pytestmark = pytest.mark.anyio


class Node:
    """A node with one pod."""

    async def usage(self) -> list[ContainerUsage]:
        return [
            ContainerUsage("default", "web", "app", Usage(1.5, 2048)),
            ContainerUsage("default", "web", "sidecar", Usage(9.0, 9000)),
        ]


def test_the_machine_counts_upwards() -> None:
    cpu, memory = usage.machine()
    assert cpu > 0
    assert memory > 1 << 20
    assert usage.machine()[0] >= cpu


async def test_a_sidecar_is_not_the_pods_load() -> None:
    found = await usage.NodeUsage(cast("Any", Node()), "n").used()
    assert [(one.pod, one.name) for one in found] == [("web", "app"), ("", "n")]
    assert (found[0].cpu_seconds, found[0].memory_bytes) == (1.5, 2048)
