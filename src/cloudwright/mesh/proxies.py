"""The proxy directories ``Paths.proxies/ID/``: bootstrap, certificate and key of each proxy."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from cloudwright.mesh.authority import Issued, identity_of, key_matches
from cloudwright.mesh.files import make_owned, make_passable, write_owned

BOOTSTRAP = "bootstrap.json"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate that a proxy has on disk."""

    identity: str | None
    not_before: datetime
    not_after: datetime
    cert: x509.Certificate


class ProxyFiles:
    """Reads and writes proxy directories. Blocks; use a worker thread."""

    def __init__(self, root: Path, uid: int, gid: int) -> None:
        self.root = root
        self._uid = uid
        self._gid = gid

    def directory(self, proxy: str) -> Path:
        """The proxy's directory."""
        return self.root / proxy

    def admin(self, proxy: str) -> Path:
        """The proxy's admin socket."""
        return self.root / proxy / "admin.sock"

    def ids(self) -> list[str]:
        """Every proxy that has a bootstrap file."""
        try:
            found = list(self.root.iterdir())
        except FileNotFoundError:
            return []
        return sorted(entry.name for entry in found if (entry / BOOTSTRAP).is_file())

    def bootstrap(self, proxy: str) -> dict[str, Any] | None:
        """What the proxy was told at its start."""
        try:
            found = json.loads((self.directory(proxy) / BOOTSTRAP).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def prepare(self, proxy: str, ca_pem: bytes) -> Path:
        """Make the proxy's directory with the authority's certificate in it."""
        make_passable(self.root)
        directory = self.directory(proxy)
        make_owned(directory, self._uid, self._gid)
        self._write_changed(directory / "ca.pem", ca_pem)
        return directory

    def write_bootstrap(self, proxy: str, content: dict[str, Any]) -> Path:
        """Write the bootstrap file; returns its path."""
        path = self.directory(proxy) / BOOTSTRAP
        self._write_changed(path, json.dumps(content, indent=1).encode() + b"\n")
        return path

    def leaf(self, proxy: str, name: str = "cert.pem", key: str = "key.pem") -> Leaf | None:
        """The certificate on disk; ``None`` when it is missing, damaged, or without its key."""
        directory = self.directory(proxy)
        try:
            cert = x509.load_pem_x509_certificate((directory / name).read_bytes())
            key_pem = (directory / key).read_bytes()
        except (OSError, ValueError):
            return None
        if not key_matches(cert, key_pem):
            return None
        return Leaf(identity_of(cert), cert.not_valid_before_utc, cert.not_valid_after_utc, cert)

    def write_leaf(
        self, proxy: str, issued: Issued, name: str = "cert.pem", key: str = "key.pem"
    ) -> None:
        """Replace key, then certificate; the proxy takes them when both match."""
        directory = self.directory(proxy)
        write_owned(directory / key, issued.key_pem, uid=self._uid, gid=self._gid)
        write_owned(directory / name, issued.cert_pem, uid=self._uid, gid=self._gid)

    def remove(self, proxy: str) -> None:
        """Remove the proxy's directory; a missing one is fine."""
        directory = self.directory(proxy)
        if directory.exists():
            shutil.rmtree(directory)

    def _write_changed(self, path: Path, data: bytes) -> None:
        try:
            if path.read_bytes() == data:
                return
        except FileNotFoundError:
            pass
        write_owned(path, data, uid=self._uid, gid=self._gid)
