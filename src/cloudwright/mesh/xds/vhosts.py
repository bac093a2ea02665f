"""Routes and weighted Services → route configurations; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cloudwright.mesh.xds.naming import (
    GATEWAY_ROUTES,
    Entry,
    authority,
    endpoints,
    seconds,
    typed,
    variant,
)

UNPROCESSED = "x-mesh-unprocessed"
_FORGED = ("x-mesh-ns", "x-mesh-sidecar", UNPROCESSED)
_IDEMPOTENT = "GET|HEAD|PUT|DELETE|OPTIONS|TRACE"
_ALWAYS = ("connect-failure", "refused-stream", "retriable-headers")
"""What no application has seen may be repeated, whatever the method."""
Services = Mapping[tuple[str, str], Entry]


def gateway(routes: Iterable[Entry], services: Services) -> dict[str, Any]:
    """The routes of the gateway, as a ``RouteConfiguration``.

    The most specific host goes first, and a path that it has no route for falls to the next; a
    virtual host of Envoy's does not, so each has the routes of the hosts behind it too.
    """
    by_host: dict[str, list[Entry]] = {}
    for route in routes:
        for host in route["hosts"]:
            by_host.setdefault(host, []).append(route)
    hosts = []
    for host in sorted(by_host):
        behind = [one for one in by_host if one != host and _within(host, one)]
        order = [host, *sorted(behind, key=len, reverse=True)]
        listed = [r for one in order for r in sorted(by_host[one], key=_rank)]
        made = [entry for route in listed for entry in _entries(route, services)]
        hosts.append({"name": host, "domains": [host], "routes": made})
    said = {"key": "x-forwarded-host", "value": "%REQ(:AUTHORITY)%"}
    return {
        "name": GATEWAY_ROUTES,
        "virtual_hosts": hosts,
        "ignore_port_in_host_matching": True,
        "request_headers_to_remove": list(_FORGED),
        "response_headers_to_remove": [UNPROCESSED],
        "request_headers_to_add": [{"header": said, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }


def outbound(service: Entry, port: Entry, services: Services) -> dict[str, Any]:
    """What asks for a Service by its address or name, as a ``RouteConfiguration``."""
    name = authority(service["namespace"], service["name"], port["port"])
    action = _target(service, port["port"], services, "")
    route = {"match": {"prefix": ""}, "route": {**action, "timeout": "0s"}}
    host = {"name": name, "domains": ["*"], "routes": [route]}
    return {"name": name, "virtual_hosts": [host]}


def shape(services: Services) -> list[Any]:
    """What of Services the routes depend on: their ports, and which weighted backends live."""
    found: list[Any] = []
    for (namespace, name), service in services.items():
        backends = service.get("backends") or ()
        others = [services.get((namespace, one["service"])) for one in backends]
        alive = [bool(one and one["endpoints"]) for one in others]
        found.append([namespace, name, service["ports"], list(backends), alive])
    return found


def balancers(routes: Iterable[Entry]) -> dict[tuple[str, str], set[str]]:
    """The load balancers that routes ask for, by Service."""
    found: dict[tuple[str, str], set[str]] = {}
    for route in routes:
        key = (route["namespace"], route["service"])
        found.setdefault(key, set()).add(route["load_balancer"])
    return found


def _within(host: str, wider: str) -> bool:
    if wider == "*":
        return True
    return (
        wider.startswith("*")
        and len(host.lstrip("*")) >= len(wider) - 1
        and (host.endswith(wider[1:]))
    )


def _rank(route: Entry) -> tuple[bool, int]:
    return not route.get("exact"), -len(route["path_prefix"])


def _entries(route: Entry, services: Services) -> list[dict[str, Any]]:
    """One entry, or two: what is safe to repeat, and the rest."""
    match = _match(route)
    service = services.get((route["namespace"], route["service"]))
    if service is None or all(port["port"] != route["port"] for port in service["ports"]):
        text = f"no Service {route['namespace']}/{route['service']}:{route['port']}"
        body = {"inline_string": text}
        return [{"match": match, "direct_response": {"status": 503, "body": body}}]
    action = {
        **_target(service, route["port"], services, route["load_balancer"]),
        **_rewrite(route),
        "timeout": seconds(route["timeout_ms"]),
    }
    found = []
    risky = [name for name in ("reset", "unavailable") if name in route["retries"]["on"]]
    if risky and route["retries"]["attempts"]:
        method = {"name": ":method", "string_match": _regex(_IDEMPOTENT)}
        safe = {**match, "headers": [method]}
        found.append({"match": safe, "route": {**action, "retry_policy": _retry(route, risky)}})
    found.append({"match": match, "route": {**action, "retry_policy": _retry(route, [])}})
    return found


def _regex(pattern: str) -> dict[str, Any]:
    return {"safe_regex": {"regex": pattern}}


def _match(route: Entry) -> dict[str, Any]:
    path = route["path_prefix"]
    if route.get("exact"):
        return {"path": path}
    path = path.rstrip("/")
    return {"path_separated_prefix": path} if path else {"prefix": "/"}


def _rewrite(route: Entry) -> dict[str, Any]:
    path = route["path_prefix"] if route.get("exact") else route["path_prefix"].rstrip("/")
    if not route["strip_prefix"] or not path:
        return {}
    pattern = {"regex": f"^{re.escape(path)}/?(.*)$"}
    return {"regex_rewrite": {"pattern": pattern, "substitution": "/\\1"}}


def _retry(route: Entry, risky: list[str]) -> dict[str, Any]:
    retries, on = route["retries"], [*_ALWAYS]
    if "reset" in risky:
        on.append("reset")
    if "unavailable" in risky:
        on.append("retriable-status-codes")
    previous = "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    policy: dict[str, Any] = {
        "retry_on": ",".join(on),
        "num_retries": retries["attempts"],
        "retriable_headers": [{"name": UNPROCESSED, "present_match": True}],
        "retry_host_predicate": [{"name": "previous_hosts", "typed_config": typed(previous)}],
        "host_selection_retry_max_attempts": 5,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.640s"},
    }
    if "unavailable" in risky:
        policy["retriable_status_codes"] = [503]
    if retries["per_try_timeout_ms"]:
        policy["per_try_timeout"] = seconds(retries["per_try_timeout_ms"])
    return policy


def _target(service: Entry, port: int, services: Services, balancer: str) -> dict[str, Any]:
    """The cluster, or clusters by weight; a backend without endpoints gets nothing."""

    def cluster(of: Entry) -> str:
        name = authority(of["namespace"], of["name"], port)
        usual = of is not service or balancer in ("", of["load_balancer"])
        return name if usual else variant(name, balancer)

    weighted = []
    for backend in service.get("backends") or ():
        other = services.get((service["namespace"], backend["service"]))
        found = [p for p in other["ports"] if p["port"] == port] if other else []
        if other and found and backend["weight"] and endpoints(other, found[0]):
            weighted.append({"name": cluster(other), "weight": backend["weight"]})
    if not weighted:
        return {"cluster": cluster(service)}
    return {"weighted_clusters": {"clusters": weighted}}
