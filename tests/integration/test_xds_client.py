"""The data plane's xDS client against go-control-plane, and against Envoy's own descriptors."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.xds_program import Lines, proxy, running, tables, translated
from tests.peers.build import Unavailable, built

pytestmark = pytest.mark.anyio

URL = "type.googleapis.com/"
CLUSTER = "envoy.config.cluster.v3.Cluster"
ENDPOINTS = "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = "envoy.config.listener.v3.Listener"
ROUTES = "envoy.config.route.v3.RouteConfiguration"
SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"
HTTP = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TLS = "envoy.extensions.transport_sockets.tls.v3."
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def typed(kind: str, /, **fields: Any) -> dict[str, Any]:
    """A message in an Any."""
    return {"@type": URL + kind, **fields}


def address(port: int, ip: str = "127.0.0.1") -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


def cluster(name: str, **fields: Any) -> dict[str, Any]:
    eds = {"eds_config": ADS, "service_name": f"{name}-endpoints"}
    return typed(CLUSTER, name=name, type="EDS", eds_cluster_config=eds, **fields)


def endpoints(name: str, *ports: int) -> dict[str, Any]:
    lb = [
        {
            "endpoint": {"address": address(port, "10.0.0.1")},
            "load_balancing_weight": port,
            "health_status": "DRAINING" if port == 3 else "HEALTHY",
        }
        for port in ports
    ]
    locality = {"region": "r", "zone": "z"}
    groups = [{"locality": locality, "lb_endpoints": lb, "priority": 1}]
    return typed(ENDPOINTS, cluster_name=name, endpoints=groups)


def routes(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    host = {"name": "shop", "domains": ["shop.example.com", "*.shop.example.com"]}
    return typed(ROUTES, name=name, virtual_hosts=[{**host, "routes": list(rules)}])


def listener(name: str, port: int, table: str, **chain: Any) -> dict[str, Any]:
    router = typed("envoy.extensions.filters.http.router.v3.Router")
    manager = typed(
        HTTP,
        stat_prefix=name,
        rds={"config_source": ADS, "route_config_name": table},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": router}],
        http2_protocol_options={"max_concurrent_streams": 77},
        upgrade_configs=[{"upgrade_type": "websocket"}],
    )
    filters = [{"name": "hcm", "typed_config": manager}]
    return typed(
        LISTENER, name=name, address=address(port), filter_chains=[{"filters": filters, **chain}]
    )


def tls(kind: str, **fields: Any) -> dict[str, Any]:
    context = typed(TLS + kind, **fields)
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


PAY: dict[str, Any] = {
    "match": {
        "prefix": "/pay",
        "headers": [{"name": "X-Kind", "string_match": {"prefix": "b"}}],
    },
    "route": {
        "weighted_clusters": {
            "clusters": [{"name": "pay", "weight": 9}, {"name": "canary", "weight": 1}]
        },
        "timeout": "2.5s",
        "prefix_rewrite": "/v2",
        "retry_policy": {
            "retry_on": "5xx,connect-failure",
            "num_retries": 3,
            "per_try_timeout": "0.5s",
            "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
        },
        "hash_policy": [{"header": {"header_name": "x-user"}}],
        "request_mirror_policies": [
            {
                "cluster": "canary",
                "runtime_fraction": {"default_value": {"numerator": 5, "denominator": "HUNDRED"}},
            }
        ],
    },
    "request_headers_to_add": [
        {"header": {"key": "x-edge", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    ],
}
SHOP: list[dict[str, Any]] = [
    cluster("pay", lb_policy="LEAST_REQUEST"),
    cluster("canary"),
    endpoints("pay-endpoints", 1, 2, 3),
    endpoints("canary-endpoints", 9),
    routes("main", PAY, {"match": {"prefix": "/"}, "redirect": {"https_redirect": True}}),
    listener("edge", 8080, "main"),
]


class Plane:
    """go-control-plane, told by snapshots."""

    def __init__(self, program: Lines, server: str) -> None:
        self.program = program
        self.server = server

    async def serve(self, version: str, resources: list[dict[str, Any]]) -> None:
        """Serves these resources from now on."""
        await self.program.say(json.dumps({"version": version, "resources": resources}))


@asynccontextmanager
async def plane(at: str = "127.0.0.1:0") -> AsyncIterator[Plane]:
    try:
        command = str(built("xdscontrol"))
    except Unavailable as error:
        pytest.skip(str(error))
    async with running([command, at]) as program:
        yield Plane(program, await program.until("listening"))


def control(server: str, delta: bool) -> dict[str, Any]:
    node = {"id": "proxy", "cluster": "edge", "metadata": {"a": [1, True, None, {"b": "c"}]}}
    return {"server": server, "delta": delta, "node": node, "backoff": "20ms", "max_backoff": "1s"}


async def served(program: Lines, name: str = "edge") -> dict[str, Any]:
    """The first set in which the listener is there."""
    while True:
        found: dict[str, Any] = await program.until("resources")
        if name in found["listeners"]:
            return found


@pytest.mark.parametrize("delta", [False, True], ids=["whole", "delta"])
async def test_what_go_sends_is_what_the_proxy_has(tmp_path: Path, delta: bool) -> None:
    async with plane() as go, proxy(tmp_path, control(go.server, delta)) as program:
        await go.serve("1", SHOP)
        found = await served(program)
        assert found["listeners"]["edge"]["limits"]["max_streams"] == 77
        rules = found["routes"]["main/upgrades"]["virtual_hosts"][0]["routes"]
        forward = rules[0]["action"]["forward"]
        assert forward["clusters"][0] == {"cluster": "pay", "weight": 9}
        assert (forward["timeout"], forward["upgrades"]) == ("2s 500ms", True)
        assert forward["retry"]["on"] == ["5xx", "connect-failure"]
        assert forward["mirrors"] == [{"cluster": "canary", "percent": 5.0}]
        assert forward["rewrite"]["prefix"] == "/v2"
        assert rules[0]["match"]["headers"][0]["name"] == "x-kind"
        assert rules[0]["request_headers"]["set"] == {"x-edge": "1"}
        assert rules[1]["action"]["redirect"]["scheme"] == "https"
        assert found["clusters"]["pay"]["load_balancer"] == {"least_request": {"choices": 2}}
        given = found["assignments"]["pay-endpoints"]["endpoints"]
        assert [one["address"] for one in given] == [f"10.0.0.1:{port}" for port in (1, 2, 3)]
        assert (given[1]["weight"], given[1]["priority"]) == (2, 1)
        assert given[2]["health"] == "draining"
        await go.program.until("ack", ack=URL + ROUTES)

        changed = [endpoints("pay-endpoints", 4) if one is SHOP[2] else one for one in SHOP]
        await go.serve("2", changed)
        while True:
            update = await program.until("resources")
            if len(update["assignments"]["pay-endpoints"]["endpoints"]) == 1:
                break
        assert program.seen[-1]["changed"]["assignments"] == ["pay-endpoints"]
        assert program.seen[-1]["changed"]["listeners"] == []

        await go.serve("3", [*SHOP[:3], SHOP[4]])
        while (await program.until("resources"))["listeners"]:
            pass


@pytest.mark.parametrize("delta", [False, True], ids=["whole", "delta"])
async def test_a_refusal_is_told_and_the_old_one_stays(tmp_path: Path, delta: bool) -> None:
    async with plane() as go, proxy(tmp_path, control(go.server, delta)) as program:
        await go.serve("1", SHOP)
        await served(program)
        rbac = {
            "name": "rbac",
            "typed_config": typed("envoy.extensions.filters.http.rbac.v3.RBAC"),
        }
        locked = listener("edge", 8081, "main")
        manager = locked["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"].insert(0, rbac)
        await go.serve("2", [*SHOP[:5], locked])
        await go.program.until("nack", nack=URL + LISTENER)
        reason = go.program.seen[-1]["reason"]
        assert re.match(r'listener "edge": filter_chains.*RBAC is not supported$', reason), reason
        await program.say("status")
        status = await program.until("status")
        assert status["connected"] is True
        assert status["types"]["listener"]["last_rejection"]["reason"] == reason
        assert status["types"]["listener"]["resources"] == 1

        await program.say("refuse the key does not fit")
        await program.until("status")
        await go.serve("3", [*SHOP[:5], listener("edge", 8082, "main")])
        await go.program.until("nack", reason="the key does not fit")
        await program.say("accept")
        await program.until("status")
        await go.serve("4", [*SHOP[:5], listener("edge", 8083, "main")])
        # What was refused may be sent again, and taken, before.
        while (await served(program))["listeners"]["edge"]["address"] != "127.0.0.1:8083":
            pass


@pytest.mark.parametrize("delta", [False, True], ids=["whole", "delta"])
async def test_a_restarted_server_is_found_again(tmp_path: Path, delta: bool) -> None:
    async with plane() as go, proxy(tmp_path, control(go.server, delta)) as program:
        await go.serve("1", SHOP)
        await served(program)
        await go.program.until("ack", ack=URL + ROUTES)
        server = go.server
        go.program.end()
        await go.program.ended()
        async with plane(server) as again:
            moved = listener("edge", 9090, "main")
            await again.serve("1b", [*SHOP[:5], moved])
            while (await served(program))["listeners"]["edge"]["address"] != "127.0.0.1:9090":
                pass


async def test_secrets_by_discovery(tmp_path: Path) -> None:
    sds = [{"name": "cert", "sds_config": ADS}]
    matcher = {"san_type": "URI", "matcher": {"prefix": "spiffe://td/"}}
    combined = {
        "default_validation_context": {"match_typed_subject_alt_names": [matcher]},
        "validation_context_sds_secret_config": {"name": "roots", "sds_config": ADS},
    }
    common = {
        "tls_certificate_sds_secret_configs": sds,
        "combined_validation_context": combined,
    }
    socket = tls("DownstreamTlsContext", common_tls_context=common, require_client_certificate=True)
    pem = {"inline_string": "PEM"}
    secrets = [
        typed(SECRET, name="cert", tls_certificate={"certificate_chain": pem, "private_key": pem}),
        typed(SECRET, name="roots", validation_context={"trusted_ca": pem}),
    ]
    upstream = tls(
        "UpstreamTlsContext",
        sni="pay.local",
        common_tls_context={**common},
    )
    clusters = [cluster("pay", transport_socket=upstream), cluster("canary")]
    async with plane() as go, proxy(tmp_path, control(go.server, True)) as program:
        edge = listener("edge", 8443, "main", transport_socket=socket)
        await go.serve("1", [*clusters, *SHOP[2:5], edge, *secrets])
        found = await served(program)
        assert found["listeners"]["edge"]["tls"] == {
            "certificates": ["cert"],
            "client_trust": "roots",
            "require_client_certificate": True,
            "client_identities": ["spiffe://td/*"],
            "tls12": True,
        }
        assert found["secrets"]["roots"]["trust"] is not None
        assert found["secrets"]["roots"]["certificate"] is None
        assert found["clusters"]["pay"]["tls"]["server_name"] == "pay.local"
        assert found["clusters"]["pay"]["tls"]["identities"] == ["spiffe://td/*"]


MODULES = """
envoy.config.cluster.v3.cluster envoy.config.cluster.v3.circuit_breaker
envoy.config.cluster.v3.outlier_detection envoy.config.core.v3.address
envoy.config.core.v3.base envoy.config.core.v3.config_source envoy.config.core.v3.extension
envoy.config.core.v3.health_check envoy.config.core.v3.protocol
envoy.config.endpoint.v3.endpoint envoy.config.endpoint.v3.endpoint_components
envoy.config.listener.v3.listener envoy.config.listener.v3.listener_components
envoy.config.route.v3.route envoy.config.route.v3.route_components
envoy.extensions.filters.common.fault.v3.fault envoy.extensions.filters.http.fault.v3.fault
envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol
envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager
envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy
envoy.extensions.load_balancing_policies.common.v3.common
envoy.extensions.load_balancing_policies.least_request.v3.least_request
envoy.extensions.load_balancing_policies.maglev.v3.maglev
envoy.extensions.load_balancing_policies.random.v3.random
envoy.extensions.load_balancing_policies.ring_hash.v3.ring_hash
envoy.extensions.load_balancing_policies.round_robin.v3.round_robin
envoy.extensions.transport_sockets.tls.v3.common envoy.extensions.transport_sockets.tls.v3.secret
envoy.extensions.transport_sockets.tls.v3.tls
envoy.extensions.upstreams.http.v3.http_protocol_options
envoy.type.matcher.v3.regex envoy.type.matcher.v3.string envoy.type.v3.percent envoy.type.v3.range
google.protobuf.any google.protobuf.struct
"""


def test_the_tables_have_every_field_of_envoys_messages() -> None:
    pytest.importorskip("envoy.config.cluster.v3.cluster_pb2", reason="xds-protos is missing")
    from google.protobuf import descriptor_pool

    for module in MODULES.split():
        importlib.import_module(f"{module}_pb2")
    pool = descriptor_pool.Default()
    for table in tables():
        message = pool.FindMessageTypeByName(table["name"])
        published = {field.number: field.name for field in message.fields}
        ours = {field["number"]: field["name"] for field in table["fields"]}
        assert ours == published, table["name"]


def encoded(message: dict[str, Any]) -> tuple[str, bytes]:
    """A resource of the tests as Envoy's own classes encode it."""
    from google.protobuf import any_pb2, json_format

    more = "http.router.v3.router", "listener.tls_inspector.v3.tls_inspector"
    others = [f"envoy.extensions.filters.{name}" for name in more]
    others.append("envoy.extensions.retry.host.previous_hosts.v3.previous_hosts")
    for module in [*MODULES.split(), *others]:
        importlib.import_module(f"{module}_pb2")
    packed = json_format.ParseDict(message, any_pb2.Any())
    return packed.type_url.removeprefix(URL), packed.value


