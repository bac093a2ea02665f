"""What the life cycle of a MicroService looks at, and the names that it uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from cloudwright.model import conditions
from cloudwright.model import pods as podstate
from cloudwright.model.objects import Object, generation, labels_of, name_of
from cloudwright.operator.engines.actions import Plan
from cloudwright.operator.engines.autoscale import Load
from cloudwright.operator.engines.scaling import Advice
from cloudwright.operator.engines.traffic import Traffic

FINALIZER = "platform.example.com/cleanup"
LABEL = "platform.example.com/microservice"
CONFIG_APPLIED = "cloudwright.dev/config-applied"
PRE_STOP_WEBHOOK = "cloudwright.dev/pre-stop-webhook"
EGRESS = "cloudwright.dev/egress"
CANARY = "platform.example.com/canary-of"
"""Label of a canary and its pods: with ``LABEL`` the stable Service would find them."""
BACKENDS = "cloudwright.dev/backends"
"""Annotation of a Service: who answers in its place, by weight (the mesh reads it)."""
COMMAND = "platform.example.com/rollout-command"
"""Annotation of a MicroService: ``promote``, ``abort``, ``pause`` or ``resume``, obeyed once."""
HOOK_ATTEMPTS = 8
HOOK_FIRST_WAIT = 1.0
HOOK_LONGEST_WAIT = 15.0


Routing = Literal["mesh", "gateway-api", "none"]
"""How requests get a share: Cloudwright's proxies, an HTTPRoute, or only by numbers of pods."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that one decision may depend on."""

    service: Object
    """The MicroService itself."""
    now: datetime
    problems: Sequence[str] = ()
    """What is wrong with the spec: ``path: what``."""
    children: Mapping[str, Object] = field(default_factory=dict)
    """By kind (``Deployment`` …): the objects of the same name, whoever owns them."""
    replica_sets: Sequence[Object] = ()
    """Those of the Deployment."""
    pods: Sequence[Object] = ()
    """Every pod with the label of this MicroService."""
    dependencies: Mapping[str, Object | None] = field(default_factory=dict)
    """By ``namespace/name``; ``None``: there is no such MicroService."""
    circle: Sequence[str] = ()
    """The way back to itself over dependencies, when they wait for each other."""
    events: Sequence[Object] = ()
    """Warnings about the pods."""
    canary: Mapping[str, Object] = field(default_factory=dict)
    """By kind: the objects of the canary's name, whoever owns them."""
    canary_replica_sets: Sequence[Object] = ()
    canary_pods: Sequence[Object] = ()
    revisions: Sequence[Object] = ()
    """The ControllerRevisions of this MicroService."""
    served: frozenset[str] = frozenset({"Route", "PodDisruptionBudget", "ControllerRevision"})
    """Kinds that this API has, of those that not every API has."""
    routing: Routing = "mesh"
    gateway: tuple[str, str] = ("", "")
    """``(namespace, name)`` of the Gateway that HTTPRoutes attach to."""
    nodes_confirm: bool = True
    """Whether nodes write into pods which configuration their files have."""
    applies: bool = False
    """Whether children are written by server-side apply."""
    metered: bool = True
    """Whether anything measures requests here."""
    traffic: Traffic | None = None
    """What the canary answered since its present share was set; ``None``: nobody knows."""
    load: Load | None = None
    """What all pods are asked and use; ``None``: not looked at this time."""
    advice: Sequence[Advice] = ()
    """What autoscaling recommended before."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """The MicroService's spec."""
        return self.service.get("spec") or {}

    @property
    def rollout(self) -> Mapping[str, Any]:
        """``spec.rollout``."""
        return self.spec.get("rollout") or {}

    @property
    def deployment(self) -> Object | None:
        """The Deployment of the same name."""
        return self.children.get("Deployment")

    def template_pods(self, replica_set: Object | None) -> list[Object]:
        """The pods of one ReplicaSet."""
        uid = replica_set["metadata"].get("uid") if replica_set else None
        return [
            pod
            for pod in self.pods
            if uid is not None
            and any(r.get("uid") == uid for r in pod["metadata"].get("ownerReferences") or [])
        ]


@dataclass(frozen=True, slots=True)
class HookCall:
    """A hook to call now. ``status_key`` says where its outcome is kept in the status."""

    url: str
    payload: dict[str, Any]
    status_key: Literal["postRolloutHook", "configHook"]
    attempt: int
    key: str = ""
    """The same for every attempt of this call: who is called twice can tell."""
    pod: str = ""
    """Where a hook that is a file runs."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan, and perhaps a hook to call once status and actions are written."""

    plan: Plan
    hook: HookCall | None = None
    advice: Advice | None = None
    """What autoscaling recommends now, to be remembered."""


class Ledger:
    """The status being worked out."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.status: Object = dict(world.service.get("status") or {})

    def condition(self, kind: str, truth: bool | None, reason: str, message: str = "") -> bool:
        """Set a condition (``None``: Unknown); returns whether status or reason changed."""
        if kind == "Ready":
            self.status["message"] = message
        old = conditions.find(self.status.get("conditions"), kind) or {}
        value: conditions.Status = "Unknown" if truth is None else "True" if truth else "False"
        self.status["conditions"] = conditions.set_condition(
            self.status.get("conditions"),
            kind,
            value,
            reason,
            message,
            self.world.now,
            generation(self.world.service),
        )
        return (old.get("status"), old.get("reason")) != (value, reason)

    def drop(self, kind: str) -> None:
        """Remove a condition."""
        self.status["conditions"] = conditions.remove_condition(self.status.get("conditions"), kind)

    def record(self, key: str) -> dict[str, Any]:
        """A copy of a sub-object of the status."""
        return dict(self.status.get(key) or {})

    def count(self) -> None:
        """Replica counters, selector and observed generation."""
        deployment = self.world.deployment or {}
        counts = deployment.get("status") or {}
        self.status["observedGeneration"] = generation(self.world.service)
        self.status["selector"] = f"{LABEL}={name_of(self.world.service)}"
        for name in ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"):
            self.status[name] = int(counts.get(name) or 0)


def wished_replicas(ledger: Ledger) -> int:
    """How many pods there should be: what the load asks for, else ``spec.replicas``."""
    spec = ledger.world.spec
    wished = spec.get("replicas")
    fixed = 1 if wished is None else int(wished)
    wish = spec.get("autoscaling")
    if not wish:
        return fixed
    found = ledger.record("autoscaling").get("desiredReplicas")
    number = fixed if found is None else int(found)
    return min(max(number, int(wish.get("minReplicas") or 1)), int(wish["maxReplicas"]))


def ready_pods(world: World) -> list[Object]:
    """Pods that serve and are not on their way out."""
    return [pod for pod in world.pods if podstate.is_active(pod) and podstate.is_ready(pod)]


def version_of(obj: Mapping[str, Any]) -> str:
    """``spec.version`` of a MicroService."""
    return str((obj.get("spec") or {}).get("version") or "")


def template_version(replica_set: Mapping[str, Any]) -> str:
    """The version that the pods of a ReplicaSet run."""
    labels = labels_of(replica_set["spec"].get("template") or {})
    return labels.get("app.kubernetes.io/version", "")
