"""What Deployment and ReplicaSet have in common: selector, template, replicas."""

from __future__ import annotations

from cloudwright.model import fields, selectors
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import defaults
from cloudwright.model.kinds.pod import template_errors
from cloudwright.model.kinds.spec import mapping, not_negative, unchanged, wrong
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
    selector = spec.get("selector")
    if selector is None:
        return [fields.required("spec.selector")]
    try:
        parsed = selectors.from_label_selector(selector)
    except ValueError as error:
        return wrong("spec.selector", selector, [str(error)])
    if parsed.empty:
        message = "empty selector is invalid for deployment"
        return [fields.invalid("spec.selector", selector, message)]
    labels = mapping(mapping(mapping(spec, "template"), "metadata"), "labels")
    if not parsed.matches(labels):
        message = "`selector` does not match template `labels`"
        return [fields.invalid("spec.template.metadata.labels", labels, message)]
    return []