def test_a_cluster_with_everything() -> None:
    pytest.importorskip("envoy.config.cluster.v3.cluster_pb2", reason="xds-protos is missing")
    options = typed(
        OPTIONS,
        common_http_protocol_options={"idle_timeout": "30s"},
        explicit_http_config={
            "http2_protocol_options": {
                "max_concurrent_streams": 100,
                "connection_keepalive": {"interval": "10s", "timeout": "2s"},
            }
        },
    )
    breaker = {
        "max_connections": 5,
        "max_requests": 6,
        "retry_budget": {"budget_percent": {"value": 30}},
    }
    check = {
        "timeout": "1s",
        "interval": "5s",
        "unhealthy_threshold": 4,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/ok", "expected_statuses": [{"start": 200, "end": 300}]},
    }
    whole = typed(
        CLUSTER,
        name="db",
        type="STRICT_DNS",
        connect_timeout="0.25s",
        lb_policy="RING_HASH",
        ring_hash_lb_config={"minimum_ring_size": 2048},
        load_assignment={
            "cluster_name": "db",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(5432, "db.local")}}]}],
        },
        circuit_breakers={"thresholds": [breaker]},
        outlier_detection={"consecutive_5xx": 7, "base_ejection_time": "15s"},
        health_checks=[check],
        typed_extension_protocol_options={OPTIONS: options},
        common_lb_config={"healthy_panic_threshold": {"value": 25}},
        dns_lookup_family="V4_ONLY",
    )
    found = translated(*encoded(whole))
    made = found["resource"]
    assert made["discovery"] == {"dns": {"refresh": "5s"}}
    assert made["endpoints"][0]["address"] == "db.local:5432"
    assert made["load_balancer"] == {"ring_hash": {"size": 2048}}
    assert (made["protocol"], made["max_streams"], made["keepalive"]) == ("http2", 100, "10s")
    assert (made["connect_timeout"], made["idle_timeout"]) == ("250ms", "30s")
    assert made["circuit_breaker"]["max_connections"] == 5
    assert made["circuit_breaker"]["retry_budget_percent"] == 30.0
    assert made["outlier"]["consecutive_errors"] == 7
    assert made["outlier"]["consecutive_gateway_errors"] == 0
    assert made["health_checks"][0]["check"] == {
        "http": {"path": "/ok", "host": None, "from": 200, "to": 299}
    }
    assert made["panic_percent"] == 25.0
    assert "Cluster.dns_lookup_family: ignored" in found["warnings"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"transport_socket_matches": [{"name": "x"}]}, "only match.identity with TLS"),
        ({"type": "EDS", "upstream_bind_config": {}}, "upstream_bind_config: not supported"),
        (
            {"transport_socket": tls("UpstreamTlsContext", allow_renegotiation=True)},
            "transport_socket.typed_config.allow_renegotiation: not supported",
        ),
        ({"lb_policy": "LOAD_BALANCING_POLICY_CONFIG"}, "load_balancing_policy: is needed"),
    ],
)
def test_what_a_cluster_may_not_have(change: dict[str, Any], reason: str) -> None:
    pytest.importorskip("envoy.config.cluster.v3.cluster_pb2", reason="xds-protos is missing")
    found = translated(*encoded(typed(CLUSTER, name="c", **change)))
    assert reason in found["error"]


