"""What a node listens on; pure. A gateway, a sidecar inside a pod's capture, a gRPC client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cloudwright.mesh.xds.clusters import ALPN, common_tls, http2
from cloudwright.mesh.xds.naming import (
    ADS,
    GATEWAY_ROUTES,
    SERVING,
    Entry,
    ports,
    typed,
)

_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": typed("extensions.filters.http.router.v3.Router"),
}
PASSTHROUGH = "passthrough"


def gateway(http: Sequence[str], https: Sequence[str]) -> list[dict[str, Any]]:
    """Listeners of an edge at ``IP:PORT``s; routes by RDS, its own certificate by SDS."""
    found = []
    for address in http:
        plain = {"filters": [_manager("gateway_http", _rds(GATEWAY_ROUTES), edge=True)]}
        found.append(_listener(f"http|{address}", address, [plain]))
    context = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [{"name": SERVING, "sds_config": ADS}],
    }
    for address in https:
        chain = {
            "filters": [_manager("gateway_https", _rds(GATEWAY_ROUTES), edge=True)],
            "transport_socket": _downstream({"common_tls_context": context}),
        }
        found.append(_listener(f"https|{address}", address, [chain]))
    return found


def grpc(service: Entry) -> list[dict[str, Any]]:
    """What ``xds:///NAME.NAMESPACE.svc.cluster.local:PORT`` asks for."""
    found = []
    for name, port in ports(service):
        if port["protocol"] != "tcp":
            manager = _hcm("grpc", _rds(name))
            found.append({"name": name, "api_listener": {"api_listener": manager}})
    return found


def outbound(
    services: Iterable[Entry], port: int, *, mark: Mapping[str, str], egress: bool
) -> dict[str, Any]:
    """All that leaves a pod: the original destination picks the Service. Other destinations are
    closed, unless ``egress``. ``mark`` are request headers that say who asks.
    """
    chains = []
    for service in services:
        if not service["cluster_ip"]:
            continue
        for name, one in ports(service):
            near = [{"address_prefix": service["cluster_ip"], "prefix_len": 32}]
            target = (
                _tcp(name, name)
                if one["protocol"] == "tcp"
                else _manager("outbound", _rds(name), mark=mark)
            )
            chains.append(
                {
                    "name": name,
                    "filter_chain_match": {
                        "destination_port": one["port"],
                        "prefix_ranges": near,
                    },
                    "filters": [target],
                }
            )
    found = _listener("outbound", f"0.0.0.0:{port}", chains)
    if egress:
        found["default_filter_chain"] = {"filters": [_tcp(PASSTHROUGH, PASSTHROUGH)]}
    return {**found, "listener_filters": [_original()], "traffic_direction": "OUTBOUND"}


def inbound(
    applications: Mapping[int, str], port: int, *, trust_domain: str, mark: Mapping[str, str]
) -> dict[str, Any]:
    """All that comes into a pod: mutual TLS only, from members of the trust domain.
    ``applications`` are the protocols of the pod's ports.
    """
    chains = []
    member = {"san_type": "URI", "matcher": {"prefix": f"spiffe://{trust_domain}/"}}
    for number, protocol in sorted(applications.items()):
        name = f"inbound|{number}"
        common = common_tls([member], ALPN[protocol])
        route = {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}
        host = {"name": name, "domains": ["*"], "routes": [route]}
        inline = {"route_config": {"name": name, "virtual_hosts": [host]}}
        target = (
            _tcp(name, name)
            if protocol == "tcp"
            else _manager("inbound", inline, mark=mark, answers=True)
        )
        chains.append(
            {
                "name": name,
                "filter_chain_match": {"destination_port": number},
                "filters": [target],
                "transport_socket": _downstream(
                    {"common_tls_context": common, "require_client_certificate": True}
                ),
            }
        )
    found = _listener("inbound", f"0.0.0.0:{port}", chains)
    return {**found, "listener_filters": [_original()], "traffic_direction": "INBOUND"}


def local_clusters(applications: Mapping[int, str]) -> list[dict[str, Any]]:
    """The applications of a pod on its loopback, and where other destinations really go."""
    found: list[dict[str, Any]] = [
        {"name": PASSTHROUGH, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
    ]
    for number, protocol in sorted(applications.items()):
        address = {"socket_address": {"address": "127.0.0.1", "port_value": number}}
        one = {"lb_endpoints": [{"endpoint": {"address": address}}]}
        name = f"inbound|{number}"
        made: dict[str, Any] = {"name": name, "type": "STATIC", "connect_timeout": "1s"}
        made["load_assignment"] = {"cluster_name": name, "endpoints": [one]}
        if protocol == "grpc":
            made["typed_extension_protocol_options"] = http2()
        found.append(made)
    return found


def _listener(name: str, address: str, chains: list[dict[str, Any]]) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    where = {"address": host.strip("[]"), "port_value": int(port)}
    return {
        "name": name,
        "address": {"socket_address": where},
        "filter_chains": chains,
        "per_connection_buffer_limit_bytes": 1024 * 1024,
    }


def _rds(name: str) -> dict[str, Any]:
    return {"rds": {"config_source": ADS, "route_config_name": name}}


def _hcm(stat: str, routes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    kind = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return typed(kind, stat_prefix=stat, **routes, **{"http_filters": [_ROUTER], **more})


def _manager(
    stat: str,
    routes: Mapping[str, Any],
    *,
    edge: bool = False,
    mark: Mapping[str, str] | None = None,
    answers: bool = False,
) -> dict[str, Any]:
    """An HTTP connection manager. ``edge``: clients are strangers; ``mark``: headers to set, on
    requests or (``answers``) on responses.
    """
    more: dict[str, Any] = {
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "server_header_transformation": "PASS_THROUGH",
        "http2_protocol_options": {"max_concurrent_streams": 10_000},
    }
    if edge:
        more |= {
            "use_remote_address": True,
            "normalize_path": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "common_http_protocol_options": {
                "idle_timeout": "3600s",
                "headers_with_underscores_action": "ALLOW",
            },
            "request_headers_timeout": "15s",
        }
    else:
        more |= {"preserve_external_request_id": True}
    if mark:
        changes = [
            {
                "append": {
                    "header": {"key": key, "value": value},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            }
            for key, value in mark.items()
        ]
        side = "response_mutations" if answers else "request_mutations"
        kind = "extensions.filters.http.header_mutation.v3.HeaderMutation"
        config = typed(kind, mutations={side: changes})
        marking = {"name": "envoy.filters.http.header_mutation", "typed_config": config}
        more["http_filters"] = [marking, _ROUTER]
    name = "envoy.filters.network.http_connection_manager"
    return {"name": name, "typed_config": _hcm(stat, routes, **more)}


def _tcp(stat: str, cluster: str) -> dict[str, Any]:
    kind = "extensions.filters.network.tcp_proxy.v3.TcpProxy"
    config = typed(kind, stat_prefix=stat, cluster=cluster)
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def _original() -> dict[str, Any]:
    kind = "extensions.filters.listener.original_dst.v3.OriginalDst"
    return {"name": "envoy.filters.listener.original_dst", "typed_config": typed(kind)}


def _downstream(context: Mapping[str, Any]) -> dict[str, Any]:
    kind = "extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed(kind, **context)}
