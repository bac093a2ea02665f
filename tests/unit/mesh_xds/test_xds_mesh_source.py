"""The mesh as resources: by role, by identity, and only what changed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict

from cloudwright._base.errors import NotAllowedError
from cloudwright._base.paths import Paths
from cloudwright.mesh.config import MeshConfig
from cloudwright.mesh.controller import MeshControl
from cloudwright.mesh.xds import access, vhosts
from cloudwright.mesh.xds.cache import TypeSet
from cloudwright.mesh.xds.mesh import MeshSource
from cloudwright.mesh.xds.source import Node, Peer
from cloudwright.mesh.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET
from cloudwright.model.sandbox import Attachment
from tests.unit.mesh.mesh_objects import endpoint, piece, pod, route, service

pytestmark = pytest.mark.anyio
ROOT = Peer("unix")
NAME = "payment.default.svc.cluster.local:80"


@pytest.fixture
async def mesh() -> AsyncIterator[MeshControl]:
    with tempfile.TemporaryDirectory(prefix="cwx") as name:  # sockets have short paths
        folder = Path(name)
        binary = folder / "native"
        binary.touch()
        paths = Paths(folder / "s", folder / "r", folder / "u")
        config = MeshConfig(paths, uid=os.geteuid(), gid=os.getegid(), binary=binary)
        made = MeshControl(config)
        await made.start()
        await made.gateway(["127.0.0.1:8080"], ["127.0.0.1:8443"])
        yield made


async def publish(mesh: MeshControl, *ips: str, account: str = "default", **spec: Any) -> None:
    spec.setdefault("pathPrefix", "/payment")
    pods = [pod(f"p{n}", ip, spec={"serviceAccountName": account}) for n, ip in enumerate(ips)]
    pieces = [piece("payment", *map(endpoint, pods))] if pods else []
    await mesh.update([service("payment")], pieces, pods, [route("payment", **spec)])


def shown(found: TypeSet, name: str) -> dict[str, Any]:
    value: dict[str, Any] = MessageToDict(
        AnyMessage.FromString(found.resources[name].any), preserving_proto_field_name=True
    )
    return value


async def test_a_gateway_is_told_whom_to_trust(mesh: MeshControl) -> None:
    await publish(mesh, "10.244.0.5", "10.244.0.6", stripPrefix=True)
    source = MeshSource(mesh, http=["127.0.0.1:8080"], https=["127.0.0.1:8443"])
    node = source.admit(ROOT, Node("gateway", role="gateway"))
    view = await source.view(node)
    cluster = shown(view[CLUSTER], NAME)
    common = cluster["transport_socket"]["typed_config"]["common_tls_context"]
    names = common["combined_validation_context"]["default_validation_context"]
    wanted = {"exact": "spiffe://cluster.local/ns/default/sa/default"}
    assert names["match_typed_subject_alt_names"] == [{"san_type": "URI", "matcher": wanted}]
    assert common["alpn_protocols"] == ["h2"]
    group = shown(view[ENDPOINT], NAME)["endpoints"][0]
    addresses = [e["endpoint"]["address"]["socket_address"] for e in group["lb_endpoints"]]
    assert addresses == [{"address": f"10.244.0.{n}", "port_value": 8080} for n in (5, 6)]
    assert sorted(view[SECRET].resources) == ["ROOTCA", "default", "https"]
    assert set(view[LISTENER].resources) == {"http|127.0.0.1:8080", "https|127.0.0.1:8443"}
    host = shown(view[ROUTE], "gateway")["virtual_hosts"][0]
    assert host["domains"] == ["*"]
    assert host["routes"][0]["match"]["path_separated_prefix"] == "/payment"
    assert host["routes"][0]["route"]["cluster"] == NAME


async def test_only_what_changed_is_made_again(mesh: MeshControl) -> None:
    await publish(mesh, "10.244.0.5")
    source = MeshSource(mesh)
    node = source.admit(ROOT, Node("gateway", role="gateway"))
    before = await source.view(node)
    assert await source.view(node) is before
    await publish(mesh, "10.244.0.5", "10.244.0.6")
    after = await source.view(node)
    assert after[ENDPOINT] is not before[ENDPOINT]
    for url in (CLUSTER, LISTENER, ROUTE, SECRET):
        assert after[url] is before[url], url
    # a Service that loses its endpoints keeps its cluster, and whom it trusts
    await publish(mesh, "10.244.0.5", account="other")
    other = (await source.view(node))[CLUSTER]
    assert other is not before[CLUSTER]
    await publish(mesh)
    empty = await source.view(node)
    assert empty[CLUSTER] is other
    assert "endpoints" not in shown(empty[ENDPOINT], NAME)


async def test_rotation_changes_secrets_only(mesh: MeshControl) -> None:
    await publish(mesh, "10.244.0.5")
    source = MeshSource(mesh)
    node = source.admit(ROOT, Node("gateway", role="gateway"))
    told: list[int] = []
    source.listen(lambda: told.append(1))
    before = await source.view(node)
    await mesh.rotate_all()
    assert told
    after = await source.view(node)
    changed = after[SECRET].changed_since(before[SECRET])
    assert changed == {"default", "https"}
    assert all(after[url] is before[url] for url in (CLUSTER, ENDPOINT, LISTENER, ROUTE))


async def test_several_identities_are_told_apart_by_endpoint(mesh: MeshControl) -> None:
    pods = [
        pod("a", "10.244.0.5", spec={"serviceAccountName": "one"}),
        pod("b", "10.244.0.6", spec={"serviceAccountName": "two"}),
    ]
    await mesh.update([service("payment")], [piece("payment", *map(endpoint, pods))], pods, [])
    view = await MeshSource(mesh).view(Node("gateway", role="gateway"))
    matches = shown(view[CLUSTER], NAME)["transport_socket_matches"]
    listed = shown(view[ENDPOINT], NAME)["endpoints"][0]["lb_endpoints"]
    for match, one in zip(matches, listed, strict=True):
        meta = one["metadata"]["filter_metadata"]["envoy.transport_socket_match"]
        assert meta == match["match"]
        assert meta["identity"] in str(match["transport_socket"])


async def test_a_sidecar_has_its_own_secrets_and_ports(mesh: MeshControl) -> None:
    await publish(mesh, "10.244.0.5")
    place = Attachment("uid-1", "/run/netns/x", "10.244.0.5", "10.244.0.1", "eth0")
    await mesh.enroll(pod("p0", "10.244.0.5"), place)
    source = MeshSource(mesh)
    node = source.admit(ROOT, Node("uid-1"))
    assert node.role == "sidecar"
    view = await source.view(node)
    assert sorted(view[SECRET].resources) == ["ROOTCA", "default"]
    key = mesh.files.directory("uid-1") / "key.pem"
    assert key.read_bytes() in view[SECRET].resources["default"].any
    assert {"inbound|8080", "passthrough", NAME} <= view[CLUSTER].resources.keys()
    inbound = shown(view[LISTENER], "inbound")["filter_chains"][0]
    assert inbound["filter_chain_match"]["destination_port"] == 8080
    assert inbound["transport_socket"]["typed_config"]["require_client_certificate"]
    await mesh.release("uid-1")
    with pytest.raises(NotAllowedError, match="any more"):
        await source.view(node)
    with pytest.raises(NotAllowedError, match="enrolled"):
        source.admit(ROOT, Node("uid-1", role="sidecar"))


async def test_grpc_clients_get_no_secrets(mesh: MeshControl) -> None:
    await publish(mesh, "10.244.0.5")
    source = MeshSource(mesh)
    node = source.admit(Peer("mtls", "spiffe://cluster.local/ns/a/sa/b"), Node("x", role="grpc"))
    view = await source.view(node)
    assert list(view[SECRET].resources) == ["ROOTCA"]
    assert {*view[LISTENER].resources} == {*view[ROUTE].resources} == {NAME}
    assert "certificate_provider_instance" in str(shown(view[CLUSTER], NAME))
    plain = source.admit(ROOT, Node("x", role="grpc", metadata={"tls": "none"}))
    assert "transport_socket" not in shown((await source.view(plain))[CLUSTER], NAME)


IDENTITY = "spiffe://cluster.local/ns/default/sa/default"
GATEWAY = "spiffe://cluster.local/ns/cloudwright-system/sa/gateway"


@pytest.mark.parametrize(
    ("peer", "node", "allowed"),
    [
        (ROOT, Node("gateway"), True),
        (ROOT, Node("u1"), True),
        (ROOT, Node("u2"), False),
        (ROOT, Node("../u1", role="sidecar"), False),
        (Peer("loopback"), Node("gateway"), False),
        (Peer("mtls", ""), Node("x", role="grpc"), False),
        (Peer("mtls", IDENTITY), Node("u1"), True),
        (Peer("mtls", IDENTITY + "2"), Node("u1"), False),
        (Peer("mtls", IDENTITY), Node("gateway"), False),
        (Peer("mtls", IDENTITY), Node("u1", role="gateway"), False),
        (Peer("mtls", GATEWAY), Node("gateway"), True),
        (Peer("mtls", GATEWAY), Node("u1"), False),
        (Peer("mtls", GATEWAY), Node("gateway", role="sidecar"), False),
    ],
)
def test_who_may_be_which_node(tmp_path: Path, peer: Peer, node: Node, allowed: bool) -> None:
    config = MeshConfig(Paths(tmp_path, tmp_path, tmp_path))
    known: dict[str, Mapping[str, Any]] = {
        "u1": {"role": "sidecar", "identity": IDENTITY},
        "gateway": {"role": "gateway", "identity": GATEWAY},
    }
    if allowed:
        assert access.admit(config, known.get, peer, node).identity in (IDENTITY, GATEWAY)
    else:
        with pytest.raises(NotAllowedError):
            access.admit(config, known.get, peer, node)


def entry(name: str, hosts: list[str], path: str, **more: Any) -> dict[str, Any]:
    retries = {"attempts": 2, "per_try_timeout_ms": 0, "on": ["reset"]}
    return {
        "namespace": "default", "name": name, "hosts": hosts, "path_prefix": path,
        "strip_prefix": False, "service": name, "port": 80, "timeout_ms": 1500,
        "retries": retries, "load_balancer": "round_robin", **more,
    }  # fmt: skip


def test_routes_keep_our_order_of_hosts_and_paths() -> None:
    found = {
        ("default", name): {
            "namespace": "default", "name": name, "load_balancer": "round_robin",
            "ports": [{"name": "http", "port": 80, "protocol": "http"}], "endpoints": [],
        }
        for name in ("one", "two", "three")
    }  # fmt: skip
    routes = [
        entry("one", ["*"], "/"),
        entry("two", ["*.example.com"], "/a/", strip_prefix=True),
        entry("three", ["x.example.com"], "/a", exact=True),
        entry("missing", ["*"], "/m"),
    ]
    made = vhosts.gateway(routes, found)
    hosts = {host["name"]: host["routes"] for host in made["virtual_hosts"]}

    def paths(host: str) -> list[str]:
        keys = ("path", "path_separated_prefix", "prefix")
        listed = [next(r["match"][k] for k in keys if k in r["match"]) for r in hosts[host]]
        return list(dict.fromkeys(listed))

    assert paths("*") == ["/m", "/"]
    assert paths("x.example.com") == ["/a", "/m", "/"]  # the exact /a, and the prefix /a
    assert len(hosts["x.example.com"]) == len(hosts["*"]) + 4
    assert hosts["*"][0]["direct_response"]["status"] == 503
    safe, rest = hosts["*.example.com"][0], hosts["*.example.com"][1]
    assert "headers" in safe["match"]
    assert "reset" in safe["route"]["retry_policy"]["retry_on"].split(",")
    assert "reset" not in rest["route"]["retry_policy"]["retry_on"].split(",")
    assert rest["route"]["regex_rewrite"]["pattern"]["regex"] == "^/a/?(.*)$"
    assert rest["route"]["timeout"] == "1.500s"
