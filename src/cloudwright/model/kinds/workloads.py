"""What Deployment and ReplicaSet have in common: selector, template, replicas."""

from __future__ import annotations

from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import defaults, labels
from cloudwright.model.kinds.pod import template_errors
from cloudwright.model.kinds.spec import mapping, not_negative, unchanged
from cloudwright.model.objects import Object


def default_template(spec: Object) -> None:
    """One replica, and the defaults of the pods to be."""
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    template = spec.get("template")
    if isinstance(template, dict):
        defaults.pod_spec(template.setdefault("spec", {}))


def workload_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """What is wrong with selector, template and numbers."""
    spec = mapping(obj, "spec")
    found = not_negative(spec, "spec", "replicas", "minReadySeconds")
    found += _selector_errors(spec)
    found += template_errors(mapping(spec, "template"), "spec.template")
    return found + unchanged(spec, old and mapping(old, "spec"), "spec", "selector")


def _selector_errors(spec: Object) -> list[FieldError]:
    selector, path = spec.get("selector"), "spec.selector"
    found = labels.selector_errors(selector, path)
    if selector is None:
        found.append(fields.required(path))
    elif labels.is_empty(selector):
        message = "empty selector is invalid for deployment"  # upstream says so of both
        return [*found, fields.invalid(path, selector, message)]
    return found + labels.template_matches(selector, mapping(spec, "template"), "spec.template")
