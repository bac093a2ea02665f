"""PodTemplate, ControllerRevision and ReplicationController: what older controllers keep."""

from __future__ import annotations

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import defaults, labels
from cloudwright.model.kinds.pod import template_errors
from cloudwright.model.kinds.spec import KindSpec, mapping, not_negative
from cloudwright.model.objects import Object


def _template_defaults(template: Object) -> None:
    defaults.template(template)


def _check_template(template: Object, _old: Object | None) -> list[FieldError]:
    return template_errors(mapping(template, "template"), "template", "")


def _check_revision(revision: Object, old: Object | None) -> list[FieldError]:
    found = not_negative(revision, "", "revision")
    data = revision.get("data")
    if old is None:
        if data is None:
            found.append(fields.required("data", "data is mandatory"))
        elif not isinstance(data, dict):
            found.append(fields.required("data", "data must be a valid JSON object"))
    elif data != old.get("data"):
        found.append(fields.invalid("data", data, "field is immutable"))
    return found


def _controller_defaults(controller: Object) -> None:
    spec = controller.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    defaults.template(spec)
    found = mapping(mapping(mapping(spec, "template"), "metadata"), "labels")
    if found:
        if not spec.get("selector"):
            spec["selector"] = dict(found)
        if not controller["metadata"].get("labels"):
            controller["metadata"]["labels"] = dict(found)


def _check_controller(controller: Object, _old: Object | None) -> list[FieldError]:
    spec = mapping(controller, "spec")
    found = not_negative(spec, "spec", "minReadySeconds")
    selector = mapping(spec, "selector")
    if not selector:
        found.append(fields.required("spec.selector"))
    found += not_negative(spec, "spec", "replicas")
    template = spec.get("template")
    if template is None:
        return [*found, fields.required("spec.template")]
    if selector:
        found += labels.template_matches({"matchLabels": selector}, template, "spec.template")
    return found + template_errors(template, "spec.template", "ReplicationController")


TEMPLATE = KindSpec(resources.POD_TEMPLATE, _template_defaults, _check_template)
REVISION = KindSpec(resources.CONTROLLER_REVISION, check=_check_revision)
CONTROLLER = KindSpec(
    resources.REPLICATION_CONTROLLER,
    _controller_defaults,
    _check_controller,
    lambda _controller: {"replicas": 0},
)
