"""Where a server listens, and how it proves who it is. Does not import grpcio."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from cloudwright._base.errors import UsageError
from cloudwright.mesh.authority import identity_of, key_matches

_LONGEST = 107


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: certificate chain, key, and the authority whose clients are let in."""

    cert: Path
    key: Path
    authority: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Key, certificate and authority.

        Raises:
            UsageError: one cannot be read, or key and certificate do not belong together.
        """
        found = []
        for file in (self.key, self.cert, self.authority):
            try:
                found.append(file.read_bytes())
            except OSError as error:
                raise UsageError(f"{file} cannot be read", cause=error.strerror) from None
        try:
            cert = x509.load_pem_x509_certificate(found[1])
            x509.load_pem_x509_certificates(found[2])
        except ValueError as error:
            text = f"{self.cert} or {self.authority} holds no certificate"
            raise UsageError(text, cause=str(error)) from None
        if not key_matches(cert, found[0]):
            raise UsageError(f"{self.key} is not the key of {self.cert}")
        return found[0], found[1], found[2]


@dataclass(frozen=True, slots=True)
class Listen:
    """``unix:PATH`` or ``IP:PORT``; ``tls`` asks each client for a certificate."""

    address: str
    tls: Tls | None = None

    @property
    def path(self) -> Path | None:
        """The socket's path."""
        return Path(self.address[5:]) if self.address.startswith("unix:") else None

    @property
    def target(self) -> str:
        """As gRPC wants it."""
        return self.address


def listen(text: str, tls: Tls | None = None) -> Listen:
    """Read an address.

    Raises:
        UsageError: it is none, or it would let anybody in: without TLS only a Unix socket (0600)
            and addresses of this machine's loopback are served.
    """
    if text.startswith("unix:"):
        path = Path(text[5:]).absolute()
        if len(str(path).encode()) > _LONGEST:
            raise UsageError(f"{path}: the kernel allows {_LONGEST} bytes for a socket's path")
        return Listen(f"unix:{path}", tls)
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        if not 0 <= int(port) <= 65535:
            raise ValueError(port)
    except ValueError:
        hint = "write unix:PATH or IP:PORT, for example 127.0.0.1:15010"
        raise UsageError(f"{text!r} is not an address to listen on", hint=hint) from None
    if tls is None and not address.is_loopback:
        raise UsageError(
            f"{text}: without TLS anybody who reaches it could read all secrets",
            hint="give --tls-cert, --tls-key and --tls-ca, or listen on 127.0.0.1 or unix:PATH",
        )
    return Listen(f"[{address}]:{port}" if address.version == 6 else text, tls)


def identity_in(pem: bytes) -> str:
    """The SPIFFE identity of a certificate that TLS verified; empty when it has none."""
    try:
        found = identity_of(x509.load_pem_x509_certificate(pem))
    except ValueError:
        return ""
    return found if found and found.startswith("spiffe://") else ""
