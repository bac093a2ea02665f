"""What proxies are told: only ready endpoints, one broken object never hides the others."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.mesh.publisher import without
from cloudwright.mesh.snapshot import Inputs, addresses_in, build, protocol_of
from tests.unit.mesh.mesh_objects import endpoint, piece, pod, route, service

DOMAIN = "cluster.local"


def built(**inputs: Any) -> dict[str, Any]:
    return build(Inputs(DOMAIN, **inputs)).body


def ips(body: dict[str, Any], name: str = "payment") -> list[str]:
    found = next(s for s in body["services"] if s["name"] == name)
    return [e["ip"] for e in found["endpoints"]]


def test_the_documented_snapshot() -> None:
    one = pod("payment-7f-x", "10.244.0.5")
    body = built(
        services=[service("payment")],
        slices=[piece("payment", endpoint(one))],
        pods=[one],
        routes=[
            route(
                "payment",
                pathPrefix="/payment",
                stripPrefix=True,
                timeout="15s",
                loadBalancer="least_request",
                retries={"attempts": 2, "on": ["connect-failure", "reset", "unavailable"]},
            )
        ],
    )
    assert body == {
        "trust_domain": "cluster.local",
        "services": [
            {
                "namespace": "default",
                "name": "payment",
                "cluster_ip": "10.96.0.12",
                "load_balancer": "round_robin",
                "ports": [{"name": "http", "port": 80, "protocol": "http"}],
                "endpoints": [
                    {
                        "ip": "10.244.0.5",
                        "pod": "default/payment-7f-x",
                        "identity": "spiffe://cluster.local/ns/default/sa/default",
                        "ports": {"http": 8080},
                    }
                ],
            }
        ],
        "routes": [
            {
                "namespace": "default",
                "name": "payment",
                "hosts": ["*"],
                "path_prefix": "/payment",
                "strip_prefix": True,
                "service": "payment",
                "port": 80,
                "timeout_ms": 15000,
                "retries": {
                    "attempts": 2,
                    "per_try_timeout_ms": 0,
                    "on": ["connect-failure", "reset", "unavailable"],
                },
                "load_balancer": "least_request",
            }
        ],
    }


@pytest.mark.parametrize(
    ("conditions", "listed"),
    [
        ({"ready": True}, True),
        ({"serving": True}, True),  # ready is unknown, which the API defines as ready
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": True, "terminating": True}, False),
        ({"ready": False}, False),
    ],
)
def test_only_ready_endpoints_that_stay_are_listed(
    conditions: dict[str, bool], listed: bool
) -> None:
    one = pod("p", "10.244.0.5")
    body = built(
        services=[service("payment")],
        slices=[piece("payment", endpoint(one, **conditions))],
        pods=[one],
    )
    assert ips(body) == (["10.244.0.5"] if listed else [])


def test_a_pod_that_is_being_deleted_or_unknown_or_moved_is_not_listed() -> None:
    going = pod("going", "10.244.0.2", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    moved = pod("moved", "10.244.0.3")
    stale = endpoint(moved)
    moved = pod("moved", "10.244.0.9")
    again = pod("again", "10.244.0.4", metadata={"uid": "another"})
    unknown = pod("unknown", "10.244.0.6")
    slices = [
        piece("payment", endpoint(going), stale, endpoint(pod("again", "10.244.0.4"))),
        piece("payment", endpoint(unknown), suffix="2"),
    ]
    body = built(services=[service("payment")], slices=slices, pods=[going, moved, again])
    assert ips(body) == []


def test_slices_with_other_ports_are_merged_and_unknown_ports_left_out() -> None:
    one, two = pod("a", "10.244.0.20"), pod("b", "10.244.0.3")
    ports = [{"name": "http", "port": 80}, {"name": "grpc", "port": 90}]
    body = built(
        services=[service("payment", ports=ports)],
        slices=[
            piece("payment", endpoint(one)),
            piece(
                "payment",
                endpoint(one),
                endpoint(two),
                suffix="2",
                ports=[{"name": "grpc", "port": 9000}, {"name": "other", "port": 1}],
            ),
        ],
        pods=[one, two],
    )
    found = body["services"][0]["endpoints"]
    assert [(e["ip"], e["ports"]) for e in found] == [
        ("10.244.0.3", {"grpc": 9000}),
        ("10.244.0.20", {"http": 8080, "grpc": 9000}),
    ]


def test_the_identity_is_that_of_the_pods_account() -> None:
    one = pod("p", "10.244.0.5", namespace="shop", spec={"serviceAccountName": "cashier"})
    body = built(
        services=[service("payment", namespace="shop")],
        slices=[piece("payment", endpoint(one), namespace="shop")],
        pods=[one],
    )
    identity = body["services"][0]["endpoints"][0]["identity"]
    assert identity == "spiffe://cluster.local/ns/shop/sa/cashier"


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        ({"name": "http"}, "http"),
        ({}, "http"),
        ({"name": "grpc-api"}, "grpc"),
        ({"name": "tcp-db"}, "tcp"),
        ({"name": "web"}, "http"),
        ({"name": "web", "appProtocol": "kubernetes.io/h2c"}, "grpc"),
        ({"name": "web", "appProtocol": "grpc"}, "grpc"),
        ({"name": "web", "appProtocol": "tcp"}, "tcp"),
        ({"name": "grpc", "appProtocol": "http"}, "http"),
        ({"name": "tcp", "appProtocol": "kubernetes.io/ws"}, "http"),
    ],
)
def test_the_protocol_of_a_port(port: dict[str, Any], protocol: str) -> None:
    assert protocol_of(port) == protocol


def test_broken_services_are_left_out_with_a_reason_and_the_others_stay() -> None:
    result = build(
        Inputs(
            DOMAIN,
            services=[
                service("good"),
                service("younger", created="2026-02-01T00:00:00Z"),
                service("outside", ip="", type="ExternalName"),
                service("six", ip="fd00::1"),
                service("headless", ip="None"),
                service(
                    "udp",
                    ip="10.96.0.13",
                    ports=[
                        {"name": "dns", "port": 53, "protocol": "UDP"},
                        {"name": "http", "port": 80},
                        {"name": "again", "port": 80},
                        {"name": "zero", "port": 0},
                    ],
                ),
            ],
        )
    )
    addresses = {s["name"]: s["cluster_ip"] for s in result.body["services"]}
    assert addresses == {"good": "10.96.0.12", "six": "", "headless": "", "udp": "10.96.0.13"}
    udp = next(s for s in result.body["services"] if s["name"] == "udp")
    assert [p["name"] for p in udp["ports"]] == ["http"]
    reasons = {(p.subject, p.reason) for p in result.problems}
    assert ("Service default/younger", "clusterIP 10.96.0.12 belongs to default/good") in reasons
    assert ("Service default/six", "clusterIP fd00::1 is not an IPv4 address") in reasons
    assert ("Service default/udp", "port 53: only TCP goes through the mesh") in reasons
    assert len(result.problems) == 6


def test_an_endpoint_that_is_no_pod_is_told() -> None:
    foreign = {"addresses": ["192.0.2.1"], "conditions": {"ready": True}}
    result = build(
        Inputs(DOMAIN, services=[service("payment")], slices=[piece("payment", foreign)])
    )
    assert result.body["services"][0]["endpoints"] == []
    assert "192.0.2.1 is no pod" in result.problems[0].reason


names = st.sampled_from(["a", "b", "c"])
addresses = st.integers(2, 9).map(lambda n: f"10.244.0.{n}")


@given(
    pods=st.lists(st.tuples(names, addresses, st.booleans(), st.booleans()), max_size=8),
    excluded=st.sets(addresses),
    seed=st.integers(),
)
def test_order_never_matters_and_the_invariants_hold(
    pods: list[tuple[str, str, bool, bool]], excluded: set[str], seed: int
) -> None:
    objects, slices, services = [], [], [service(n, f"10.96.0.{i}") for i, n in enumerate("abc")]
    wanted: dict[str, set[str]] = {"a": set(), "b": set(), "c": set()}
    for index, (app, ip, ready, going) in enumerate(pods):
        ip = f"10.244.{index}.{ip.rsplit('.', 1)[1]}"
        stamp = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}
        one = pod(f"{app}-{index}", ip, app=app, metadata=stamp)
        objects.append(one)
        slices.append(piece(app, endpoint(one, ready=ready), suffix=str(index)))
        if ready and not going and ip not in excluded:
            wanted[app].add(ip)
    inputs = {"services": services, "slices": slices, "pods": objects, "excluded": excluded}
    body = built(**inputs)
    for name, expected in wanted.items():
        assert set(ips(body, name)) == expected
        assert len(ips(body, name)) == len(expected)
    shuffle = random.Random(seed).shuffle
    for key in ("services", "slices", "pods"):
        shuffle(inputs[key])  # type: ignore[arg-type]
    assert built(**inputs) == body
    everything = addresses_in(body)
    assert addresses_in(without(body, excluded | set(list(everything)[:1]))) == (
        everything - excluded - set(list(everything)[:1])
    )


def split(text: str) -> tuple[Any, list[str]]:
    """The backends of a Service with that annotation, and the problems told."""
    annotated = service("payment")
    annotated["metadata"]["annotations"] = {"cloudwright.dev/backends": text}
    canary = service("payment-canary", "10.96.0.13")
    made = build(Inputs(DOMAIN, services=[annotated, canary]))
    assert [s["name"] for s in made.body["services"]] == ["payment", "payment-canary"]
    return made.body["services"][0].get("backends"), [p.reason for p in made.problems]


def test_the_annotation_splits_the_requests_of_a_service() -> None:
    backends, problems = split('{"payment": 90, "payment-canary": 10}')
    assert backends == [
        {"service": "payment", "weight": 90},
        {"service": "payment-canary", "weight": 10},
    ]
    assert problems == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "Expecting"),
        ("[]", "must be like"),
        ('{"payment": -1}', "must be like"),
        ('{"payment": true}', "must be like"),
        ('{"gone": 5}', "there is no Service gone"),
    ],
)
def test_a_bad_split_is_told_and_the_service_answers_itself(text: str, told: str) -> None:
    backends, problems = split(text)
    assert backends is None
    assert told in problems[0]


def test_a_split_in_which_everybody_has_no_weight_is_none() -> None:
    assert split('{"payment": 0}') == (None, [])
