"""A node's own certificates as secrets (SDS), and the trust bundle; nobody else's."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from cryptography import x509

from cloudwright.mesh.authority import key_matches
from cloudwright.mesh.config import GATEWAY
from cloudwright.mesh.proxies import ProxyFiles
from cloudwright.mesh.xds.naming import OWN, SERVING, TRUST
from cloudwright.mesh.xds.source import Node

_PAIRS = {OWN: ("cert.pem", "key.pem"), SERVING: ("https-cert.pem", "https-key.pem")}


class Secrets:
    """Reads what ``ProxyFiles`` has of a node. Blocks; use a worker thread."""

    def __init__(self, files: ProxyFiles, trust: bytes) -> None:
        self._files = files
        self._trust = trust
        self._last: dict[tuple[str, str], dict[str, Any]] = {}

    def of(self, node: Node) -> list[Mapping[str, Any]]:
        """The secrets of an admitted node, in JSON form."""
        trusted = {"trusted_ca": {"inline_bytes": _base64(self._trust)}}
        found: list[Mapping[str, Any]] = [{"name": TRUST, "validation_context": trusted}]
        if node.role not in ("gateway", "sidecar"):
            return found
        proxy = GATEWAY if node.role == "gateway" else node.id
        for name in (OWN, SERVING) if node.role == "gateway" else (OWN,):
            pair = self._pair(proxy, name)
            if pair is not None:
                found.append({"name": name, "tls_certificate": pair})
        return found

    def forget(self, living: set[str]) -> None:
        """Keep nothing of proxies that are gone."""
        for key in [key for key in self._last if key[0] not in living]:
            del self._last[key]

    def _pair(self, proxy: str, name: str) -> dict[str, Any] | None:
        """Certificate and key that belong together; the last ones while they are replaced."""
        cert, key = _PAIRS[name]
        directory = self._files.directory(proxy)
        leaf = self._files.leaf(proxy, cert, key)
        if leaf is not None:
            try:
                chain, secret = (directory / cert).read_bytes(), (directory / key).read_bytes()
            except FileNotFoundError:  # the proxy was released just now
                return None
            if key_matches(x509.load_pem_x509_certificate(chain), secret):
                self._last[(proxy, name)] = {
                    "certificate_chain": {"inline_bytes": _base64(chain)},
                    "private_key": {"inline_bytes": _base64(secret)},
                }
        return self._last.get((proxy, name))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
