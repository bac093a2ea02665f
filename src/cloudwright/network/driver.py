"""``BridgeNetwork``: what the node agent asks (``node.ports.PodNetwork``), on a datapath and the
lease store. The kernel and the disk are only touched in worker threads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from cloudwright._base import logs
from cloudwright._base.clock import Clock, SystemClock
from cloudwright._base.errors import CloudwrightError
from cloudwright.model.sandbox import Attachment
from cloudwright.network import vitals
from cloudwright.network.bridge import BridgeDatapath
from cloudwright.network.config import NetworkConfig
from cloudwright.network.datapath import Datapath
from cloudwright.network.engine import (
    Lease,
    Orphans,
    choose_address,
    find_orphans,
    plan_pod,
)
from cloudwright.network.errors import NetworkError
from cloudwright.network.names import POD_INTERFACE
from cloudwright.network.store import LeaseStore

T = TypeVar("T")
_log = logs.get("network")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PARALLEL = 4
"""More only queue at the kernel's one lock for links."""


class Guard(Protocol):
    """Knows each pod's NetworkPolicies (``policy.control``)."""

    def know(self, leases: Iterable[Lease]) -> None:
        """These pods were there before."""

    def admitted(self, lease: Lease) -> AbstractAsyncContextManager[str]:
        """The policy table that a pod needs before its link."""

    def left(self, uid: str) -> None:
        """The pod is going."""


