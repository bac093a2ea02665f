"""Tokens and rights from webhooks, audit events to one, Secrets encrypted in the store."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.peers.cluster import Cluster
from tests.peers.http import Client
from tests.peers.ours import our_server

TOKENS = {"good-ann": "ann", "good-bob": "bob"}


class Hooks:
    """What the webhooks were asked."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: dict[str, list[Any]] = {"/tokens": [], "/access": [], "/audit": []}

    def answer(self, path: str, body: Any) -> Any:
        """The answer to a POST."""
        self.seen[path].append(body)
        if path == "/tokens":
            name = TOKENS.get(body["spec"]["token"])
            status = {"authenticated": name is not None, "user": {"username": name or ""}}
            return {**body, "status": status}
        if path == "/access":
            return {**body, "status": self.decide(body["spec"])}
        return {}

    @staticmethod
    def decide(spec: Any) -> dict[str, Any]:
        """ann may read ConfigMaps; bob is denied whatever else allows him."""
        about = spec.get("resourceAttributes") or {}
        if spec["user"] == "bob":
            return {"allowed": False, "denied": True, "reason": "bob is out"}
        allowed = about.get("resource") == "configmaps" and about.get("verb") == "list"
        return {"allowed": allowed, "reason": "said the webhook"}


@pytest.fixture(scope="module")
def hooks() -> Iterator[Hooks]:
    found = Hooks()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            data = json.dumps(found.answer(self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(10)


def kubeconfig(directory: Path, hooks: Hooks, path: str) -> Path:
    """A file in kubeconfig format that names a webhook."""
    file = directory / f"{path.strip('/')}.yaml"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "w",
        "clusters": [{"name": "w", "cluster": {"server": f"http://127.0.0.1:{hooks.port}{path}"}}],
        "users": [{"name": "w", "user": {}}],
        "contexts": [{"name": "w", "context": {"cluster": "w", "user": "w"}}],
    }
    file.write_text(json.dumps(content))
    return file


@pytest.fixture(scope="module")
def cluster(hooks: Hooks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("hooks")
    connection = {
        "type": "KubeConfigFile",
        "kubeConfigFile": str(kubeconfig(directory, hooks, "/access")),
    }
    webhook = {
        "timeout": "10s",
        "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": connection,
        "matchConditions": [{"expression": "request.user in ['ann', 'bob']"}],
    }
    order = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": [
            {"type": "Webhook", "name": "ours", "webhook": webhook},
            {"type": "Node", "name": "node"},
            {"type": "RBAC", "name": "rbac"},
        ],
    }
    config = directory / "order.yaml"
    config.write_text(json.dumps(order))
    flags = [
        f"--authentication-token-webhook-config-file={kubeconfig(directory, hooks, '/tokens')}",
        f"--authorization-config={config}",
        "--audit-policy=default",
        f"--audit-webhook-config-file={kubeconfig(directory, hooks, '/audit')}",
        "--audit-webhook-batch-max-wait=100ms",
    ]
    with our_server(tmp_path_factory.mktemp("served"), flags=flags) as found:
        yield found


def ask(cluster: Cluster, token: str, path: str) -> Any:
    with Client(cluster, token=token) as client:
        return client.send("GET", path)


def test_a_webhook_knows_who_it_is(cluster: Cluster, hooks: Hooks) -> None:
    with Client(cluster, token="good-ann") as client:
        review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
        found = client.send("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    assert found.status == 201
    assert found.json["status"]["userInfo"]["username"] == "ann"
    assert ask(cluster, "nobodys", "/api/v1/namespaces").status == 401
    asked = [one["spec"]["token"] for one in hooks.seen["/tokens"]]
    assert asked.count("good-ann") == 1


def test_a_webhook_decides_before_rbac(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    assert ask(cluster, "good-ann", path).status == 200
    refused = ask(cluster, "good-ann", "/api/v1/namespaces/default/secrets")
    assert refused.status == 403
    assert "said the webhook" in refused.json["message"]
    with Client(cluster) as admin:
        binding = {
            "metadata": {"name": "bob-may"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "view",
            },
            "subjects": [
                {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
                for name in ("bob", "joe")
            ],
        }
        made = admin.send("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        assert made.status == 201
    denied = ask(cluster, "good-bob", path)
    assert denied.status == 403
    assert "bob is out" in denied.json["message"]
    with Client(cluster, "joe", ()) as joe:
        assert joe.send("GET", path).status == 200


def test_audit_events_reach_the_webhook(cluster: Cluster, hooks: Hooks) -> None:
    with Client(cluster) as admin:
        made = admin.send(
            "POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "audited"}}
        )
    assert made.status == 201

    def told() -> bool:
        events = [event for batch in hooks.seen["/audit"] for event in batch["items"]]
        return any(
            event["verb"] == "create" and event["objectRef"]["resource"] == "configmaps"
            for event in events
            if (event.get("objectRef") or {}).get("namespace") == "default"
        )

    end = time.monotonic() + 60
    while not told():
        assert time.monotonic() < end, hooks.seen["/audit"]
        time.sleep(0.02)
    assert {batch["kind"] for batch in hooks.seen["/audit"]} == {"EventList"}


def test_secrets_are_encrypted_on_disk(tmp_path: Path) -> None:
    word = b"c2VzYW1lLXNlc2FtZQ=="
    with our_server(tmp_path, flags=["--encryption-provider-config=secrets"]) as cluster:
        with Client(cluster) as admin:
            secret = {"metadata": {"name": "s"}, "data": {"w": word.decode()}}
            path = "/api/v1/namespaces/default/secrets"
            assert admin.send("POST", path, secret).status == 201
            assert admin.send("GET", f"{path}/s").json["data"]["w"] == word.decode()
            listed = admin.send("GET", path).json["items"]
            assert word.decode() in json.dumps(listed)
        files = list((tmp_path / "apiserver").glob("store.db*"))
        kept = b"".join(file.read_bytes() for file in files)
        assert b"k8s:enc:aesgcm:v1:own:" in kept
        assert word not in kept
