"""Our own kinds."""

from __future__ import annotations

from cloudwright.model.resources.resource import resource

MICRO_SERVICE = resource(
    "platform.example.com/v1",
    "MicroService",
    "microservices",
    short="ms",
    categories="all",
    subs="status scale",
)
ROUTE = resource(
    "cloudwright.dev/v1alpha1", "Route", "routes", short="rt", categories="all", subs="status"
)

OURS = (MICRO_SERVICE, ROUTE)
