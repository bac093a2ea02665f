"""Everything that the worker of one pod may talk to, in one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudwright._base.clock import Clock
from cloudwright.client.client import Client
from cloudwright.client.recorder import Recorder
from cloudwright.model.objects import Object
from cloudwright.node.config import NodeConfig
from cloudwright.node.engine import Settings
from cloudwright.node.environment import Lookup
from cloudwright.node.objects import PodObjects
from cloudwright.node.ports import Hooks, Mesh, PodNetwork, Runtime
from cloudwright.node.restarts import Backoff
from cloudwright.node.vitals import Vitals

if TYPE_CHECKING:
    from cloudwright.node.tokens import Token
    from cloudwright.node.volumes import TokenKey


def _nothing(_uid: str) -> Mapping[str, Decimal]:
    return {}


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Ports, API, settings and clock of one node."""

    client: Client
    recorder: Recorder
    runtime: Runtime
    network: PodNetwork
    mesh: Mesh
    hooks: Hooks
    config: NodeConfig
    clock: Clock
    objects: PodObjects
    vitals: Vitals
    machine: Mapping[str, Any] = field(default_factory=dict)
    """Allocatable resources of the node."""
    claims: dict[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)
    """Directory and whether it is read-only, by namespace and name of a bound claim."""
    tokens: dict[TokenKey, Token] = field(default_factory=dict)
    """Tokens of service accounts for volumes (``node.tokens`` fills and renews them)."""
    taken: Callable[[str], Mapping[str, Decimal]] = _nothing
    """What the pods of this node other than the one with this uid ask for together."""

    @property
    def lookup(self) -> Lookup:
        """ConfigMaps and Secrets that are at hand."""
        return self.objects.lookup

    @property
    def settings(self) -> Settings:
        """The engine's settings."""
        c = self.config
        return Settings(
            Backoff(c.backoff_base, c.backoff_max, c.backoff_reset),
            Backoff(c.retry_base, c.retry_max),
            c.sidecar_wait,
        )

    def now(self) -> datetime:
        """The time of day."""
        return self.clock.now()

    def pod_directory(self, uid: str) -> Path:
        """What this room keeps of a pod: volumes and files of ``/etc``."""
        return self.config.paths.pods / uid

    async def warn(self, pod: Object, reason: str, message: str) -> None:
        """A Warning event about a pod."""
        await self.recorder.warning(pod, reason, message)

    async def tell(self, pod: Object, reason: str, message: str) -> None:
        """A Normal event about a pod."""
        await self.recorder.normal(pod, reason, message)
