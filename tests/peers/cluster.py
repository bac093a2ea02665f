"""One API server for tests, whoever made it: where it is, and credentials for anybody."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.pki import Authority
from tests.peers.processes import Program

ADMIN = "admin"
MASTERS = "system:masters"
TOKEN_USERS: dict[str, Sequence[str]] = {
    ADMIN: (MASTERS,),
    "ann": ("readers",),
    "joe": (),
}
"""Users with a bearer token in every cluster of the tests, and their groups."""


@dataclass(slots=True)
class Cluster:
    """A served API. ``name`` is ``real``, ``kine`` or ``ours``."""

    name: str
    url: str
    authority: Authority
    directory: Path
    tokens: dict[str, str]
    programs: dict[str, Program] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The address without the port."""
        return self.url.removeprefix("https://").rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def pids(self) -> dict[str, int]:
        """Program → process id."""
        return {name: program.pid for name, program in self.programs.items()}

    def context(self, user: str | None = None, groups: Sequence[str] = ()) -> ssl.SSLContext:
        """TLS that trusts the cluster; with a client certificate for ``user``."""
        context = ssl.create_default_context(cafile=self.authority.file)
        if user is not None:
            context.load_cert_chain(*self.authority.client(user, groups))
        return context

    def kubeconfig(self, user: str = ADMIN, groups: Sequence[str] = (MASTERS,)) -> Path:
        """A kubeconfig file with a client certificate for ``user``."""
        certificate, key = self.authority.client(user, groups)

        def encoded(file: Path) -> str:
            return base64.b64encode(file.read_bytes()).decode()

        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": self.name,
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": user}}],
            "clusters": [
                {
                    "name": self.name,
                    "cluster": {
                        "server": self.url,
                        "certificate-authority-data": encoded(self.authority.file),
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": encoded(certificate),
                        "client-key-data": encoded(key),
                    },
                }
            ],
        }
        file = self.directory / f"kubeconfig-{user.replace(':', '-')}"
        file.touch(0o600)
        file.write_text(json.dumps(content))
        return file
