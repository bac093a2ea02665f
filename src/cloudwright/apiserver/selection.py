"""Which objects of a collection a request wants: namespace, label selector, field selector."""

from __future__ import annotations

from dataclasses import dataclass

from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import bad_request
from cloudwright.model import selectors
from cloudwright.model.objects import Object
from cloudwright.model.selectors import FieldRequirement, FieldSelector, LabelSelector

_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_ALIASES = {
    "source": "source.component",
    "reportingController": "reportingComponent",
    "spec.host": "spec.nodeName",
    "status.successful": "status.succeeded",
    **{f"regarding.{name}": f"involvedObject.{name}" for name in _INVOLVED},
}
_ZERO = {
    "spec.hostNetwork": "false",
    "spec.unschedulable": "false",
    "status.replicas": "0",
    "status.succeeded": "0",
}
_ANY_LABELS = LabelSelector()
_ANY_FIELDS = FieldSelector()


@dataclass(frozen=True, slots=True)
class Selection:
    """A label and a field selector, both on objects in storage form."""

    labels: LabelSelector = _ANY_LABELS
    fields: FieldSelector = _ANY_FIELDS

    @property
    def everything(self) -> bool:
        """Whether it selects all, so that nothing needs to be decoded."""
        return self.labels.empty and self.fields.empty

    def matches(self, obj: Object) -> bool:
        """Whether the object is selected."""
        return self.labels.matches(obj["metadata"].get("labels")) and self.fields.matches(obj)


def of(call: Call) -> Selection:
    """What the call's query selects.

    Raises:
        ApiError: 400, a selector cannot be parsed or names a field that cannot be selected by.
    """
    label_text, field_text = call.query.get("labelSelector"), call.query.get("fieldSelector")
    if not label_text and not field_text and not (call.verb == "watch" and call.name):
        return Selection()
    try:
        labels = selectors.parse_labels(label_text)
        fields = selectors.parse_fields(field_text)
    except ValueError as error:
        raise bad_request(str(error)) from error
    for one in fields.requirements:
        _check_known(call, one.path)
    requirements = tuple(map(_resolved, fields.requirements))
    if call.verb == "watch" and call.name:
        requirements += (FieldRequirement("metadata.name", "=", call.name),)
    return Selection(labels, FieldSelector(requirements))


def _resolved(one: FieldRequirement) -> FieldRequirement:
    path = _ALIASES.get(one.path, one.path)
    return FieldRequirement(path, one.operator, one.value, _ZERO.get(path, ""))


def _check_known(call: Call, path: str) -> None:
    """Refuse a field that cannot be selected by. Raises ``ApiError`` 400."""
    resource, own = call.served.resource, call.served.field_paths
    if path == "metadata.name" or path in own:
        return
    plain = not own and not call.served.custom
    if path == "metadata.namespace" and (resource.namespaced or plain):
        return
    if plain:
        raise bad_request(
            f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
        )
    if resource.kind == "Job":
        raise bad_request(f'field label "{path}" not supported for Job')
    if resource.kind == "ResourceSlice":
        kind = f"{resource.api_version}, Kind={resource.kind}"
        raise bad_request(f"field label not supported for {kind}: {path}")
    raise bad_request(f"field label not supported: {path}")
