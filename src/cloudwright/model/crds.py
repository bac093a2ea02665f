"""CustomResourceDefinitions of our own kinds, for API servers that do not know them (pure).

Made from the schemas that the built-in kinds have, so that there is one definition. What these
schemas cannot say and CEL can stands in ``RULES``; the rest (names, images, hooks …) is checked by
the operator, with the very code that is admission on Cloudwright's own API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.model import schemas
from cloudwright.model.objects import Object
from cloudwright.model.resources import MICRO_SERVICE, ROUTE, Resource

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_KEPT = {
    *("type", "format", "pattern", "enum", "minimum", "maximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "required", "default", "nullable", "description"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"),
    *("x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"),
}
_MOST = {"steps": 20, "dependencies": 64, "ports": 64}
"""Bounds without which the cost of a rule is not bounded either."""

RULES: Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]] = {
    MICRO_SERVICE.kind: {
        "spec.rollout": (
            (
                "!(has(self.strategy) && self.strategy == 'Canary')"
                " || (has(self.steps) && size(self.steps) > 0)",
                "a canary needs at least one step",
            ),
            (
                "!(has(self.steps) && size(self.steps) > 0 && has(self.strategy)"
                " && self.strategy != 'Canary')",
                "only a Canary has steps",
            ),
            (
                "!has(self.steps) || self.steps.all(i, self.steps.all(j,"
                " self.steps.indexOf(i) <= self.steps.indexOf(j) || i.weight >= j.weight))",
                "weights of steps must not fall",
            ),
        ),
        "spec.autoscaling": (
            (
                "self.maxReplicas >= (has(self.minReplicas) ? self.minReplicas : 1)",
                "maxReplicas must not be less than minReplicas",
            ),
            (
                "has(self.requestsPerSecond) || has(self.cpu)",
                "give requestsPerSecond or cpu",
            ),
        ),
        "spec.dependencies[]": (("self.name != ''", "name must not be empty"),),
        "spec": (
            (
                "!has(self.autoscaling) || !has(self.autoscaling.cpu) || (has(self.resources)"
                " && has(self.resources.requests) && 'cpu' in self.resources.requests)",
                "autoscaling.cpu needs resources.requests.cpu",
            ),
        ),
    }
}
_COLUMNS: Mapping[str, tuple[tuple[str, str, str, int], ...]] = {
    MICRO_SERVICE.kind: (
        ("Version", "string", ".status.version", 0),
        ("Ready", "integer", ".status.readyReplicas", 0),
        ("Status", "string", ".status.phase", 0),
        ("Route", "string", ".status.url", 0),
        ("Age", "date", ".metadata.creationTimestamp", 0),
        ("Message", "string", ".status.message", 1),
    ),
    ROUTE.kind: (
        ("Path", "string", ".spec.pathPrefix", 0),
        ("Service", "string", ".spec.service", 0),
        ("Age", "date", ".metadata.creationTimestamp", 0),
    ),
}
_SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def definition(resource: Resource) -> Object:
    """The CustomResourceDefinition of one of our kinds.

    Raises:
        ValueError: it is none of ours.
    """
    schema = schemas.schema_for(resource)
    if schema is None or resource.kind not in _COLUMNS:
        raise ValueError(f"{resource.kind} is not one of our kinds")
    structural = _inlined(schema, "", RULES.get(resource.kind, {}))
    structural["properties"]["metadata"] = {"type": "object"}
    subresources: Object = {"status": {}}
    if "scale" in resource.subresources:
        subresources["scale"] = _SCALE
    names: Object = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.singular,
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "names": names,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": structural},
                    "subresources": subresources,
                    "additionalPrinterColumns": [
                        _column(*column) for column in _COLUMNS[resource.kind]
                    ],
                }
            ],
        },
    }


def _column(name: str, kind: str, path: str, priority: int) -> Object:
    column: Object = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": priority} if priority else column


def _inlined(schema: Mapping[str, Any], path: str, rules: Mapping[str, Any]) -> Object:
    """A structural schema without references; ``path`` is where it stands (``spec.ports[]``)."""
    target = str(schema.get("$ref") or "").removeprefix(schemas.PREFIX)
    if target in (_QUANTITY, _INT_OR_STRING):
        about = {"description": schema["description"]} if "description" in schema else {}
        return {**about, "x-kubernetes-int-or-string": True}
    inner = schemas.resolve(schema) if target else schema
    found = {key: inner[key] for key in inner if key in _KEPT}
    found |= {key: schema[key] for key in schema if key in _KEPT}
    if "properties" in inner:
        found["type"] = "object"
        found["properties"] = {
            name: _inlined(field, f"{path}.{name}".lstrip("."), rules)
            for name, field in inner["properties"].items()
        }
    if isinstance(inner.get("items"), Mapping):
        found["items"] = _inlined(inner["items"], f"{path}[]", rules)
        if (most := _MOST.get(path.rpartition(".")[2])) is not None:
            found["maxItems"] = most
    if isinstance(inner.get("additionalProperties"), Mapping):
        found["additionalProperties"] = _inlined(
            inner["additionalProperties"], f"{path}{{}}", rules
        )
    if path in rules:
        found["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for rule, message in rules[path]
        ]
    return found
