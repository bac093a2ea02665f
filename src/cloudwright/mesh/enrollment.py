"""Giving a proxy its files: identity, certificate, bootstrap."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from anyio import to_thread

from cloudwright._base.clock import Clock
from cloudwright._base.files import write_atomic
from cloudwright._base.paths import native_binary
from cloudwright.mesh.authority import Authority
from cloudwright.mesh.config import GATEWAY, SYSTEM_NAMESPACE, MeshConfig
from cloudwright.mesh.errors import MeshConfigError, MeshError
from cloudwright.mesh.files import first_closed, make_passable, require_passable
from cloudwright.mesh.proxies import Leaf, ProxyFiles
from cloudwright.mesh.rotation import Held, Rotator
from cloudwright.model.objects import Object, annotations_of, name_of, namespace_of
from cloudwright.model.sandbox import Attachment, LogTarget, ProcessSpec

EGRESS = "cloudwright.dev/egress"
SERVING_HOSTS = ("localhost", "127.0.0.1", "::1")
_SOCKET_PATH_LIMIT = 107
_UID_LENGTH = 36


class Enrollment:
    """Makes proxy directories, and says how to run the proxies."""

    def __init__(
        self, config: MeshConfig, files: ProxyFiles, rotator: Rotator, clock: Clock
    ) -> None:
        self._config = config
        self._files = files
        self._rotator = rotator
        self._clock = clock
        self._binary = Path()
        self._mesh: Authority | None = None
        self.owners: dict[str, str] = {}
        """Uid of the enrolled pod at each address."""

    def open(self) -> None:
        """Load the mesh authority and check that proxies can get to their files. Blocks.

        Raises:
            AuthorityError: the authority's files are damaged.
            MeshConfigError: the proxies could not get to their files, or a path is too long.
        """
        config, paths = self._config, self._config.paths
        longest = paths.proxies / ("x" * _UID_LENGTH) / "admin.sock"
        require_short(longest)
        make_passable(paths.run)
        make_passable(paths.proxies)
        make_passable(paths.snapshot.parent)
        if os.geteuid() == 0:
            require_passable(paths.snapshot, config.uid, config.gid, "the mesh snapshot")
        self._mesh = Authority.load_or_create(
            paths.pki / "mesh", f"Cloudwright mesh {config.trust_domain}", self._clock.now()
        )
        self._binary = self._runnable(config.binary or native_binary())

    @property
    def authority(self) -> Authority:
        """The authority that every proxy trusts."""
        if self._mesh is None:
            raise MeshError("the mesh was used before it was started")
        return self._mesh

    def _runnable(self, binary: Path) -> Path:
        """``binary``, or a copy of it where the proxies' user can get to it."""
        config = self._config
        resolved = binary.resolve()
        if os.geteuid() != 0 or first_closed(resolved, config.uid, config.gid) is None:
            return binary
        copy = config.paths.state / "bin" / binary.name
        make_passable(config.paths.state)
        make_passable(copy.parent)
        require_passable(copy, config.uid, config.gid, "the copy of the native binary")
        data = resolved.read_bytes()
        if not copy.is_file() or copy.read_bytes() != data:
            write_atomic(copy, data, mode=0o755)
        return copy

    async def adopt(self) -> None:
        """Keep the certificates of the proxies that an earlier run enrolled."""
        for proxy in await to_thread.run_sync(self._files.ids):
            known = await to_thread.run_sync(partial(self._files.bootstrap, proxy))
            if known and known.get("ip"):
                self.owners[str(known["ip"])] = proxy
            if known and known.get("identity"):
                await self._rotator.ensure(self._identity(proxy, str(known["identity"])))
                if known.get("https"):
                    await self._rotator.ensure(self._serving(_listen_hosts(known["https"])))

    def _identity(self, proxy: str, identity: str) -> Held:
        config, authority = self._config, self.authority
        now = self._clock.now

        def accept(leaf: Leaf) -> bool:
            return leaf.identity == identity and authority.issued(leaf.cert)

        return Held(
            proxy,
            lambda: authority.issue_identity(
                identity, now=now(), lifetime=config.lifetime, skew=config.clock_skew
            ),
            config.lifetime,
            accept=accept,
        )

    def _serving(self, hosts: Sequence[str]) -> Held:
        config, now = self._config, self._clock.now
        authority = Authority.load_or_create(
            config.paths.pki / "gateway", "Cloudwright gateway", now()
        )
        return Held(
            GATEWAY,
            lambda: authority.issue_serving(hosts, now=now(), lifetime=config.serving_lifetime),
            config.serving_lifetime,
            cert="https-cert.pem",
            key="https-key.pem",
            accept=lambda leaf: authority.issued(leaf.cert),
        )

    async def sidecar(self, pod: Object, attachment: Attachment) -> ProcessSpec:
        """The files of a pod's sidecar, and how to run it."""
        config, uid = self._config, attachment.pod_uid
        namespace, name = namespace_of(pod), name_of(pod)
        account = str((pod.get("spec") or {}).get("serviceAccountName") or "default")
        identity = config.identity(namespace, account)
        content = {
            **self._common("sidecar", uid, namespace, identity),
            "pod": name,
            "ip": attachment.ip,
            "inbound_port": config.inbound_port,
            "outbound_port": config.outbound_port,
            "dns_port": config.dns_port,
            "egress": annotations_of(pod).get(EGRESS) == "true",
            "access_log": "-",
        }
        path = await self._write(uid, content, [self._identity(uid, identity)])
        self.owners[attachment.ip] = uid
        log = config.paths.pod_logs / f"{namespace}_{name}_{uid}" / "sidecar.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        return ProcessSpec(
            id=f"sidecar-{uid}",
            argv=(str(self._binary), "sidecar", "--bootstrap", str(path)),
            netns=attachment.netns,
            uid=config.uid,
            gid=config.gid,
            log=LogTarget(str(log)),
            cgroup=f"pod{uid}/sidecar",
        )

    async def gateway(self, http: Sequence[str], https: Sequence[str]) -> ProcessSpec:
        """The files of the gateway, and how to run it; it listens on ``HOST:PORT``s."""
        config, identity = self._config, self._config.identity(SYSTEM_NAMESPACE, GATEWAY)
        directory = self._files.directory(GATEWAY)
        content: dict[str, Any] = {
            **self._common("gateway", GATEWAY, SYSTEM_NAMESPACE, identity),
            "http": list(http),
            "https": list(https),
            "mesh_socket": str(config.mesh_socket),
            "access_log": "-",
        }
        held = [self._identity(GATEWAY, identity)]
        if https:
            content["https_cert"] = str(directory / "https-cert.pem")
            content["https_key"] = str(directory / "https-key.pem")
            held.append(await to_thread.run_sync(partial(self._serving, _listen_hosts(https))))
        path = await self._write(GATEWAY, content, held)
        log = config.paths.state / "logs" / "gateway.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        return ProcessSpec(
            id=GATEWAY,
            argv=(str(self._binary), "gateway", "--bootstrap", str(path)),
            uid=config.uid,
            gid=config.gid,
            log=LogTarget(str(log)),
            cgroup=GATEWAY,
        )

    def _common(self, role: str, proxy: str, namespace: str, identity: str) -> dict[str, Any]:
        directory = self._files.directory(proxy)
        return {
            "role": role,
            "id": proxy,
            "namespace": namespace,
            "identity": identity,
            "trust_domain": self._config.trust_domain,
            "cert": str(directory / "cert.pem"),
            "key": str(directory / "key.pem"),
            "ca": str(directory / "ca.pem"),
            "snapshot": str(self._config.paths.snapshot),
            "admin": str(directory / "admin.sock"),
        }

    async def _write(self, proxy: str, content: dict[str, Any], held: list[Held]) -> Path:
        """Directory, certificates, and the bootstrap file last: with it the proxy exists."""
        ca_pem = self.authority.ca_pem
        await to_thread.run_sync(partial(self._files.prepare, proxy, ca_pem))
        for one in held:
            await self._rotator.ensure(one)
        return await to_thread.run_sync(partial(self._files.write_bootstrap, proxy, content))

    async def forget(self, proxy: str) -> None:
        """Remove a proxy's files; a missing one is fine."""
        self.owners = {ip: owner for ip, owner in self.owners.items() if owner != proxy}
        await self._rotator.forget(proxy)
        await to_thread.run_sync(partial(self._files.remove, proxy))


def _listen_hosts(listen: Sequence[str]) -> list[str]:
    """The names of the gateway's certificate: the usual local ones and its own addresses."""
    own = [address.rpartition(":")[0].strip("[]") for address in listen]
    names = [*SERVING_HOSTS, *(host for host in own if host not in ("0.0.0.0", "::", ""))]  # noqa: S104
    return list(dict.fromkeys(names))


def require_short(socket: Path) -> None:
    """Check that a Unix socket can have this path.

    Raises:
        MeshConfigError: it is too long for the kernel.
    """
    size = len(os.fsencode(socket))
    if size > _SOCKET_PATH_LIMIT:
        raise MeshConfigError(
            f"the path of the proxies' sockets has {size} bytes, the kernel allows"
            f" {_SOCKET_PATH_LIMIT}: {socket.parent.parent}",
            hint="choose a state directory with a shorter path",
        )
