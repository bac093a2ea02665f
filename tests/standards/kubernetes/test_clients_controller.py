"""A controller on controller-runtime (Go, ``go/controller``): it takes ours for Kubernetes."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.peers.cluster import Cluster
from tests.peers.http import Client
from tests.standards.kubernetes.conftest import program
from tests.standards.kubernetes.greetings import CRDS, DEFINITION
from tests.standards.kubernetes.session import MERGE

pytestmark = pytest.mark.foreign
NAMESPACE = "greetings"
PATH = f"/apis/d.example.com/v1/namespaces/{NAMESPACE}/greetings"


class Controller:
    """A running controller and what it says."""

    def __init__(self, cluster: Cluster, identity: str, log: Any, *more: str) -> None:
        words = [program("controller"), "-config", cluster.kubeconfig(), "-namespace", NAMESPACE]
        words += ["-identity", identity, *more]
        self._log = log
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))
        self._said.put({"said": "end"})

    def wait_for(self, what: str) -> dict[str, Any]:
        while (said := self._said.get(timeout=120))["said"] != what:
            if said["said"] == "end":
                self._log.seek(0)
                raise AssertionError(f"the controller ended\n{self._log.read()[-3000:]}")
        return said

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def controller(cluster: Cluster, identity: str, tmp_path: Any, *more: str) -> Iterator[Controller]:
    with (tmp_path / f"{identity}.log").open("w+") as log:
        made = Controller(cluster, identity, log, *more)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def api(served: Cluster) -> Iterator[Client]:
    with Client(served) as client:
        client.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        client.send("POST", CRDS, DEFINITION)
        until(client, PATH, lambda found: found.get("kind") == "GreetingList")
        yield client


def until(client: Client, path: str, good: Any, seconds: float = 90) -> Any:
    """Ask until it is good; a deadline, not a measurement."""
    for _ in range(int(seconds * 10)):
        found = client.send("GET", path)
        if found.json is not None and good(found.json):
            return found.json
        threading.Event().wait(0.1)
    raise AssertionError(f"not within {seconds} s: {path} {found.status} {found.body!r}")


def test_the_controller_does_its_work(served: Cluster, api: Client, tmp_path: Any) -> None:
    with controller(served, "one", tmp_path) as made:
        made.wait_for("elected")
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
        lease = until(api, f"{leases}/greetings.d.example.com", lambda o: "spec" in o)
        assert lease["spec"]["holderIdentity"]
        body = {
            "apiVersion": "d.example.com/v1",
            "kind": "Greeting",
            "metadata": {"name": "hello"},
            "spec": {"text": "hi", "image": "web:1", "replicas": 2},
        }
        assert api.send("POST", PATH, body).status == 201
        config = f"/api/v1/namespaces/{NAMESPACE}/configmaps/hello"
        until(api, config, lambda o: o.get("data") == {"text": "hi"})
        greeting = until(api, f"{PATH}/hello", lambda o: "conditions" in o.get("status", {}))
        assert greeting["metadata"]["finalizers"] == ["d.example.com/cleanup"]
        assert greeting["status"]["conditions"][0]["type"] == "Ready"
        deployment = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/hello"
        found = until(api, deployment, lambda o: o.get("kind") == "Deployment")
        owner = found["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["controller"]) == ("Greeting", True)
        change = {"spec": {"text": "bye", "image": "web:2"}}
        assert api.send("PATCH", f"{PATH}/hello", change, {"Content-Type": MERGE}).status == 200
        until(api, config, lambda o: o.get("data") == {"text": "bye"})
        until(
            api, deployment,
            lambda o: o["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2",
        )  # fmt: skip
        api.send("DELETE", config)
        until(api, config, lambda o: o.get("data") == {"text": "bye"})
        events = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
        until(api, events, lambda o: any(e["reason"] == "Written" for e in o["items"]))
        assert api.send("DELETE", f"{PATH}/hello").status == 200
        assert made.wait_for("left")["name"] == "hello"
        until(api, f"{PATH}/hello", lambda o: o.get("reason") == "NotFound")


def test_only_one_of_two_leads(served: Cluster, api: Client, tmp_path: Any) -> None:
    with controller(served, "first", tmp_path) as first:
        assert first.wait_for("elected")["identity"] == "first"
        with controller(served, "second", tmp_path) as second:
            first.stop()
            assert second.wait_for("elected")["identity"] == "second"