class BridgeNetwork:
    """The pod network of this machine; implements ``node.ports.PodNetwork``.

    ``datapath`` builds the kernel's side on the lease store's memory (``recall``, ``remember``).
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        clock: Clock | None = None,
        datapath: Callable[[NetworkConfig, LeaseStore], Datapath] | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        self._build = datapath or _bridge
        self._guard = guard
        self._threads = CapacityLimiter(_PARALLEL)
        self._addresses = anyio.Lock()
        self._pods: dict[str, tuple[anyio.Lock, int]] = {}
        self._store_: LeaseStore | None = None
        self._datapath_: Datapath | None = None

    @property
    def _store(self) -> LeaseStore:
        if self._store_ is None:
            raise CloudwrightError("the pod network was used before it was started")
        return self._store_

    @property
    def _datapath(self) -> Datapath:
        if self._datapath_ is None:
            raise CloudwrightError("the pod network was used before it was started")
        return self._datapath_

    async def start(self) -> None:
        """Make the bridge and the host's rules, or take over those of an earlier run; remove
        what that run left without a lease, and leases of which nothing is left.

        Raises:
            NetworkConflictError: the pod range or the bridge belongs to somebody else.
            NetworkError: the kernel, nft or the lease file refused.
        """
        await self._thread(self._start)
        leases = await self._thread(self._store.leases)
        vitals.LEASES.set(len(leases))
        if self._guard is not None:
            self._guard.know(leases)

    def _start(self) -> None:
        if self._store_ is not None:
            raise CloudwrightError("the pod network was started twice")
        store = LeaseStore(self.config.store, _BOOT_ID.read_text().strip())
        self._store_, self._datapath_ = store, self._build(self.config, store)
        try:
            self._datapath.start([lease.ip for lease in store.leases() if lease.egress])
            self._tidy()
        except BaseException:
            self._store_ = self._datapath_ = None
            store.close()
            raise

    def _tidy(self) -> None:
        """A lease is written before the first kernel object and released after the last one: what
        has no lease belongs to nobody, and a lease without anything (a reboot) is over.
        """
        leases = self._store.leases()
        found = self._find_orphans({lease.pod_uid for lease in leases})
        self._datapath.discard(found.veths, found.namespaces)
        for lease in leases:
            if not self._datapath.exists(plan_pod(self.config, lease)):
                if lease.egress:
                    self._datapath.deny_egress(lease.ip)
                self._store.release(lease.pod_uid, self._clock.monotonic())

    def _find_orphans(self, known: Collection[str]) -> Orphans:
        store, datapath = self._store, self._datapath
        return find_orphans(
            self.config.instance, known, store.leases(), datapath.links(), datapath.namespaces()
        )

    async def attach(self, pod_uid: str, namespace: str, name: str, *, egress: bool) -> Attachment:
        """Make or find the pod's namespace, link and address; a second call repairs.

        Raises:
            AddressesExhaustedError: no address is free.
            NetworkError: the kernel, nft or the lease file refused; nothing new is left.
        """
        started = self._clock.monotonic()
        async with self._pod(pod_uid):
            lease, fresh = await self._lease(pod_uid, namespace, name, egress)
            try:
                await self._guarded_attach(lease)
            except BaseException:
                vitals.FAILURES.labels("attach").inc()
                if fresh:
                    with anyio.CancelScope(shield=True):
                        await self._remove(lease)
                raise
        vitals.ATTACH_SECONDS.observe(self._clock.monotonic() - started)
        return self._attachment(lease)

    async def _guarded_attach(self, lease: Lease) -> None:
        if self._guard is None:
            await self._thread(partial(self._attach, lease, ""))
            return
        async with self._guard.admitted(lease) as policy:
            await self._thread(partial(self._attach, lease, policy))

    def _attach(self, lease: Lease, policy: str) -> None:
        self._datapath.attach(plan_pod(self.config, lease), policy)
        if lease.egress:
            self._datapath.allow_egress(lease.ip)

    async def _lease(
        self, pod_uid: str, namespace: str, name: str, egress: bool
    ) -> tuple[Lease, bool]:
        """The pod's lease on disk, and whether it is new."""

        def work() -> tuple[Lease, bool]:
            held = self._store.find(pod_uid)
            ip = held.ip if held else self._free_address()
            lease = Lease(pod_uid, ip, namespace, name, egress)
            if held and held.egress and not egress:
                self._datapath.deny_egress(ip)
            if lease != held:
                self._store.put(lease)
            return lease, held is None

        async with self._addresses:
            lease, fresh = await self._thread(work)
        if fresh:
            vitals.LEASES.inc()
        return lease, fresh

    def _free_address(self) -> IPv4Address:
        return choose_address(
            self.config.pod_cidr,
            {lease.ip for lease in self._store.leases()},
            self._store.released(),
            self._clock.monotonic(),
            self.config.cooldown_seconds,
        )

    async def detach(self, pod_uid: str) -> None:
        """Remove the pod's link, namespace and lease; a missing one is fine."""
        async with self._pod(pod_uid):
            lease = await self._thread(partial(self._store.find, pod_uid))
            if lease is None:  # its kernel objects are found by name; the address does not matter
                lease = Lease(pod_uid, self.config.node_address, "", "", egress=False)
            try:
                await self._remove(lease)
            except CloudwrightError:
                vitals.FAILURES.labels("detach").inc()
                raise

    async def _remove(self, lease: Lease) -> None:
        """Kernel objects first: the address is free only when nothing uses it."""

        def unlink() -> None:
            self._datapath.detach(plan_pod(self.config, lease))
            if lease.egress:
                self._datapath.deny_egress(lease.ip)

        def release() -> int:
            self._store.release(lease.pod_uid, self._clock.monotonic())
            return len(self._store.leases())

        if self._guard is not None:
            self._guard.left(lease.pod_uid)
        await self._thread(unlink)
        async with self._addresses:
            vitals.LEASES.set(await self._thread(release))

    async def attachments(self) -> list[Attachment]:
        """Every attachment of which something exists; ``attach`` completes a half-made one."""

        def exist() -> list[Lease]:
            found = self._store.leases()
            return [le for le in found if self._datapath.exists(plan_pod(self.config, le))]

        return [self._attachment(lease) for lease in await self._thread(exist)]

    async def sweep(self, known_uids: Collection[str]) -> list[str]:
        """Remove what belongs to none of ``known_uids``; names of what was removed.

        Call it when the known pods are all there are: before the first attach, or with none
        going on.
        """
        known = set(known_uids)
        unknown = (await self._thread(partial(self._find_orphans, known))).leases
        for pod_uid in unknown:
            await self.detach(pod_uid)
        rest = await self._thread(partial(self._find_orphans, known))
        await self._thread(partial(self._datapath.discard, rest.veths, rest.namespaces))
        removed = [*unknown, *rest.veths, *rest.namespaces]
        if removed:
            vitals.ORPHANS.inc(len(removed))
            _log.info("removed what no pod owns", extra={"removed": removed})
        return removed

    async def stop(self, remove: bool = True) -> None:
        """Let go; with ``remove`` every pod's and every shared kernel object is removed first."""
        if self._store_ is None:
            return
        if remove:
            await self.sweep(())
            await self._thread(self._datapath.stop)
        await self._thread(self._store.close)
        self._store_ = self._datapath_ = None

    def _attachment(self, lease: Lease) -> Attachment:
        plan = plan_pod(self.config, lease)
        return Attachment(
            pod_uid=lease.pod_uid,
            netns=str(self.config.netns_dir / plan.netns),
            ip=str(lease.ip),
            gateway=str(plan.gateway),
            interface=POD_INTERFACE,
        )

    async def _thread(self, work: Callable[[], T]) -> T:
        """Run blocking work. An ``OSError`` becomes a ``NetworkError`` with the file's name."""
        try:
            return await to_thread.run_sync(work, limiter=self._threads)
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            raise NetworkError(f"the pod network cannot use{where}: {error.strerror}") from error

    @asynccontextmanager
    async def _pod(self, pod_uid: str) -> AsyncIterator[None]:
        """One verb at a time for each pod."""
        lock, users = self._pods.get(pod_uid, (anyio.Lock(), 0))
        self._pods[pod_uid] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._pods[pod_uid]
            if users == 1:
                del self._pods[pod_uid]
            else:
                self._pods[pod_uid] = (lock, users - 1)


def _bridge(config: NetworkConfig, store: LeaseStore) -> Datapath:
    return BridgeDatapath(config, store.memo, store.remember)
