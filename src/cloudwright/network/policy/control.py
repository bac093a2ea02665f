"""Follows policies, pods and namespaces, and keeps each pod's table as they say.

A table lives in its pod's network namespace: it outlasts the daemon and ends with the pod. A new
daemon reads everything before it replaces any; a pod gets its table before its link.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv4Address
from time import perf_counter

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import checkpoint

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.client.client import Client
from cloudwright.client.informer import Informer
from cloudwright.client.recorder import Recorder
from cloudwright.model.objects import uid_of
from cloudwright.model.resources import NAMESPACE, NETWORK_POLICY, POD
from cloudwright.network import names, netns, nft, vitals
from cloudwright.network.config import NetworkConfig
from cloudwright.network.engine import Lease
from cloudwright.network.errors import NetworkError
from cloudwright.network.policy import text
from cloudwright.network.policy.engine import World, rules_of
from cloudwright.network.policy.state import State

_log = logs.get("network")
_RETRY = 1.0
_PARALLEL = 4

Load = Callable[[str, str], None]
"""Loads rules (second) in the namespace of a pod's uid (first); blocks."""


class PolicyControl:
    """The loop (``run``) and what the driver asks of it (``driver.Guard``)."""

    def __init__(self, config: NetworkConfig, client: Client, load: Load | None = None) -> None:
        self._config = config
        self._client = client
        self._load = load or partial(_load, config)
        self._recorder = Recorder(client, "network")
        self._state = State()
        self._leases: dict[str, IPv4Address] = {}
        self._loaded: dict[str, str] = {}
        """The table that each pod has, by uid; unknown after a restart."""
        self._locks: dict[str, anyio.Lock] = {}
        self._synced = anyio.Event()
        self._changed = anyio.Event()
        self._threads = CapacityLimiter(_PARALLEL)

    async def run(self) -> None:
        """Follow and enforce until cancelled. Nothing changes before everything was read once."""
        self._synced = anyio.Event()
        state = State(self._wake)
        informers = [Informer(self._client, kind) for kind in (POD, NAMESPACE, NETWORK_POLICY)]
        for informer, handler in zip(informers, state.handlers, strict=True):
            informer.add_handler(handler)
        async with anyio.create_task_group() as group:
            for informer in informers:
                group.start_soon(informer.run)
            for informer in informers:
                await informer.wait_synced()
            self._state = state
            self._synced.set()
            self._wake()
            await self._follow()

    def _wake(self) -> None:
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            if not await self._enforce_all():
                await anyio.sleep(_RETRY)
                self._wake()
            for policy, reason, message in self._state.take_notes():
                await self._recorder.warning(policy, reason, message)

    async def _enforce_all(self) -> bool:
        """Load what differs; whether all of it could be."""
        results: list[bool] = []

        async def one(uid: str) -> None:
            results.append(await self._enforce(uid))

        world = self._world()
        async with anyio.create_task_group() as group:
            for uid in list(self._leases):
                await checkpoint()  # many pods: others of this loop get their turn
                if self._differs(world, uid) is not None:
                    group.start_soon(one, uid)
        vitals.ISOLATED.set(sum(1 for found in self._loaded.values() if found))
        return all(results)

    def _world(self) -> World:
        return self._state.world(self._leases)

    def _differs(self, world: World, uid: str) -> str | None:
        """The table that the pod should have and does not; a pod that the API no longer knows
        keeps what it has until it is gone.
        """
        ip = self._leases.get(uid)
        if ip is None or uid not in world.pods:
            return None
        wanted = text.table(rules_of(world, uid), ip, self._config.node_address)
        return wanted if self._loaded.get(uid) != wanted else None

    async def _enforce(self, uid: str) -> bool:
        async with self._lock(uid):
            wanted = self._differs(self._world(), uid)
            if wanted is None:
                return True
            started = perf_counter()
            work = partial(self._load, uid, text.replacing(wanted))
            try:
                await to_thread.run_sync(work, limiter=self._threads)
            except (CloudwrightError, OSError) as error:
                if uid not in self._leases:
                    return True  # it ended meanwhile
                vitals.FAILURES.labels("policy").inc()
                _log.error("the policy of pod %s is not in place: %s", uid, error)
                return False
            if uid in self._leases:
                self._loaded[uid] = wanted
            vitals.POLICY_SECONDS.observe(perf_counter() - started)
            return True

    def _lock(self, uid: str) -> anyio.Lock:
        return self._locks.setdefault(uid, anyio.Lock())

    # What the driver asks.

    def know(self, leases: Iterable[Lease]) -> None:
        """These pods were there before this daemon."""
        self._leases = {lease.pod_uid: lease.ip for lease in leases}
        self._loaded.clear()
        self._wake()

    @asynccontextmanager
    async def admitted(self, lease: Lease) -> AsyncIterator[str]:
        """The table that the pod gets before its link; it counts as loaded at the end.

        Raises:
            NetworkError: the API knows no such pod (any more).
            CloudwrightError: the API does not answer.
        """
        await self._synced.wait()
        uid = lease.pod_uid
        async with self._lock(uid):
            with self._state.reading():
                await self._read(lease)
            self._leases[uid] = lease.ip
            rules = rules_of(self._world(), uid)
            wanted = text.table(rules, lease.ip, self._config.node_address)
            yield wanted
            self._loaded[uid] = wanted
        self._wake()

    async def _read(self, lease: Lease) -> None:
        """What was written before the pod is known with it: watches may come later."""
        for policy in (await self._client.list(NETWORK_POLICY, lease.namespace)).items:
            self._state.put_policy(policy)
        if lease.pod_uid not in self._state.pods:
            pod = await self._client.get(POD, lease.name, lease.namespace)
            if uid_of(pod) != lease.pod_uid:
                raise NetworkError(f"the pod {lease.namespace}/{lease.name} is another one now")
            self._state.put_pod(pod)

    def left(self, uid: str) -> None:
        """The pod's namespace and lease are going: its address is nobody's."""
        self._leases.pop(uid, None)
        self._loaded.pop(uid, None)
        self._locks.pop(uid, None)
        self._wake()


def _load(config: NetworkConfig, uid: str, wanted: str) -> None:
    path = config.netns_dir / names.netns_name(config.instance, uid)
    netns.inside(str(path), partial(nft.load, wanted, program=config.nft))
