"""Services → clusters; pure. An endpoint has to prove that it is whom the snapshot says it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from cloudwright.mesh.xds.naming import ADS, OWN, TRUST, Entry, ports, typed, variant

BALANCERS = {"round_robin": "ROUND_ROBIN", "least_request": "LEAST_REQUEST"}
ALPN = {"http": "h2", "grpc": "h2", "tcp": "cw-tcp"}
_MANY = 1_000_000


def for_envoy(
    service: Entry, identities: Sequence[str], balancers: Collection[str] = ()
) -> list[dict[str, Any]]:
    """The clusters of each port of a Service; ``balancers`` are those that routes ask for.

    ``identities`` are those that may answer. When they are several, the endpoint's metadata says
    which of them it has to be.
    """
    found = []
    for name, port in ports(service):
        own = service["load_balancer"]
        for balancer in [own, *sorted(set(balancers) - {own})]:
            made = _cluster(name, port, balancer)
            if balancer != own:
                made["name"] = variant(name, balancer)
                made["eds_cluster_config"]["service_name"] = name
            found.append({**made, **_security(identities, ALPN[port["protocol"]])})
    return found


def for_grpc(service: Entry, identities: Sequence[str], instance: str) -> list[dict[str, Any]]:
    """The clusters for a proxyless gRPC client, whose certificates come from the plug-in
    ``instance`` of its own bootstrap file; without TLS when that is empty.
    """
    found = []
    for name, port in ports(service):
        if port["protocol"] == "tcp":
            continue
        made = _cluster(name, port, service["load_balancer"])
        made.pop("typed_extension_protocol_options", None)
        made.pop("ignore_health_on_host_removal")
        if instance:
            provider = {"instance_name": instance}
            names = [{"exact": identity} for identity in identities]
            validation = {
                "ca_certificate_provider_instance": provider,
                "match_subject_alt_names": names,
            }
            common = {
                "tls_certificate_provider_instance": provider,
                "combined_validation_context": {"default_validation_context": validation},
            }
            made["transport_socket"] = _tls(common)
        found.append(made)
    return found


def _cluster(name: str, port: Entry, balancer: str) -> dict[str, Any]:
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    made: dict[str, Any] = {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": ADS},
        "connect_timeout": "5s",
        "lb_policy": BALANCERS[balancer],
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, _MANY)]},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "ignore_health_on_host_removal": True,
    }
    if port["protocol"] != "tcp":
        made["typed_extension_protocol_options"] = http2()
    return made


def http2() -> dict[str, Any]:
    """HTTP/2 to the endpoints."""
    name = "extensions.upstreams.http.v3.HttpProtocolOptions"
    options = typed(name, explicit_http_config={"http2_protocol_options": {}})
    return {"envoy." + name: options}


def _security(identities: Sequence[str], alpn: str) -> dict[str, Any]:
    if len(identities) == 1:
        return {"transport_socket": mesh_tls(identities[0], alpn)}
    return {
        "transport_socket_matches": [
            {
                "name": identity,
                "match": {"identity": identity},
                "transport_socket": mesh_tls(identity, alpn),
            }
            for identity in identities
        ]
    }


def mesh_tls(identity: str, alpn: str) -> dict[str, Any]:
    """TLS 1.3 with the node's own certificate to an endpoint that is ``identity``."""
    matcher = {"san_type": "URI", "matcher": {"exact": identity}}
    return _tls(common_tls([matcher], alpn))


def common_tls(names: Sequence[Any], alpn: str) -> dict[str, Any]:
    """A ``CommonTlsContext`` with secrets over ADS; ``names`` are those that the other has."""
    return {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",  # Envoy's clients end at 1.2 by default
        },
        "alpn_protocols": [alpn],
        "tls_certificate_sds_secret_configs": [{"name": OWN, "sds_config": ADS}],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": list(names)},
            "validation_context_sds_secret_config": {"name": TRUST, "sds_config": ADS},
        },
    }


def _tls(common: dict[str, Any]) -> dict[str, Any]:
    kind = "extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    context = typed(kind, common_tls_context=common)
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
