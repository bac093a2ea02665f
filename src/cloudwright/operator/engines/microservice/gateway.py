"""The MicroService's route as a Gateway API HTTPRoute, for clusters without Cloudwright's mesh.

Source: https://gateway-api.sigs.k8s.io/reference/spec/ (v1). Retries are experimental there and are
left out.
"""

from __future__ import annotations

from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import Resource
from cloudwright.operator.engines.microservice import children
from cloudwright.operator.engines.microservice.canary_children import canary_name
from cloudwright.operator.engines.sync import stamped

HTTP_ROUTE = Resource(
    "gateway.networking.k8s.io",
    "v1",
    "HTTPRoute",
    "httproutes",
    "httproute",
    subresources=frozenset({"status"}),
)


def http_route(service: Object, gateway: tuple[str, str], weight: int) -> Object | None:
    """The HTTPRoute; the canary gets ``weight`` per cent. ``None``: no route is wished."""
    route = children.route(service)
    if route is None:
        return None
    wish = route["spec"]
    backends: list[Object] = [{"name": name_of(service), "port": 80, "weight": 100 - weight}]
    if weight > 0:
        backends.append({"name": canary_name(service), "port": 80, "weight": weight})
    prefix = wish["pathPrefix"].rstrip("/") or "/"
    rule: Object = {
        "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
        "backendRefs": backends,
    }
    if wish["stripPrefix"] and prefix != "/":
        rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": rewrite}]
    if wish.get("timeout"):
        rule["timeouts"] = {"request": wish["timeout"]}
    parent: Object = {"name": gateway[1]}
    if gateway[0]:
        parent["namespace"] = gateway[0]
    spec: Object = {"parentRefs": [parent], "rules": [rule]}
    if hosts := [host for host in wish.get("hosts") or [] if host != "*"]:
        spec["hostnames"] = hosts
    metadata = {key: value for key, value in route["metadata"].items() if key != "annotations"}
    return stamped(
        {
            "apiVersion": HTTP_ROUTE.api_version,
            "kind": HTTP_ROUTE.kind,
            "metadata": metadata,
            "spec": spec,
        }
    )
