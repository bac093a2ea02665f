"""Workloads on one machine, with real containers: Jobs that are enough, scaling by use, volumes of
one pod, exact paths of an Ingress, certificates, a node that is cordoned.
"""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.machine import Machine, machine
from tests.unit.operator.test_certificates_engine import pem

pytestmark = [pytest.mark.root, pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(400)]
PROGRAM = """\
import os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def work():
    while True:
        end = time.monotonic() + 0.005
        while time.monotonic() < end:
            pass
        time.sleep(0.1)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
index = os.environ.get("JOB_COMPLETION_INDEX")
if index == "0":
    sys.exit(0)
if os.environ.get("SCRATCH"):
    open("/scratch/here", "w").write("x")
if os.environ.get("BURN"):
    threading.Thread(target=work, daemon=True).start()
ThreadingHTTPServer(("", 8080), Answers).serve_forever()
"""
PATIENCE = 150.0
HEAD = {"namespace": "default"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A platform with one image."""
    source = tmp_path_factory.mktemp("web")
    (source / "main.py").write_text(PROGRAM)
    with machine(f"cwt-work-{os.getpid()}", Path(f"/tmp/cwt-work-{os.getpid()}")) as made:
        made.build(str(source), "-t", "web:1")
        made.run("up")
        yield made


def until(made: Machine, words: list[str], test: Callable[[Any], bool]) -> Any:
    """Ask until the object passes; the clock is generous, only its end fails."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = made.get(*words)
        if test(found):
            return found
        time.sleep(0.3)
    raise AssertionError(f"{words} never passed: {made.get(*words)}\n{made.daemon_log(20)}")


def template(env: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod of the image."""
    names = [{"name": name, "value": value} for name, value in (env or {}).items()]
    container = {"name": "web", "image": "web:1", "env": names, **spec.pop("container", {})}
    return {"containers": [container], **spec}


def deployment(name: str, pod: dict[str, Any], replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**HEAD, "name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def condition(obj: Any, kind: str) -> dict[str, Any]:
    entries = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in entries if one["type"] == kind), {})


def test_a_job_that_is_enough_ends_the_rest(made: Machine) -> None:
    spec = {
        "completions": 3,
        "parallelism": 3,
        "completionMode": "Indexed",
        "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
        "template": {"spec": template(restartPolicy="Never", terminationGracePeriodSeconds=1)},
    }
    made.apply(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {**HEAD, "name": "j"}, "spec": spec}
    )
    found = until(made, ["job", "j"], lambda o: condition(o, "Complete").get("status") == "True")
    assert condition(found, "Complete")["reason"] == "SuccessPolicy"
    status = found["status"]
    assert (status["succeeded"], status["completedIndexes"]) == (1, "0")
    assert not status.get("failed")
    assert not status.get("active")


def test_pods_scale_by_the_cpu_that_they_use(made: Machine) -> None:
    pod = template({"BURN": "1"}, container={"resources": {"requests": {"cpu": "5m"}}})
    target = {"type": "Utilization", "averageUtilization": 100}
    memory = {"type": "AverageValue", "averageValue": "4Gi"}
    made.apply(
        deployment("burner", pod),
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {**HEAD, "name": "burner"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "burner"},
                "minReplicas": 1,
                "maxReplicas": 2,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": target}},
                    {"type": "Resource", "resource": {"name": "memory", "target": memory}},
                ],
            },
        },
    )
    found = until(made, ["hpa", "burner"], lambda o: o["status"].get("desiredReplicas") == 2)
    assert condition(found, "ScalingActive")["reason"] == "ValidMetricFound"
    shown = {one["resource"]["name"]: one["resource"] for one in found["status"]["currentMetrics"]}
    assert shown["cpu"]["current"]["averageUtilization"] > 100
    assert "averageValue" in shown["memory"]["current"]
    until(made, ["deployment", "burner"], lambda o: o["spec"]["replicas"] == 2)
    made.run("delete", "hpa", "burner", "--yes")
    made.run("delete", "deployment", "burner", "--yes")


def test_a_pod_gets_a_volume_of_its_own(made: Machine) -> None:
    claim = {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    }
    pod = template(
        {"SCRATCH": "1"},
        container={"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
        volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": claim}}],
    )
    wish = {"apiVersion": "v1", "kind": "Pod", "metadata": {**HEAD, "name": "p"}, "spec": pod}
    made.apply(wish)
    until(made, ["pod", "p"], lambda o: o["status"].get("phase") == "Running")
    found = made.get("pvc", "p-scratch")
    assert found["status"]["phase"] == "Bound"
    assert found["metadata"]["ownerReferences"][0]["kind"] == "Pod"
    made.run("delete", "pod", "p", "--yes")
    until(made, ["pvc"], lambda o: not o["items"])


def test_an_exact_path_is_served_exactly(made: Machine) -> None:
    service = {"name": "site", "port": {"number": 80}}
    path = {"path": "/only", "pathType": "Exact", "backend": {"service": service}}
    made.apply(
        deployment("site", template()),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**HEAD, "name": "site"},
            "spec": {"selector": {"app": "site"}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {**HEAD, "name": "site"},
            "spec": {"ingressClassName": "cloudwright", "rules": [{"http": {"paths": [path]}}]},
        },
    )
    end = time.monotonic() + PATIENCE
    while not made.curl("/only").stdout.endswith("200"):
        assert time.monotonic() < end, made.curl("/only").stdout
        time.sleep(0.3)
    assert made.curl("/only").stdout.split() == ["/only", "200"]
    for other in ("/only/", "/only/below", "/"):
        assert made.curl(other).stdout.endswith("404"), other


def test_kubectl_approves_a_certificate_and_it_opens_the_door(made: Machine) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    spec = {
        "request": base64.b64encode(pem("jane", "cloudwright:viewers")).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
        "expirationSeconds": 3600,
    }
    made.apply(
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "jane"},
            "spec": spec,
        }
    )
    made.call(kubectl, "certificate", "approve", "jane")
    found = until(made, ["csr", "jane"], lambda o: bool(o["status"].get("certificate")))
    signed = x509.load_pem_x509_certificate(base64.b64decode(found["status"]["certificate"]))
    authority = x509.load_pem_x509_certificate((made.paths.pki / "ca.crt").read_bytes())
    signed.verify_directly_issued_by(authority)
    assert "jane" in signed.subject.rfc4514_string()


def test_a_cordoned_node_is_tainted_and_takes_no_pods(made: Machine) -> None:
    (node,) = made.get("nodes")["items"]
    name = node["metadata"]["name"]
    assert not node["spec"].get("taints")  # it is ready: its first taint is gone
    made.run("patch", "node", name, "-p", '{"spec":{"unschedulable":true}}')
    found = until(made, ["node", name], lambda o: bool(o["spec"].get("taints")))
    assert found["spec"]["taints"][0]["key"] == "node.kubernetes.io/unschedulable"
    made.run("patch", "node", name, "-p", '{"spec":{"unschedulable":null}}')
    until(made, ["node", name], lambda o: not o["spec"].get("taints"))
