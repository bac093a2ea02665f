"""``metrics.k8s.io/v1beta1``: what pods and the node use now, for ``kubectl top`` and autoscaling.

Whoever runs the pods fills the port ``Usage``; ``attach`` serves the kinds from then on. Rates need
two looks at the counters: before the second one, and when looks fail for long, nothing is known and
nothing is told, and the APIService says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import anyio
import orjson

from cloudwright._base import logs
from cloudwright._base.clock import rfc3339
from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver import calls, encoding
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.identity import ADMINISTRATORS, User
from cloudwright.apiserver.registry import Served, storage_of
from cloudwright.client.transport import Request
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.resources import CLUSTER_ROLE, Resource

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_log = logs.get("apiserver.metrics")
GROUP, VERSION = "metrics.k8s.io", "v1beta1"
READ = ("get", "list")
PODS = Resource(GROUP, VERSION, "PodMetrics", "pods", "", True, verbs=READ)
NODES = Resource(GROUP, VERSION, "NodeMetrics", "nodes", "", False, verbs=READ)
SECONDS = 15.0
"""How often the counters are looked at: metrics-server's resolution."""
STALE_SECONDS = 60.0
READER = "system:aggregated-metrics-reader"
_USER = User("system:apiserver", (ADMINISTRATORS,))
_SOON = 2.0


class Used(NamedTuple):
    """The counters of a container, or of a node (then ``pod`` and ``namespace`` are empty)."""

    namespace: str
    pod: str
    name: str
    """The container's or the node's."""
    cpu_seconds: float
    """Since it started."""
    memory_bytes: int


