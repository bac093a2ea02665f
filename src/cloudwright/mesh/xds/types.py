"""The resource types of xDS v3 and the order in which a client can take them."""

from __future__ import annotations

PREFIX = "type.googleapis.com/"
SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = PREFIX + "envoy.config.route.v3.RouteConfiguration"
SCOPED_ROUTE = PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
VIRTUAL_HOST = PREFIX + "envoy.config.route.v3.VirtualHost"
RUNTIME = PREFIX + "envoy.service.runtime.v3.Runtime"
EXTENSION = PREFIX + "envoy.config.core.v3.TypedExtensionConfig"

ORDER = (SECRET, CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, VIRTUAL_HOST, EXTENSION, RUNTIME)
"""Make before break: what is used comes before what uses it (secrets, CDS, EDS, LDS, RDS, …)."""
FULL_STATE = frozenset((LISTENER, CLUSTER))
"""In state-of-the-world, a response of these types has everything the client asked for: what is
not in it is gone. An empty list of names means everything ("legacy wildcard") for these only."""
SHORT = {
    SECRET: "secrets",
    CLUSTER: "clusters",
    ENDPOINT: "endpoints",
    LISTENER: "listeners",
    ROUTE: "routes",
    SCOPED_ROUTE: "scoped_routes",
    VIRTUAL_HOST: "virtual_hosts",
    EXTENSION: "extensions",
    RUNTIME: "runtime",
}
"""Names for metrics and logs; a type that is not here is never served."""
WILDCARD = "*"

_RANK = {url: rank for rank, url in enumerate(ORDER)}


def rank(url: str) -> int:
    """The place of a type in ``ORDER``."""
    return _RANK.get(url, len(ORDER))
