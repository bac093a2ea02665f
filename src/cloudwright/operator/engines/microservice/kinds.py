"""The kinds of children that a MicroService has."""

from __future__ import annotations

from cloudwright.model.objects import Object, name_of, namespace_of, uid_of
from cloudwright.model.resources import (
    CONFIG_MAP,
    DEPLOYMENT,
    POD_DISRUPTION_BUDGET,
    ROUTE,
    SERVICE,
    Resource,
)
from cloudwright.operator.engines.actions import Delete
from cloudwright.operator.engines.microservice.gateway import HTTP_ROUTE

CHILDREN: dict[str, Resource] = {
    "ConfigMap": CONFIG_MAP,
    "Deployment": DEPLOYMENT,
    "Service": SERVICE,
    "Route": ROUTE,
    "HTTPRoute": HTTP_ROUTE,
    "PodDisruptionBudget": POD_DISRUPTION_BUDGET,
}
"""In the order in which they are made."""
OPTIONAL = frozenset({"Route", "HTTPRoute", "PodDisruptionBudget"})
"""Kinds that an API may not have."""
CANARY_CHILDREN = ("ConfigMap", "Deployment", "Service")


def deletion(resource: Resource, obj: Object) -> Delete:
    """The action that deletes a child, and what belongs to it."""
    return Delete(resource, namespace_of(obj), name_of(obj), uid_of(obj), "Background")
