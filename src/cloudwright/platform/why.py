"""The first cause of an object's state, from the objects around it (pure: whoever calls has read
them).

``why`` walks from a MicroService or Deployment to its pods, from a Route to its Service, from a
pod to its
containers and events, and says what is wrong, in the words of the part that knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cloudwright.mesh import why as mesh_why
from cloudwright.model.conditions import is_true
from cloudwright.model.objects import Object, deleting, labels_of, name_of, namespace_of
from cloudwright.node import why as node_why

MICRO_SERVICE_LABEL = "platform.example.com/microservice"


@dataclass(frozen=True, slots=True)
class Cause:
    """One line of the answer: what it is about, what is so, what to do."""

    subject: str
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """The objects of the namespace that may be the cause."""

    pods: Sequence[Object] = ()
    events: Sequence[Object] = ()
    services: Sequence[Object] = ()
    slices: Sequence[Object] = ()
    routes: Sequence[Object] = ()


def why(obj: Object, world: World) -> list[Cause]:
    """The causes, the first first; empty when nothing is wrong."""
    judge: Callable[[Object, World], list[Cause]] | None = {
        "Pod": _pod,
        "MicroService": _microservice,
        "Deployment": _workload,
        "ReplicaSet": _workload,
        "Route": _route,
        "Service": _service,
    }.get(str(obj.get("kind")))
    return judge(obj, world) if judge else _conditions(obj)


def _subject(obj: Object) -> str:
    return f"{str(obj.get('kind', '')).lower()}/{name_of(obj)}"


def _pod(pod: Object, world: World) -> list[Cause]:
    events = [e for e in world.events if _about(e, pod)]
    found = node_why.explain(pod, events)
    if is_true((pod.get("status") or {}).get("conditions"), "Ready") and not deleting(pod):
        return []
    text = "; ".join([found.text, *found.evidence])
    return [Cause(_subject({**pod, "kind": "Pod"}), text, found.hint or "")]


def _about(event: Object, obj: Object) -> bool:
    about = event.get("involvedObject") or {}
    return bool(about.get("uid") == obj["metadata"].get("uid"))


def _conditions(obj: Object) -> list[Cause]:
    """Conditions that say no (of those whose True is good)."""
    found = []
    for condition in (obj.get("status") or {}).get("conditions") or []:
        kind, status = str(condition.get("type")), str(condition.get("status"))
        bad_when = "True" if kind in ("RolloutFailed", "ReplicaFailure") else "False"
        if status == bad_when:
            text = str(condition.get("message") or condition.get("reason") or status)
            found.append(Cause(_subject(obj), f"{kind}: {text}"))
    return found


def _microservice(obj: Object, world: World) -> list[Cause]:
    status = obj.get("status") or {}
    causes: list[Cause] = []
    if deleting(obj):
        waits = ", ".join(obj["metadata"].get("finalizers") or [])
        causes.append(Cause(_subject(obj), f"is being deleted, waits for {waits}"))
    if status.get("phase") in ("RolledBack", "Failed"):
        wanted = obj.get("spec", {}).get("version")
        good = status.get("lastGoodVersion") or "nothing"
        text = f"version {wanted} did not become ready, {good} serves"
        if status.get("message"):
            text += f": {status['message']}"
        hint = f"cloudwright rollback {name_of(obj)}, or change spec.version"
        causes.append(Cause(_subject(obj), text, hint))
    causes += _conditions(obj)
    pods = [p for p in world.pods if labels_of(p).get(MICRO_SERVICE_LABEL) == name_of(obj)]
    causes += _of_pods(pods, world)
    return _distinct(causes)


def _workload(obj: Object, world: World) -> list[Cause]:
    wanted = (obj.get("spec", {}).get("selector") or {}).get("matchLabels") or {}
    pods = [
        pod
        for pod in world.pods
        if wanted and all(labels_of(pod).get(key) == value for key, value in wanted.items())
    ]
    return _distinct([*_conditions(obj), *_of_pods(pods, world)])


def _of_pods(pods: Iterable[Object], world: World) -> list[Cause]:
    return [cause for pod in pods for cause in _pod({**pod, "kind": "Pod"}, world)]


def _route(obj: Object, world: World) -> list[Cause]:
    found = mesh_why.why_route(obj, world.routes, world.services, world.slices, world.pods)
    return [Cause(f.subject, f.message, f.hint) for f in found]


def _service(obj: Object, world: World) -> list[Cause]:
    mine = [s for s in world.slices if namespace_of(s) == namespace_of(obj)]
    found = mesh_why.why_service(obj, mine, world.pods)
    return [Cause(f.subject, f.message, f.hint) for f in found]


def _distinct(causes: Iterable[Cause]) -> list[Cause]:
    return list(dict.fromkeys(causes))
