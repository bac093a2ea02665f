"""API aggregation: another maker's API server behind ours, over TLS, told who asks."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import foreign_api
from tests.integration.foreign_api import ROOT, Foreign
from tests.peers.build import Unavailable, built
from tests.peers.cluster import Cluster
from tests.peers.http import Client
from tests.peers.ours import our_server
from tests.peers.pki import Authority

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = "v1beta1.metrics.k8s.io"
SECONDS = 60.0
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def until(said: Callable[[], Any]) -> Any:
    """The first true answer; fails when there is none in time."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = said()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"it never became so: {found}")


def available(client: Client) -> tuple[str, str]:
    """Status and reason of the condition."""
    found = client.send("GET", f"{SERVICES}/{NAME}").json
    for one in (found.get("status") or {}).get("conditions") or ():
        if one["type"] == "Available":
            return one["status"], one["reason"]
    return "", ""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with our_server(tmp_path_factory.mktemp("aggregation")) as found:
        yield found


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(cluster) as found:
        yield found


def trusted(client: Client) -> dict[str, str]:
    """What the cluster publishes for API servers behind it."""
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"

    def published() -> Any:
        answer = client.send("GET", path)
        return answer.json["data"] if answer.status == 200 else None

    found: dict[str, str] = until(published)
    return found


