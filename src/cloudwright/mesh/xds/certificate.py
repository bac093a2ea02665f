"""The xDS server's own certificate: an identity of the mesh, kept fresh in a private directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from anyio import to_thread

from cloudwright._base.clock import Clock
from cloudwright._base.files import make_private
from cloudwright.mesh.authority import Authority
from cloudwright.mesh.config import SYSTEM_NAMESPACE, MeshConfig
from cloudwright.mesh.proxies import Leaf, ProxyFiles
from cloudwright.mesh.rotation import Held, Rotator
from cloudwright.mesh.xds.listening import Tls

ACCOUNT = "xds"
_NAME = "server"


class OwnCertificate:
    """``PKI/xds/server/{cert,key,ca}.pem``; names ``hosts`` beside the SPIFFE identity, for
    clients that check those.
    """

    def __init__(
        self, config: MeshConfig, authority: Authority, clock: Clock, hosts: Sequence[str]
    ) -> None:
        root = config.paths.pki / "xds"
        self._root = root
        self._files = ProxyFiles(root, os.geteuid(), os.getegid())
        self._rotator = Rotator(self._files, clock)
        self._authority = authority
        identity = config.identity(SYSTEM_NAMESPACE, ACCOUNT)
        issue = partial(authority.issue_identity, identity, lifetime=config.lifetime)

        def accept(leaf: Leaf) -> bool:
            return leaf.identity == identity and authority.issued(leaf.cert)

        self._held = Held(
            _NAME,
            lambda: issue(now=clock.now(), skew=config.clock_skew, hosts=hosts),
            config.lifetime,
            accept=accept,
        )
        directory = self._files.directory(_NAME)
        self.tls = Tls(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")

    async def prepare(self) -> None:
        """Make the files. Raises OSError."""
        await to_thread.run_sync(make_private, self._root)
        await to_thread.run_sync(self._files.prepare, _NAME, self._authority.ca_pem)
        await self._rotator.ensure(self._held)
        await to_thread.run_sync(make_private, self._root)

    async def keep(self) -> None:
        """Replace the certificate as it gets due, until cancelled."""
        await self._rotator.run()
