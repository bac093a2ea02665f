"""Why a Route is not served, and why a Service has no endpoints (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloudwright.mesh.routes import judge
from cloudwright.mesh.snapshot import SERVICE_NAME
from cloudwright.model import conditions
from cloudwright.model.objects import Object, deleting, key_of, labels_of, name_of, namespace_of


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason: ``reason`` is a word for programs, ``message`` a sentence, ``hint`` what to do.

    ``blocking`` findings explain why it does not work; the others are worth knowing.
    """

    subject: str
    reason: str
    message: str
    hint: str = ""
    blocking: bool = True


def why_route(
    route: Object,
    routes: Sequence[Object],
    services: Sequence[Object],
    slices: Sequence[Object],
    pods: Sequence[Object],
) -> list[Finding]:
    """Why requests for ``route`` are not answered by its Service; empty when nothing is wrong.

    ``routes`` are all Routes; the other objects may be all or those of the Route's namespace.
    """
    known = {key_of(service): service for service in services}
    ports = {
        (namespace_of(s), name_of(s)): [int(p["port"]) for p in s["spec"].get("ports") or []]
        for s in services
    }
    key = key_of(route)
    judged = judge(routes, ports)
    verdict = judged.verdicts.get(key)
    subject = f"Route {key}"
    if verdict is None:
        return [Finding(subject, "NotFound", "there is no such Route")]
    if not verdict.accepted:
        hints = {
            "Conflicted": "give one of them another host or path",
            "Disabled": "remove spec.disabled",
            "Invalid": "correct the field",
        }
        return [Finding(subject, verdict.reason, verdict.message, hints.get(verdict.reason, ""))]
    if not verdict.resolved:
        hint = "create the Service, or name another one in spec.service and spec.port"
        return [Finding(subject, verdict.resolved_reason, verdict.resolved_message, hint)]
    entry = next(e for e in judged.served if f"{e['namespace']}/{e['name']}" == key)
    service = known[f"{entry['namespace']}/{entry['service']}"]
    return why_service(service, slices, pods)


def why_service(service: Object, slices: Sequence[Object], pods: Sequence[Object]) -> list[Finding]:
    """Why the Service has no endpoints, or fewer than pods; empty when all pods get requests."""
    subject = f"Service {key_of(service)}"
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        text = "type ExternalName is not served by the mesh"
        return [Finding(subject, "Unsupported", text, "call the external name with egress set")]
    if not spec.get("ports"):
        return [Finding(subject, "NoPorts", "spec.ports is empty", "name a port")]
    selector = spec.get("selector") or {}
    if not selector:
        text = "spec.selector is empty, so no pod belongs to it"
        return [Finding(subject, "NoSelector", text, "set spec.selector to the pods' labels")]
    chosen = [pod for pod in pods if _selected(pod, namespace_of(service), selector)]
    shown = ",".join(f"{k}={v}" for k, v in sorted(selector.items()))
    if not chosen:
        hint = f"see which labels the pods have: cloudwright get pods -n {namespace_of(service)}"
        return [Finding(subject, "NoPods", f"no pod has the labels {shown}", hint)]
    ready = _ready_addresses(service, slices)
    findings = [f for pod in chosen if (f := _why_pod(pod, ready, service)) is not None]
    if any(f.blocking for f in findings) and len(findings) < len(chosen):
        return [Finding(f.subject, f.reason, f.message, f.hint, False) for f in findings]
    return findings


def _selected(pod: Object, namespace: str, selector: Mapping[str, str]) -> bool:
    labels = labels_of(pod)
    return namespace_of(pod) == namespace and all(labels.get(k) == v for k, v in selector.items())


def _ready_addresses(service: Object, slices: Iterable[Object]) -> set[str]:
    found: set[str] = set()
    for piece in slices:
        owner = (namespace_of(piece), labels_of(piece).get(SERVICE_NAME))
        if owner == (namespace_of(service), name_of(service)):
            for endpoint in piece.get("endpoints") or []:
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    found.update(endpoint.get("addresses") or [])
    return found


def _why_pod(pod: Object, ready: set[str], service: Object) -> Finding | None:
    """Why one pod gets no requests."""
    subject, status = f"Pod {key_of(pod)}", pod.get("status") or {}
    ask = f"cloudwright why pod/{name_of(pod)} -n {namespace_of(pod)}"
    if deleting(pod):
        return Finding(subject, "Terminating", "it is being deleted", "", False)
    phase = status.get("phase") or "Pending"
    if phase in ("Succeeded", "Failed"):
        return Finding(subject, phase, f"it has ended ({phase})", ask)
    if not status.get("podIP"):
        return Finding(subject, "NoAddress", f"it has no address yet (phase {phase})", ask)
    if not conditions.is_true(status.get("conditions"), "Ready"):
        condition = conditions.find(status.get("conditions"), "Ready") or {}
        said = condition.get("message") or condition.get("reason") or f"phase {phase}"
        return Finding(subject, "NotReady", f"it is not ready: {said}", ask)
    if status["podIP"] not in ready:
        text = f"it is ready, but not yet among the endpoints of {key_of(service)}"
        return Finding(subject, "EndpointsBehind", text, "look again in a moment")
    return None
