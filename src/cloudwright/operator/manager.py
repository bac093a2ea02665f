"""Runs controllers: shared caches, one queue each, workers, back-off, metrics.

A controller never sees an exception of another one, and an object that fails only delays itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import count

import anyio
from anyio.abc import TaskStatus

from cloudwright._base import logs
from cloudwright._base.clock import Clock, SystemClock
from cloudwright._base.errors import CloudwrightError, ConflictError
from cloudwright.client.client import Client
from cloudwright.client.recorder import Recorder
from cloudwright.model.objects import Object, key_of
from cloudwright.model.resources import Resource
from cloudwright.operator.access import Access
from cloudwright.operator.cache import Cache
from cloudwright.operator.config import Config
from cloudwright.operator.engines.applying import MANAGER
from cloudwright.operator.queue import Queue
from cloudwright.operator.vitals import ControllerVitals, Vitals

_LOG = logs.get("operator")
_IN_A_ROW = 32


@dataclass(frozen=True, slots=True)
class Result:
    """How a reconciliation went; ``requeue_after`` asks for another look in that many seconds."""

    requeue_after: float | None = None


DONE = Result()


class Controller(ABC):
    """Something that brings objects of one kind to their wish, one key at a time."""

    name: str
    """Lower-case; appears in metrics, logs and events."""
    concurrency: int | None = None
    """Keys worked on at once; ``None``: the manager's configuration."""

    def __init__(self) -> None:
        self.queue: Queue
        self.manager: Manager
        self.api: Access

    @abstractmethod
    def setup(self) -> None:
        """Ask ``self.manager`` for caches and say which changes concern which keys."""

    @abstractmethod
    async def sync(self, key: str) -> Result:
        """Bring one object to its wish. Called again after an exception, later each time."""

    async def background(self) -> None:
        """Work that is not about one key; runs beside the workers until cancelled."""
        return

    def now(self) -> datetime:
        """The time of day."""
        return self.manager.clock.now()

    def watch(
        self,
        resource: Resource,
        keys: Callable[[Object], Iterable[str]] | None = None,
    ) -> Cache:
        """The shared cache of a kind; each change queues the keys that ``keys`` names for the
        object before and after it (by default its own key).
        """
        cache = self.manager.cache(resource)

        name = keys or (lambda _: ())

        def itself(old: Object | None, new: Object | None) -> None:
            self.queue.add(key_of(new or old or {}))

        def changed(old: Object | None, new: Object | None) -> None:
            found = {key for obj in (old, new) if obj is not None for key in name(obj)}
            self.queue.add_all(sorted(found))

        cache.subscribe(itself if keys is None else changed)
        return cache


class Manager:
    """Owns the caches and runs the controllers until cancelled."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock | None = None,
        config: Config | None = None,
        vitals: Vitals | None = None,
        component: str = "cloudwright-operator",
    ) -> None:
        self.client = client
        self.clock = clock or SystemClock()
        self.config = config or Config()
        self.vitals = vitals or Vitals()
        self.recorder = Recorder(client, component, clock=self.clock)
        self._caches: dict[tuple[str, str], Cache] = {}
        self._controllers: list[Controller] = []
        self._tasks: anyio.abc.TaskGroup | None = None

    def add(self, controller: Controller) -> None:
        """Register a controller; before ``run``."""
        controller.manager = self
        controller.queue = Queue(self.clock, self.config.backoff)
        controller.api = Access(
            self.client,
            self.recorder,
            self.vitals,
            controller=controller.name,
            dry_run=self.config.dry_run,
            field_manager=MANAGER if self.config.server_side_apply else "",
        )
        self._controllers.append(controller)
        controller.setup()

    def cache(self, resource: Resource) -> Cache:
        """The shared cache of a kind; one that is new while the manager runs starts at once."""
        key = (resource.group, resource.plural)
        cache = self._caches.get(key)
        if cache is None:
            cache = self._caches[key] = Cache(self.client, resource, self.config.namespace)
            if self._tasks is not None:
                self._tasks.start_soon(cache.run)
        return cache

    def drop_cache(self, resource: Resource) -> None:
        """Stop watching a kind that is served no more."""
        cache = self._caches.pop((resource.group, resource.plural), None)
        if cache is not None:
            cache.stop()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Fill the caches, then work until cancelled. Reports started when the caches are full."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for cache in list(self._caches.values()):
                tasks.start_soon(cache.run)
            for cache in list(self._caches.values()):
                await cache.wait_synced()
            for controller in self._controllers:
                number = controller.concurrency or self.config.concurrency
                depth = partial(len, controller.queue.schedule)
                vitals = self.vitals.of(controller.name, number, depth)
                controller.queue.on_add = vitals.added
                for _ in range(number):
                    tasks.start_soon(self._work, controller, vitals)
                tasks.start_soon(controller.background)
            task_status.started()

    async def _work(self, controller: Controller, vitals: ControllerVitals) -> None:
        queue = controller.queue
        for number in count(1):
            key = await queue.get()
            begun = vitals.begun(key)
            result = "error"
            try:
                result = await self._once(controller, key)
            finally:
                queue.done(key)
                vitals.ended(result, begun)
            if number % _IN_A_ROW == 0:
                # Who finds its keys ready and writes nothing would never let others run.
                await anyio.lowlevel.checkpoint()

    async def _once(self, controller: Controller, key: str) -> str:
        queue = controller.queue
        try:
            result = await controller.sync(key)
        except ConflictError as error:
            # The view was stale; the change that made it so is on its way.
            delay = queue.failed(key)
            _LOG.debug("%s %s: %s; again in %.1f s", controller.name, key, error, delay)
            return "requeue"
        except CloudwrightError as error:
            delay = queue.failed(key)
            if controller.api.namespace_ends(error):
                return "requeue"
            _LOG.warning("%s %s: %s; again in %.1f s", controller.name, key, error, delay)
            return "error"
        except Exception:
            delay = queue.failed(key)
            _LOG.exception("%s %s failed; again in %.1f s", controller.name, key, delay)
            return "error"
        queue.schedule.succeeded(key)
        if result.requeue_after is None:
            return "success"
        queue.add_after(key, result.requeue_after)
        return "requeue_after"
