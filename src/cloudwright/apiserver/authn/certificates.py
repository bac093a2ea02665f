"""What TLS says of the other side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudwright.apiserver.identity import User, with_authenticated

_CREDENTIAL = "authentication.kubernetes.io/credential-id"


@dataclass(frozen=True, slots=True)
class Peer:
    """What TLS says of the other side: the verified certificate's common name and groups."""

    name: str
    groups: tuple[str, ...]
    fingerprint: str = field(default="", compare=False)
    """SHA-256 of the certificate, in hexadecimal digits."""
    user: User = field(init=False, compare=False, repr=False)
    """Whom it is taken for: told once, since every request of a connection asks."""

    def __post_init__(self) -> None:
        extra = ((_CREDENTIAL, (f"X509SHA256={self.fingerprint}",)),) if self.fingerprint else ()
        user = User(self.name, with_authenticated(self.groups), extra=extra)
        object.__setattr__(self, "user", user)


def peer_of(certificate: Mapping[str, Any] | None) -> Peer | None:
    """The peer of ``SSLObject.getpeercert()``; ``None`` without a certificate or common name."""
    if not certificate:
        return None
    pairs = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in pairs if key == "commonName"]
    if not names:
        return None
    groups = tuple(value for key, value in pairs if key == "organizationName")
    return Peer(names[0], groups)
