"""Everything that can be set about the API server's core and its store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """How the embedded store keeps its file and history."""

    path: Path
    synchronous: str = "FULL"
    """``FULL``: an acknowledged write survives a power loss. ``NORMAL`` may lose the last ones
    then (not on a crash of the process)."""
    history_seconds: float = 300.0
    """Superseded revisions older than this are compacted."""
    history_revisions: int = 20_000
    """At most about this many revisions are kept for watches and consistent paging."""
    history_share: float = 0.4
    """Superseded values may take this share of what the live ones take …"""
    history_bytes_min: int = 256 * 1024
    """… but always so much …"""
    history_slack_bytes: int = 4 * 1024 * 1024
    """… and so much more for some seconds, while many writes come."""
    compact_every_seconds: float = 10.0
    check_every_seconds: float = 6 * 3600.0
    """How often every page, row and checksum of the file is looked at while it is in use."""
    batch_writes: int = 128
    """Writes that may share one commit."""
    pending_writes_max: int = 10_000
    """Writes that may wait for the disk; more are refused with 429."""
    ring_events: int = 4096
    ring_bytes: int = 8 * 1024 * 1024
    """Newest events kept in memory, for watches that resume."""
    watch_queue: int = 2048
    """Events that may wait for one slow watcher before it is ended with 410."""
    cache_kib: int = 4096
    """Pages that the writer keeps in memory; readers keep a quarter of it each."""


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """How the API behaves."""

    service_cidr: str = "10.96.0.0/16"
    reserved_ips: tuple[str, ...] = ("10.96.0.1", "10.96.0.10")
    """Addresses no Service gets by itself: the API's own and the DNS resolver's."""
    service_accounts: bool = False
    """Whether each pod must have a service account and gets its token: where a controller makes
    the account ``default`` (kube-apiserver's admission plug-in ServiceAccount)."""
    taint_nodes: bool = False
    """Whether new nodes are tainted as not ready: where a controller takes the taint away
    (kube-apiserver's admission plug-in TaintNodesByCondition)."""
    object_bytes_max: int = 1536 * 1024
    body_bytes_max: int = 3 * 1024 * 1024
    bookmark_seconds: float = 60.0
    watch_seconds_max: float = 1800.0
    patch_attempts: int = 8
    event_seconds: float = 3600.0
    """Events older than this are removed."""
    event_count_max: int = 10_000
    """The oldest events beyond this many are removed."""
    sweep_seconds: float = 60.0
