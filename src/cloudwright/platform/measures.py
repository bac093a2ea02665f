"""What the operator asks of its neighbours on one machine: the proxies' pages, the use of CPU, and
running a file in a pod (``operator.ports``).
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from cloudwright._base.errors import TimedOutError
from cloudwright.model.streams import PodStreams
from cloudwright.node.agent import NodeAgent
from cloudwright.operator import ports
from cloudwright.operator.meters import Account, PageMeter
from cloudwright.platform.wiring import Parts

_TAIL = 4096


def meter(parts: Parts) -> PageMeter:
    """Measures by the proxies' counters and the node's accounts."""
    return PageMeter(parts.mesh.metrics, lambda: account(parts.node))


async def account(node: NodeAgent) -> Account:
    """CPU seconds and memory of each pod's own containers; the sidecar is not the pod's load."""
    total: dict[tuple[str, str], tuple[float, float]] = {}
    for entry in await node.usage():
        if entry.container != "sidecar":
            key = (entry.namespace, entry.pod)
            seconds, memory = total.get(key, (0.0, 0.0))
            used = entry.usage
            total[key] = (seconds + used.cpu_seconds, memory + used.memory_bytes)
    return total


class PodCommands:
    """``operator.ports.PodCommands`` over the node's streams."""

    def __init__(self, streams: PodStreams) -> None:
        self._streams = streams

    async def run(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        stdin: bytes,
        *,
        timeout: float,
    ) -> tuple[int, str]:
        """Exit code and the last 4 KiB of output; one that does not end in time is ended."""
        session = await self._streams.exec(
            namespace, pod, container=container, argv=tuple(command), tty=False, stdin=True
        )
        tail = bytearray()
        try:
            with anyio.fail_after(timeout):
                await session.write(stdin)
                await session.close_stdin()
                async for _, data in session.output():
                    tail += data
                    del tail[:-_TAIL]
                code = await session.wait()
        except TimeoutError:
            where = f"{' '.join(command)} in pod {pod}"
            raise TimedOutError(f"{where} did not end within {timeout:g} s") from None
        finally:
            with anyio.CancelScope(shield=True):
                await session.close()
        return code, tail.decode(errors="replace")


def _fits(parts: Parts) -> tuple[ports.Meter, ports.PodCommands, ports.Hooks]:
    """For the type checker: each is what the operator asks for."""
    return meter(parts), PodCommands(parts.streams), parts.hooks