@pytest.fixture(scope="module")
def foreign(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    authority = Authority(tmp_path_factory.mktemp("foreign-pki"))
    certificate, key = authority.server(["metrics.kube-system.svc"])
    front = trusted(client)["requestheader-client-ca-file"]
    with foreign_api.serving(certificate, key, front) as found:
        service = {
            "metadata": {"name": "metrics"},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
        made = client.send("POST", "/api/v1/namespaces/kube-system/services", service)
        assert made.status == 201, made.body
        bundle = base64.b64encode(authority.file.read_bytes()).decode()
        spec = {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "caBundle": bundle,
            "service": {"namespace": "kube-system", "name": "metrics", "port": found.port},
        }
        made = client.send("POST", SERVICES, {"metadata": {"name": NAME}, "spec": spec})
        assert made.status == 201, made.body
        until(lambda: available(client) == ("True", "Passed"))
        yield found


def test_trust_is_published(client: Client) -> None:
    data = trusted(client)
    assert json.loads(data["requestheader-allowed-names"]) == ["front-proxy-client"]
    assert json.loads(data["requestheader-username-headers"]) == ["X-Remote-User"]
    assert data["client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")
    assert data["client-ca-file"] != data["requestheader-client-ca-file"]


def test_a_request_is_carried_with_the_user(client: Client, foreign: Foreign) -> None:
    headers = {
        "Impersonate-User": "ann",
        "Impersonate-Group": "system:masters",
        "Impersonate-Extra-Scopes": "a b",
        "X-Remote-User": "mallory",
        "Authorization": "Bearer stolen",
    }
    found = client.send("GET", f"{ROOT}/nodes?limit=1", None, headers)
    assert found.status == 200
    assert found.json["items"][0]["metadata"]["name"] == "n1"
    seen = foreign.seen[-1]
    assert seen["x-remote-user"] == ["ann"]
    assert "system:masters" in seen["x-remote-group"]
    assert "system:authenticated" in seen["x-remote-group"]
    assert seen["x-remote-extra-scopes"] == ["a b"]
    assert seen["path"] == [f"{ROOT}/nodes?limit=1"]
    assert "authorization" not in seen
    assert "impersonate-user" not in seen


def test_a_body_is_carried(client: Client, foreign: Foreign) -> None:
    del foreign
    found = client.send("POST", f"{ROOT}/nodes", {"a": 1})
    assert found.status == 201
    assert json.loads(found.json["given"]) == {"a": 1}
    assert found.json["type"] == "application/json"


def test_who_may_not_is_not_carried(cluster: Cluster, foreign: Foreign) -> None:
    before = len(foreign.seen)
    with Client(cluster, "joe", ()) as joe:
        found = joe.send("GET", f"{ROOT}/nodes")
    assert found.status == 403
    assert 'cannot list resource "nodes" in API group "metrics.k8s.io"' in found.json["message"]
    assert len(foreign.seen) == before


def test_its_own_errors_are_passed_on(client: Client, foreign: Foreign) -> None:
    del foreign
    found = client.send("GET", f"{ROOT}/namespaces/default/pods/nobody")
    assert (found.status, found.json["code"]) == (404, 404)


def test_discovery_knows_it(client: Client, foreign: Foreign) -> None:
    del foreign
    groups = {one["name"]: one for one in client.send("GET", "/apis").json["groups"]}
    shown = groups["metrics.k8s.io"]["preferredVersion"]
    assert shown == {"groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1"}
    assert client.send("GET", "/apis/metrics.k8s.io").json["name"] == "metrics.k8s.io"
    assert client.send("GET", ROOT).json["kind"] == "APIResourceList"
    found = client.send("GET", "/apis", None, {"Accept": DISCOVERY}).json["items"]
    (ours,) = [one for one in found if one["metadata"]["name"] == "metrics.k8s.io"]
    version = ours["versions"][0]
    assert version["freshness"] == "Current"
    assert [one["resource"] for one in version["resources"]] == ["nodes", "pods"]


def test_openapi_knows_it(client: Client, foreign: Foreign) -> None:
    del foreign
    index = client.send("GET", "/openapi/v3").json["paths"]
    where = index["apis/metrics.k8s.io/v1beta1"]["serverRelativeURL"]
    assert "foreign.NodeMetrics" in client.send("GET", where).json["components"]["schemas"]
    v2 = client.send("GET", "/openapi/v2").json
    assert "foreign.NodeMetrics" in v2["definitions"]
    assert f"{ROOT}/nodes" in v2["paths"]


def test_a_stream_is_carried_as_it_comes(client: Client, foreign: Foreign) -> None:
    del foreign
    connection = client.connect()
    connection.request("GET", f"{ROOT}/events?watch=1")
    answer = connection.getresponse()
    lines = [json.loads(answer.readline())["object"]["n"] for _ in range(2)]
    assert lines == [0, 1]
    assert answer.read() == b""
    connection.close()


def test_an_upgrade_is_carried(cluster: Cluster, foreign: Foreign) -> None:
    del foreign
    context = cluster.context("admin", ("system:masters",))
    raw = socket.create_connection((cluster.host, cluster.port), timeout=30)
    with context.wrap_socket(raw, server_hostname="localhost") as secure:
        head = (
            f"GET {ROOT}/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        )
        secure.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += secure.recv(1024)
        assert answer.startswith(b"HTTP/1.1 101")
        rest = answer.partition(b"\r\n\r\n")[2]
        secure.sendall(b"hello")
        while len(rest) < 5:
            rest += secure.recv(1024)
        assert rest == b"HELLO"


def test_one_that_fails_is_not_available(client: Client, foreign: Foreign) -> None:
    foreign.broken = True
    try:
        kick(client)
        until(lambda: available(client) == ("False", "FailedDiscoveryCheck"))
        answer = client.send("GET", f"{ROOT}/nodes")
        assert (answer.status, answer.body) == (503, b"service unavailable\n")
        found = client.send("GET", "/apis", None, {"Accept": DISCOVERY}).json["items"]
        (ours,) = [one for one in found if one["metadata"]["name"] == "metrics.k8s.io"]
        assert ours["versions"][0]["freshness"] == "Stale"
    finally:
        foreign.broken = False
    kick(client)
    until(lambda: available(client) == ("True", "Passed"))


def kick(client: Client) -> None:
    """A change of the Service makes the server look again at once."""
    path = "/api/v1/namespaces/kube-system/services/metrics"
    patch = {"metadata": {"annotations": {"looked": str(time.monotonic())}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    assert client.send("PATCH", path, patch, headers).status == 200


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("gone", {}, "ServiceNotFound"),
        ("metrics", {"caBundle": None}, "FailedDiscoveryCheck"),
        ("metrics", {"port": 1}, "FailedDiscoveryCheck"),
    ],
)
def test_what_cannot_be_reached_says_why(
    client: Client, foreign: Foreign, name: str, change: dict[str, Any], reason: str
) -> None:
    port = change.get("port", foreign.port)
    spec = {
        "group": "other.example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"namespace": "kube-system", "name": name, "port": port},
    }
    made = client.send(
        "POST", SERVICES, {"metadata": {"name": "v1.other.example.com"}, "spec": spec}
    )
    assert made.status == 201, made.body

    def told() -> Any:
        found = client.send("GET", f"{SERVICES}/v1.other.example.com").json
        conditions = (found.get("status") or {}).get("conditions") or [{}]
        return conditions[0].get("reason") == reason

    until(told)
    assert client.send("DELETE", f"{SERVICES}/v1.other.example.com").status == 200
    assert client.send("GET", "/apis/other.example.com/v1").status == 404


def test_what_is_served_here_is_nobodys_to_write(client: Client) -> None:
    assert client.send("DELETE", f"{SERVICES}/v1.apps").status == 403
    spec = {"group": "apps", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    made = client.send("POST", SERVICES, {"metadata": {"name": "v1.apps"}, "spec": spec})
    assert (made.status, made.json["reason"]) == (409, "AlreadyExists")


def test_wrong_ones_are_refused(client: Client) -> None:
    spec = {"group": "a.b", "version": "v1", "groupPriorityMinimum": 0, "versionPriority": 2000}
    spec["insecureSkipTLSVerify"] = True
    made = client.send("POST", SERVICES, {"metadata": {"name": "v2.a.b"}, "spec": spec})
    assert made.status == 422
    fields = [one["field"] for one in made.json["details"]["causes"]]
    assert fields == [
        "metadata.name",
        "spec.groupPriorityMinimum",
        "spec.versionPriority",
        "spec.insecureSkipTLSVerify",
    ]


@pytest.mark.foreign
def test_kubectl_top(cluster: Cluster, foreign: Foreign, tmp_path: Path) -> None:
    del foreign
    try:
        program = built("kubectl")
    except Unavailable as error:
        pytest.skip(str(error))

    def kubectl(*words: str) -> str:
        done = subprocess.run(
            [program, "--kubeconfig", cluster.kubeconfig(), "--cache-dir", tmp_path, *words],
            capture_output=True, text=True, timeout=120, env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    assert kubectl("top", "pods").split() == [
        "NAME",
        "CPU(cores)",
        "MEMORY(bytes)",
        "web",
        "250m",
        "64Mi",
    ]
    listed = kubectl("api-resources", "--api-group=metrics.k8s.io", "-o", "name").split()
    assert listed == ["nodes.metrics.k8s.io", "pods.metrics.k8s.io"]
    shown = kubectl("get", "apiservices", NAME).splitlines()[1].split()
    assert shown[:3] == [NAME, "kube-system/metrics", "True"]
    waited = kubectl("wait", "--for=condition=Available", f"apiservice/{NAME}", "--timeout=60s")
    assert "condition met" in waited