class Usage(Protocol):
    """Whoever can say what is used."""

    async def used(self) -> Sequence[Used]:
        """The counters of every container and node as they are now.

        Raises:
            CloudwrightError: they cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Look:
    """The counters at one moment."""

    at: float
    """By the monotonic clock."""
    time: datetime
    used: Mapping[tuple[str, str, str], Used]


class ResourceMetrics:
    """The last two looks, and what they say of a pod or a node."""

    def __init__(self, core: ApiCore, usage: Usage) -> None:
        self._core = core
        self._usage = usage
        self._before: Look | None = None
        self._now: Look | None = None

    async def run(self) -> None:
        """Look at the counters until cancelled."""
        await _ensure_reader(self._core)
        while True:
            await self.look()
            known = self._before is not None
            await anyio.sleep(SECONDS if known else _SOON)

    async def look(self) -> None:
        """Look once; counters that cannot be read are logged, and old ones soon forgotten."""
        try:
            found = await self._usage.used()
        except CloudwrightError as error:
            _log.warning("the use of resources cannot be read: %s", error.message)
            return
        table = {(one.namespace, one.pod, one.name): one for one in found}
        clock = self._core.clock
        self._before = self._now
        self._now = Look(clock.monotonic(), clock.now(), table)

    @property
    def known(self) -> bool:
        """Whether something is known that is not too old."""
        if self._before is None or self._now is None:
            return False
        return self._core.clock.monotonic() - self._now.at <= STALE_SECONDS

    async def pods(self) -> list[Object]:
        """``PodMetrics`` of every pod whose containers were seen twice."""
        containers: dict[tuple[str, str], list[Object]] = {}
        for used, cores in self._rates():
            if used.pod:
                one = {"name": used.name, "usage": _usage(cores, used.memory_bytes)}
                containers.setdefault((used.namespace, used.pod), []).append(one)
        found = []
        for (namespace, name), parts in sorted(containers.items()):
            labels = await self._labels("pods", f"{namespace}/{name}")
            if labels is not None:
                made = self._made(PODS, name, namespace, labels)
                made["containers"] = sorted(parts, key=lambda one: str(one["name"]))
                found.append(made)
        return found

    async def nodes(self) -> list[Object]:
        """``NodeMetrics`` of every node that was seen twice."""
        found = []
        for used, cores in self._rates():
            labels = None if used.pod else await self._labels("nodes", f"/{used.name}")
            if labels is not None:
                made = self._made(NODES, used.name, "", labels)
                made["usage"] = _usage(cores, used.memory_bytes)
                found.append(made)
        return found

    def _rates(self) -> list[tuple[Used, float]]:
        """Everything that was seen twice, with the cores it used in between."""
        before, now = self._before, self._now
        if before is None or now is None or not self.known or now.at <= before.at:
            return []
        found = []
        for key, used in now.used.items():
            was = before.used.get(key)
            # A counter that went back is of a container that was started again.
            if was is not None and used.cpu_seconds >= was.cpu_seconds:
                found.append((used, (used.cpu_seconds - was.cpu_seconds) / (now.at - before.at)))
        return found

    async def _labels(self, plural: str, key: str) -> Mapping[str, str] | None:
        record = await self._core.store.get(f"{storage_of('', plural)}{key}")
        if record is None:
            return None
        return encoding.decode(record.value)["metadata"].get("labels") or {}

    def _made(
        self, resource: Resource, name: str, namespace: str, labels: Mapping[str, str]
    ) -> Object:
        assert self._now is not None, "rates are known"
        assert self._before is not None, "rates are known"
        metadata: dict[str, Any] = {"name": name}
        if namespace:
            metadata["namespace"] = namespace
        if labels:
            metadata["labels"] = dict(labels)
        time = rfc3339(self._now.time)
        return {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": metadata | {"creationTimestamp": time},
            "timestamp": time,
            "window": f"{self._now.at - self._before.at:.3f}s",
        }


def _usage(cores: float, memory: int) -> dict[str, str]:
    return {"cpu": f"{round(cores * 1e9)}n", "memory": f"{memory // 1024}Ki"}


def attach(core: ApiCore, usage: Usage) -> ResourceMetrics:
    """Serve the kinds of ``metrics.k8s.io`` by ``usage``; run what is returned."""
    made = core.resource_metrics = ResourceMetrics(core, usage)
    for resource in (PODS, NODES):
        core.registry.add(
            Served(
                resource=resource,
                storage=storage_of(resource.group, resource.plural),
                storage_version=resource.api_version,
                kind=_Measured(),
                schema=_SCHEMA,
                columns=_COLUMNS[resource.plural],
                patch_keys=False,
            )
        )
    return made


class _Measured:
    """Nobody writes what is measured."""

    def prepare_create(self, obj: Object, now: datetime) -> Object:
        """As it is."""
        del now
        return obj

    def prepare_update(self, new: Object, old: Object) -> Object:
        """As it is."""
        del old
        return new

    def validate(self, obj: Object, old: Object | None) -> list[FieldError]:
        """Nothing to check."""
        del obj, old
        return []


async def _ensure_reader(core: ApiCore) -> None:
    """``view``, ``edit`` and ``admin`` may read measures, as metrics-server's own role has it."""
    roles = ("view", "edit", "admin")
    aggregate = {f"rbac.authorization.k8s.io/aggregate-to-{role}": "true" for role in roles}
    rule = {"apiGroups": [GROUP], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}
    body = {
        "apiVersion": CLUSTER_ROLE.api_version,
        "kind": CLUSTER_ROLE.kind,
        "metadata": {"name": READER, "labels": aggregate},
        "rules": [rule],
    }
    key = f"{storage_of(CLUSTER_ROLE.group, CLUSTER_ROLE.plural)}/{READER}"
    if await core.store.get(key) is not None:
        return
    from cloudwright.apiserver import writes

    headers = {"user-agent": "kube-apiserver"}
    request = Request("POST", CLUSTER_ROLE.path(), (), headers, orjson.dumps(body))
    try:
        await writes.create(core, calls.parse(request, _USER, core.registry), body)
    except ApiError as error:
        if error.http_status != 409:
            raise


_QUANTITIES = {"type": "object", "additionalProperties": {"type": "string"}}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "timestamp": {"type": "string", "format": "date-time"},
        "window": {"type": "string"},
        "usage": _QUANTITIES,
        "containers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "usage": _QUANTITIES},
            },
        },
    },
}
_WINDOW = {"name": "Window", "type": "string", "jsonPath": ".window"}
_COLUMNS: dict[str, tuple[dict[str, Any], ...]] = {
    "pods": (
        {"name": "cpu", "type": "string", "jsonPath": ".containers[*].usage.cpu"},
        {"name": "memory", "type": "string", "jsonPath": ".containers[*].usage.memory"},
        _WINDOW,
    ),
    "nodes": (
        {"name": "cpu", "type": "string", "jsonPath": ".usage.cpu"},
        {"name": "memory", "type": "string", "jsonPath": ".usage.memory"},
        _WINDOW,
    ),
}
