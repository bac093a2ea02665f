"""The node agent's settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloudwright._base.paths import Paths


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Settings of one node agent. Times are seconds."""

    paths: Paths
    node_name: str
    node_ip: str = "127.0.0.1"
    pod_cidr: str = "10.244.0.0/24"
    dns_address: str = "10.96.0.10"
    cluster_domain: str = "cluster.local"
    api_address: tuple[str, int] | None = None
    """Where containers find the Kubernetes API (``KUBERNETES_SERVICE_HOST`` and ``…_PORT``)."""
    max_pods: int = 250
    labels: dict[str, str] = field(default_factory=dict)
    """Further labels of the Node."""
    allow_host_path: bool = False
    """Whether pods may mount directories of the host; refused by default."""
    backoff_base: float = 10.0
    """The second restart of a container (and each retry of an image) waits this long, then twice
    as long, …"""
    backoff_max: float = 300.0
    backoff_reset: float = 600.0
    """A container that ran this long starts counting anew."""
    retry_base: float = 0.5
    """First pause after a neighbour failed (network, sandbox, mesh, API), doubled each time."""
    retry_max: float = 30.0
    sidecar_wait: float = 10.0
    """How long containers wait for their sidecar to listen before they start without it."""
    drain_timeout: float = 10.0
    """How long proxies get to stop sending to a pod that ends."""
    lease_seconds: int = 40
    lease_period: float = 10.0
    status_period: float = 60.0
    """How often the Node's conditions (memory, disk, processes) are looked at."""
    log_max_bytes: int = 10 * 1024 * 1024
    log_max_files: int = 5