SERVICE: dict[str, Any] = {
    "namespace": "shop",
    "name": "pay",
    "load_balancer": "round_robin",
    "ports": [{"name": "http", "port": 80, "protocol": "http"}],
    "endpoints": [
        {"ip": "10.0.0.2", "ports": {"http": 8080}, "identity": "spiffe://td/ns/shop/sa/a"},
        {"ip": "10.0.0.3", "ports": {"http": 8080}, "identity": "spiffe://td/ns/shop/sa/b"},
    ],
}
ROUTE: dict[str, Any] = {
    "namespace": "shop",
    "service": "pay",
    "port": 80,
    "hosts": ["shop.example.com", "*"],
    "path_prefix": "/pay",
    "strip_prefix": True,
    "load_balancer": "least_request",
    "timeout_ms": 5000,
    "retries": {"attempts": 2, "on": ["reset", "unavailable"], "per_try_timeout_ms": 500},
}


def test_what_our_own_control_plane_tells_a_gateway() -> None:
    pytest.importorskip("envoy.config.cluster.v3.cluster_pb2", reason="xds-protos is missing")
    from google.protobuf import any_pb2

    from cloudwright.mesh.xds import clusters, encode, listeners, naming, vhosts

    key = ("shop", "pay")
    identities = [one["identity"] for one in SERVICE["endpoints"]]
    for made in clusters.for_envoy(SERVICE, identities, ["least_request"]):
        found = translated(*encoded(typed(CLUSTER, **made)))
        assert found["resource"]["tls"]["identities"] == identities
        assert found["resource"]["tls"]["trust"] == naming.TRUST
        assert found["resource"]["protocol"] == "http2"
    [(name, port)] = naming.ports(SERVICE)
    resource = encode.assignment(name, naming.endpoints(SERVICE, port))
    found = translated(ENDPOINTS, any_pb2.Any.FromString(resource.any).value)
    assert [one["identity"] for one in found["resource"]["endpoints"]] == identities

    table = vhosts.gateway([ROUTE], {key: SERVICE})
    found = translated(*encoded(typed(ROUTES, **table)))
    rules = found["resource"]["virtual_hosts"][0]["routes"]
    assert rules[0]["match"]["methods"] == ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"]
    assert rules[0]["action"]["forward"]["cluster"] == naming.variant(name, "least_request")
    assert rules[1]["match"]["methods"] == []

    plain, secure = listeners.gateway(["127.0.0.1:80"], ["127.0.0.1:443"])
    found = translated(*encoded(typed(LISTENER, **plain)))
    assert found["resource"]["limits"]["refuse_escaped_slashes"] is True
    found = translated(*encoded(typed(LISTENER, **secure)))
    assert found["resource"]["tls"]["certificates"] == [naming.SERVING]
