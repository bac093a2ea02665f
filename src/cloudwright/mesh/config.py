"""The mesh's configuration: trust domain, lifetimes, where proxies listen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cloudwright._base.paths import Paths
from cloudwright.mesh.errors import MeshConfigError

GATEWAY = "gateway"
SYSTEM_NAMESPACE = "cloudwright-system"
_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """One machine's mesh.

    Raises:
        MeshConfigError: a value makes no sense; the message names the field.
    """

    paths: Paths
    trust_domain: str = "cluster.local"
    lifetime: timedelta = timedelta(hours=24)
    """How long a proxy's certificate is valid; it is replaced at about half of it."""
    clock_skew: timedelta = timedelta(minutes=5)
    """How far a certificate's beginning lies in the past."""
    serving_lifetime: timedelta = timedelta(days=90)
    """How long the gateway's certificate for browsers is valid."""
    uid: int = 1337
    gid: int = 1337
    """Whom the proxies run as; owner of their files."""
    binary: Path | None = None
    """The native binary; ``None``: the installed one."""
    inbound_port: int = 15006
    outbound_port: int = 15001
    dns_port: int = 15053
    debounce_seconds: float = 0.003
    """Changes that come this close together are one snapshot."""
    allow_http_hooks: bool = False
    """Whether a hook may be any ``http(s)://`` URL instead of a Service of its namespace."""

    def __post_init__(self) -> None:
        problems = (
            (not _DOMAIN.fullmatch(self.trust_domain), "trust_domain", "a lower-case DNS name"),
            (self.lifetime < timedelta(seconds=2), "lifetime", "two seconds or more"),
            (self.clock_skew < timedelta(0), "clock_skew", "zero or more"),
            (self.serving_lifetime < timedelta(minutes=1), "serving_lifetime", "a minute or more"),
            (not 0 <= self.debounce_seconds <= 1, "debounce_seconds", "between 0 and 1"),
        )
        for wrong, name, wanted in problems:
            if wrong:
                value = getattr(self, name)
                raise MeshConfigError(f"mesh.{name}: {value} is not usable, it must be {wanted}")

    def identity(self, namespace: str, account: str) -> str:
        """``spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT``."""
        return f"spiffe://{self.trust_domain}/ns/{namespace}/sa/{account}"

    @property
    def mesh_socket(self) -> Path:
        """The gateway's socket for the platform's own calls."""
        return self.paths.proxies / GATEWAY / "mesh.sock"
