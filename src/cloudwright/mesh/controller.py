"""``MeshControl``: what the node agent asks of the mesh (``node.ports.Mesh``), and the loop that
keeps the snapshot true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

import anyio
from anyio import to_thread

from cloudwright._base import logs
from cloudwright._base.clock import Clock, SystemClock
from cloudwright._base.errors import CloudwrightError, TimedOutError
from cloudwright.mesh import scrape, vitals
from cloudwright.mesh.admin import AdminClient
from cloudwright.mesh.authority import Authority
from cloudwright.mesh.config import GATEWAY, MeshConfig
from cloudwright.mesh.enrollment import Enrollment
from cloudwright.mesh.errors import ProxyUnreachableError, told
from cloudwright.mesh.notices import Notices
from cloudwright.mesh.proxies import ProxyFiles
from cloudwright.mesh.publisher import Publisher
from cloudwright.mesh.rotation import Rotator
from cloudwright.mesh.routes import Verdict
from cloudwright.mesh.snapshot import Inputs, Problem, build
from cloudwright.model.objects import Object, key_of
from cloudwright.model.sandbox import Attachment, ProcessSpec

_log = logs.get("mesh")
_LONGEST_WAIT = 5.0


class MeshControl:
    """The mesh of this machine; implements ``node.ports.Mesh``."""

    def __init__(self, config: MeshConfig, *, clock: Clock | None = None) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        paths = config.paths
        self.files = ProxyFiles(paths.proxies, config.uid, config.gid)
        self.changes = Notices()
        """Told when the snapshot or a certificate is another one."""
        self._rotator = Rotator(self.files, self._clock, self.changes)
        self._enrollment = Enrollment(config, self.files, self._rotator, self._clock)
        self._publisher = Publisher(paths.snapshot, config.trust_domain, self.changes)
        self.verdicts: dict[str, Verdict] = {}
        """Whether each Route (by ``namespace/name``) is served, and why not."""
        self.problems: list[Problem] = []
        """What the last snapshot leaves out."""

    @property
    def version(self) -> int:
        """The version of the snapshot on disk."""
        return self._publisher.version

    @property
    def authority(self) -> Authority:
        """The authority that every proxy trusts; after ``start``."""
        return self._enrollment.authority

    @property
    def snapshot(self) -> dict[str, Any]:
        """The snapshot on disk, without its version."""
        return self._publisher.body

    async def start(self) -> None:
        """Load authority and snapshot, take over the proxies of an earlier run; before any other
        method.

        Raises:
            AuthorityError: the mesh authority's files are damaged.
            MeshConfigError: the proxies could not get to their files.
            CloudwrightError: the native binary is not installed, or the disk is full, …
        """
        with told("prepare the mesh"):
            await to_thread.run_sync(self._enrollment.open)
            await self._take_over()
        vitals.SNAPSHOT_VERSION.set(self.version)
        vitals.PROXIES.set(len(await to_thread.run_sync(self.files.ids)))

    async def _take_over(self) -> None:
        """Continue the snapshot and the proxies of an earlier run."""
        good = await to_thread.run_sync(partial(self._publisher.load, 0))
        if not good:
            seen = await self.applied()
            floor = max((version for version in seen.values() if version is not None), default=0)
            await to_thread.run_sync(partial(self._publisher.load, floor))
            if not seen:  # nobody to take services away from
                await self._publisher.publish(self._publisher.body)
        await self._enrollment.adopt()

    async def keep_certificates(self) -> None:
        """Replace certificates as they get due, until cancelled."""
        await self._rotator.run()

    async def rotate_all(self) -> list[str]:
        """Replace every certificate now; the ids of the proxies.

        Raises:
            MeshError: one cannot be written.
        """
        with told("replace the proxies' certificates"):
            return await self._rotator.rotate_all()

    async def update(
        self,
        services: Sequence[Object],
        slices: Sequence[Object],
        pods: Sequence[Object],
        routes: Sequence[Object],
    ) -> int:
        """Make the snapshot say what these objects say; its version.

        Raises:
            MeshError: it cannot be written; the proxies keep the old one.
        """
        started = perf_counter()
        self._forget_excluded(pods)
        inputs = Inputs(
            self.config.trust_domain,
            services,
            slices,
            pods,
            routes,
            self._publisher.excluded,
            self._enrollment.owners,
        )
        built = build(inputs)
        if built.problems != self.problems:
            for problem in built.problems:
                _log.warning(problem.reason, extra={"object": problem.subject})
        self.verdicts, self.problems = built.verdicts, built.problems
        vitals.PROBLEMS.set(len(built.problems))
        with told("write the mesh snapshot"):
            version = await self._publisher.publish(built.body)
        vitals.SNAPSHOT_SECONDS.observe(perf_counter() - started)
        return version

    def _forget_excluded(self, pods: Sequence[Object]) -> None:
        """An address that no pod has any more needs no exclusion."""
        if self._publisher.excluded:
            used = {str((pod.get("status") or {}).get("podIP")) for pod in pods}
            self._publisher.excluded &= used

    # what the node agent asks

    async def enroll(self, pod: Object, attachment: Attachment) -> ProcessSpec:
        """Write the sidecar's files and say how to run it; again is fine, and changes nothing.

        Raises:
            MeshError: the files cannot be written.
        """
        self._publisher.excluded.discard(attachment.ip)
        with told(f"write the files of the sidecar of {key_of(pod)}"):
            spec = await self._enrollment.sidecar(pod, attachment)
        vitals.PROXIES.set(len(await to_thread.run_sync(self.files.ids)))
        return spec

    async def gateway(self, http: Sequence[str] = (), https: Sequence[str] = ()) -> ProcessSpec:
        """Write the gateway's files and say how to run it; ``HOST:PORT`` for each listener.

        Raises:
            MeshError: the files cannot be written.
        """
        with told("write the files of the gateway"):
            return await self._enrollment.gateway(http, https)

    async def release(self, pod_uid: str) -> None:
        """Forget a pod: remove its sidecar's files; a missing one is fine.

        Raises:
            MeshError: the files cannot be removed.
        """
        with told("remove the files of a sidecar"):
            await self._enrollment.forget(pod_uid)
        self.changes.tell()
        vitals.PROXIES.set(len(await to_thread.run_sync(self.files.ids)))

    async def drained(self, ip: str, *, timeout: float = 10.0) -> None:
        """Take ``ip`` out of every Service, and return once every live proxy knows (or at the
        timeout). A proxy that does not answer routes nothing, and is not waited for.

        Raises:
            MeshError: the snapshot cannot be written.
        """
        with told("write the mesh snapshot"):
            version = await self._publisher.exclude(ip)
        proxies = await to_thread.run_sync(self.files.ids)
        waiting = set(proxies)

        async def confirm(proxy: str) -> None:
            await self._applied(proxy, version)
            waiting.discard(proxy)

        with anyio.move_on_after(timeout) as scope:
            async with anyio.create_task_group() as group:
                for proxy in proxies:
                    group.start_soon(confirm, proxy)
        if scope.cancelled_caught:
            _log.warning(
                "proxies did not take a snapshot in time",
                extra={"proxies": sorted(waiting), "version": version, "without": ip},
            )

    async def _applied(self, proxy: str, version: int) -> None:
        """Return once ``proxy`` runs ``version`` or a later one, or does not run."""
        admin = AdminClient(self.files.admin(proxy))
        while True:
            try:
                if await admin.wait(version, timeout=_LONGEST_WAIT):
                    return
            except ProxyUnreachableError:
                return
            except TimedOutError:
                continue

    async def applied(self) -> dict[str, int | None]:
        """The snapshot version of each enrolled proxy; ``None`` for one that does not answer."""
        found: dict[str, int | None] = {}

        async def ask(proxy: str) -> None:
            try:
                answer = await AdminClient(self.files.admin(proxy)).config()
                found[proxy] = int(answer["version"])
            except (CloudwrightError, KeyError, TypeError, ValueError):
                found[proxy] = None

        async with anyio.create_task_group() as group:
            for proxy in await to_thread.run_sync(self.files.ids):
                group.start_soon(ask, proxy)
        return found

    async def probe(self, pod_uid: str, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the pod's sidecar to probe the application; see ``node.ports.Mesh.probe``."""
        return await self.admin(pod_uid).probe(request)

    async def connect(
        self, pod_uid: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A byte stream to a port on the pod's loopback, through its sidecar."""
        return await self.admin(pod_uid).tunnel(port)

    def admin(self, proxy: str = GATEWAY) -> AdminClient:
        """The admin socket of a pod's sidecar (by pod uid), or of the gateway."""
        return AdminClient(self.files.admin(proxy))

    async def metrics(self) -> str:
        """The metrics of all proxies as one page of Prometheus text."""
        return await scrape.scrape(self.files)
