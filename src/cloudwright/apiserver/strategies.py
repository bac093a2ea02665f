"""What kube-apiserver's strategies say of each built-in kind: generations, updates without version.

The facts are those of ``pkg/registry/*/*/strategy.go``; kinds of CustomResourceDefinitions have the
rules of ``apiextensions-apiserver``. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.apiserver.registry import Served
from cloudwright.model.objects import Object

_SPEC = ("spec",)
_HOOKS = ("webhooks",)
_GENERATION: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): _SPEC,
    ("", "podtemplates"): ("template",),
    ("", "replicationcontrollers"): _SPEC,
    ("apps", "daemonsets"): _SPEC,
    ("apps", "deployments"): _SPEC,
    ("apps", "replicasets"): _SPEC,
    ("apps", "statefulsets"): _SPEC,
    ("batch", "cronjobs"): _SPEC,
    ("batch", "jobs"): _SPEC,
    ("discovery.k8s.io", "endpointslices"): ("addressType", "endpoints", "ports"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): _SPEC,
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): _SPEC,
    ("networking.k8s.io", "ingressclasses"): _SPEC,
    ("networking.k8s.io", "ingresses"): _SPEC,
    ("networking.k8s.io", "networkpolicies"): _SPEC,
    ("policy", "poddisruptionbudgets"): _SPEC,
    ("resource.k8s.io", "deviceclasses"): _SPEC,
    ("resource.k8s.io", "resourceslices"): _SPEC,
    ("scheduling.k8s.io", "priorityclasses"): (),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"): _SPEC,
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"): _SPEC,
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): _SPEC,
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): _SPEC,
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): _HOOKS,
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): _HOOKS,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _SPEC,
    ("platform.example.com", "microservices"): _SPEC,
    ("cloudwright.dev", "routes"): _SPEC,
}
"""Kinds whose objects start at generation 1, and the fields whose change adds one."""

_VERSIONED = frozenset(
    {
        ("coordination.k8s.io", "leases"),
        ("coordination.k8s.io", "leasecandidates"),
        ("certificates.k8s.io", "clustertrustbundles"),
        ("node.k8s.io", "runtimeclasses"),
        ("policy", "poddisruptionbudgets"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "csistoragecapacities"),
        ("storage.k8s.io", "volumeattachments"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
    }
)
"""Built-in kinds that may only be replaced by naming the version they were made from."""


def unconditional(served: Served) -> bool:
    """Whether an object may be replaced without naming a ``resourceVersion``."""
    resource = served.resource
    return not served.custom and (resource.group, resource.plural) not in _VERSIONED


def begin_generation(served: Served, obj: Object) -> None:
    """A new object's ``metadata.generation``."""
    resource = served.resource
    if served.custom or (resource.group, resource.plural) in _GENERATION:
        obj["metadata"]["generation"] = 1


def bump_generation(served: Served, new: Object, old: Object) -> None:
    """Add one to ``metadata.generation`` when what counts has changed."""
    resource, before = served.resource, old["metadata"].get("generation", 0)
    if served.custom:
        changed = _content(served, new) != _content(served, old)
    else:
        key = (resource.group, resource.plural)
        changed = any(new.get(name) != old.get(name) for name in _GENERATION.get(key, ()))
        if key == ("apps", "deployments"):
            # They are copied to ReplicaSets, so a controller must see that they changed.
            changed = changed or _meta(new, "annotations") != _meta(old, "annotations")
        elif key == ("discovery.k8s.io", "endpointslices"):
            changed = changed or _meta(new, "labels") != _meta(old, "labels")
    if changed:
        new["metadata"]["generation"] = int(before) + 1


def _meta(obj: Object, name: str) -> Any:
    return obj["metadata"].get(name) or {}


def _content(served: Served, obj: Object) -> Object:
    skipped = {"metadata", "apiVersion", "kind"}
    if "status" in served.resource.subresources:
        skipped.add("status")
    return {name: value for name, value in obj.items() if name not in skipped}
