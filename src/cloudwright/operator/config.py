"""What can be set about the operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cloudwright.operator.queue import Backoff


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the controllers; the defaults fit one machine."""

    backoff: Backoff = field(default_factory=Backoff)
    concurrency: int = 4
    """Objects of one kind that are worked on at once."""
    hook_timeout: float = 10.0
    """Seconds that a hook may take."""
    lease_grace: float = 40.0
    """Seconds without a renewed Lease after which a node counts as silent."""
    lease_namespace: str = "kube-node-lease"
    namespace: str = ""
    """Look at this namespace only; empty: at all of them."""
    routing: Literal["mesh", "gateway-api", "none", "auto"] = "mesh"
    """Who gives requests their share: Cloudwright's mesh, a Gateway, nobody; ``auto`` is a Gateway
    where the API has HTTPRoutes.
    """
    gateway: tuple[str, str] = ("", "gateway")
    """``(namespace, name)`` of the Gateway that HTTPRoutes attach to; an empty namespace is the
    route's own.
    """
    server_side_apply: bool = False
    """Write children by server-side apply, so that other managers keep their fields; fields that
    somebody else owns are told as a condition, not taken.
    """
    nodes_confirm: bool = True
    """Whether nodes write into pods which configuration they have (Cloudwright's do)."""
    scale_interval: float = 15.0
    """Seconds between two looks at the load of what scales by itself."""
    volume_directory: str = ""
    """Where nodes keep volumes of provisioner ``cloudwright.dev/local``; empty: none are made."""
    ingress_address: str = ""
    """Address of the gateway, for the status of Ingresses; empty: it is not told."""
    dry_run: bool = False
    """Decide and report, but write nothing."""
