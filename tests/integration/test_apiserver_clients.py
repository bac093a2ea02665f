"""Foreign clients against the served API: two kubectls, and three Python clients."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests import foreign

pytestmark = pytest.mark.foreign
ROOT = Path(__file__).parents[2]


class Api:
    """A running server and how to reach it."""

    def __init__(self, ready: dict[str, str]) -> None:
        self.__dict__.update(ready)
        self.url = ready["url"]
        self.kubeconfig = ready["kubeconfig"]

    def get(self, path: str, token: str | None = None, method: str = "GET", body=None, **headers):
        """``(status, JSON)`` of a request without a client certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    state = tmp_path_factory.mktemp("api")
    command = [foreign.python(), "-m", "tests.integration.served_api", str(state)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the server did not start"
        yield Api(json.loads(line))
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.fixture(scope="module", params=["path", "debian"])
def kubectl(request, api, tmp_path_factory):
    """Runs kubectl and returns what it wrote; ``ok=False`` expects failure."""
    found = foreign.kubectl_on_path() if request.param == "path" else foreign.kubectl_debian()
    if found is None:
        pytest.skip(f"no kubectl ({request.param}) on this machine, and none can be fetched")
    cache = tmp_path_factory.mktemp("kubectl")

    def run(*arguments, stdin=None, ok=True, timeout=60):
        command = [found, f"--kubeconfig={api.kubeconfig}", f"--cache-dir={cache}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
        assert (done.returncode == 0) is ok, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    run.program = found
    run.config = api.kubeconfig
    run.name = request.param
    return run


POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: shop}}
spec:
  containers: [{name: app, image: "web:1"}, {name: side, image: "proxy:1"}]
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: app, image: "web:1", ports: [{containerPort: 80}]}]
"""
MICROSERVICE = """
apiVersion: platform.example.com/v1
kind: MicroService
metadata: {name: %s}
spec:
  version: "1.12.0"
  replicas: 3
  readinessProbePath: "/health/ready"
  lifecyclePolicy: {preStopHook: "scripts/pre-stop.sh", postRolloutHook: "webhook://config-sync"}
"""
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %(plural)s.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: %(plural)s, kind: %(kind)s}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, description: "How large it is."}
"""


@pytest.fixture(scope="module")
def pod(kubectl):
    """A pod of two containers that says it runs."""
    name = f"shop-{kubectl.name}"
    kubectl("apply", "-f", "-", stdin=POD % name)
    return name


def test_apply_get_describe_patch_delete(kubectl):
    name = f"crud-{kubectl.name}"
    text = DEPLOYMENT % name
    assert "created" in kubectl("apply", "-f", "-", stdin=text)
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=text)
    assert "configured" in kubectl(
        "apply", "-f", "-", stdin=text.replace("replicas: 2", "replicas: 3")
    )
    shown = kubectl("get", "deployments", name).splitlines()
    assert shown[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert shown[1].split()[:4] == [name, "0/3", "0", "0"]
    assert "CONTAINERS" in kubectl("get", "deploy", name, "-o", "wide")
    described = kubectl("describe", "deployment", name)
    assert "web:1" in described
    assert "Selector:" in described
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "web:2"}]}}}}
    kubectl("patch", "deployment", name, "-p", json.dumps(patch))
    found = json.loads(kubectl("get", "deployment", name, "-o", "json"))
    containers = found["spec"]["template"]["spec"]["containers"]
    assert [(c["image"], c["ports"][0]["containerPort"]) for c in containers] == [("web:2", 80)]
    kubectl("scale", "deployment", name, "--replicas=0")
    assert kubectl("get", "deploy", name, "-o", "jsonpath={.spec.replicas}") == "0"
    kubectl("label", "deployment", name, "tier=front")
    assert name in kubectl("get", "deploy", "-l", "tier=front")
    kubectl("delete", "deployment", name)
    assert "NotFound" in kubectl("get", "deployment", name, ok=False)


def test_create_of_typed_objects(kubectl):
    name = f"typed-{kubectl.name}"
    kubectl("create", "namespace", name)
    kubectl("-n", name, "create", "configmap", "settings", "--from-literal=a=b")
    kubectl("-n", name, "create", "secret", "generic", "key", "--from-literal=x=y")
    kubectl("-n", name, "create", "serviceaccount", "robot")
    kubectl("-n", name, "create", "deployment", "web", "--image=web:1")
    kubectl("-n", name, "expose", "deployment", "web", "--port=80")
    assert kubectl("-n", name, "get", "cm", "settings", "-o", "jsonpath={.data.a}") == "b"
    assert kubectl("-n", name, "get", "secret", "key", "-o", "jsonpath={.data.x}") == "eQ=="
    assert "80/TCP" in kubectl("-n", name, "get", "svc", "web")


def test_unknown_fields_and_wrong_types_are_refused(kubectl):
    bad = (DEPLOYMENT % "bad").replace("replicas: 2", "replics: 2")
    assert "replics" in kubectl("apply", "-f", "-", stdin=bad, ok=False)
    bad = (DEPLOYMENT % "bad").replace("replicas: 2", 'replicas: "two"')
    assert "replicas" in kubectl("apply", "-f", "-", stdin=bad, ok=False)


def test_explain_and_api_resources(kubectl):
    explained = kubectl("explain", "deployment.spec.template.spec.containers.image")
    assert "Container image name" in explained
    assert "version" in kubectl("explain", "microservice.spec").lower()
    listed = kubectl("api-resources")
    for word in ("pods", "deployments", "microservices", "customresourcedefinitions"):
        assert word in listed
    assert "platform.example.com/v1" in kubectl("api-versions")


def test_microservices_by_their_short_name(kubectl):
    name = f"payment-{kubectl.name}"
    kubectl("apply", "-f", "-", stdin=MICROSERVICE % name)
    head, row = kubectl("get", "ms", name).splitlines()
    assert head.split() == ["NAME", "VERSION", "READY", "STATUS", "ROUTE", "AGE"]
    assert row.split()[:3] == [name, "1.12.0", "0/3"]
    kubectl("patch", "ms", name, "-p", '{"spec":{"version":"1.11.0"}}')
    kubectl("patch", "ms", name, "--type=merge", "-p", '{"spec":{"replicas":1}}')
    path = "jsonpath={.spec.version} {.spec.replicas}"
    assert kubectl("get", "ms", name, "-o", path) == "1.11.0 1"


def test_custom_resources_are_served_at_once(kubectl):
    names = {"plural": f"{kubectl.name}boxes", "kind": f"{kubectl.name.title()}Box"}
    kubectl("apply", "-f", "-", stdin=CRD % names)
    crd = f"{names['plural']}.example.org"
    kubectl("wait", "--for=condition=established", f"crd/{crd}", "--timeout=20s")
    box = f"apiVersion: example.org/v1\nkind: {names['kind']}\nmetadata: {{name: one}}\n"
    kubectl("apply", "-f", "-", stdin=f"{box}spec: {{size: 4}}\n")
    head, row = kubectl("get", names["plural"]).splitlines()
    assert (head.split(), row.split()[:2]) == (["NAME", "SIZE"], ["one", "4"])
    assert "How large it is." in kubectl("explain", f"{names['plural']}.spec.size")
    kubectl("delete", "crd", crd)


def test_wait_and_rollout_status(kubectl, api):
    name = f"roll-{kubectl.name}"
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT % name)
    status = {
        "observedGeneration": 1,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "conditions": [{"type": "Available", "status": "True"}],
    }
    waiting = subprocess.Popen(
        [kubectl.program, f"--kubeconfig={api.kubeconfig}", "rollout", "status",
         f"deployment/{name}", "--timeout=30s"], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = json.loads(kubectl("get", "deploy", name, "-o", "json"))
    found["status"] = status
    path = f"/apis/apps/v1/namespaces/default/deployments/{name}/status"
    kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(found))
    output, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, output
    assert "successfully rolled out" in output
    kubectl("wait", "--for=condition=available", f"deploy/{name}", "--timeout=20s")


def test_auth_can_i(kubectl):
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert "*.*" in kubectl("auth", "can-i", "--list")


def test_logs(kubectl, pod):
    assert "line 4" in kubectl("logs", pod, "-c", "app")
    assert kubectl("logs", pod, "-c", "app", "--tail=2").split() == ["line", "3", "line", "4"]
    assert "2026-01-01T00:00:00" in kubectl("logs", pod, "-c", "app", "--timestamps")
    assert "followed" in kubectl("logs", pod, "-c", "app", "-f")
    assert "not found" in kubectl("logs", pod, "-c", "app", "--previous", ok=False)
    assert "is not valid for pod" in kubectl("logs", pod, "-c", "nothing", ok=False)


def test_exec_output_input_and_exit_code(kubectl, pod):
    assert kubectl("exec", pod, "-c", "app", "--", "echo", "hello").strip() == "hello"
    assert kubectl("exec", "-i", pod, "-c", "app", "--", "cat", stdin="a\nb\n") == "a\nb\n"
    large = "x" * 3_000_000
    counted = kubectl("exec", "-i", pod, "-c", "app", "--", "wc", "-c", stdin=large)
    assert counted.strip() == "3000000"
    command = ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' y"]
    assert kubectl("exec", pod, "-c", "app", "--", *command) == "y" * 3_000_000
    failed = subprocess.run(
        [kubectl.program, f"--kubeconfig={kubectl.config}", "exec", pod, "-c", "app",
         "--", "sh", "-c", "echo bad >&2; exit 7"], capture_output=True, text=True,
    )  # fmt: skip
    assert failed.returncode == 7
    assert "bad" in failed.stderr
    assert "not found" in kubectl("exec", pod, "-c", "app", "--", "no-such-thing", ok=False)


def test_attach_shows_what_comes(kubectl, pod):
    assert "attached\n" in kubectl("attach", pod, "-c", "app")


def test_attach_takes_input(kubectl, pod):
    large = "x" * 1_000_000
    shown = kubectl("attach", "-i", pod, "-c", "app", stdin=large)
    assert "attached\n" in shown
    assert large in shown


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello from the pod " + self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture(scope="module")
def port():
    server = HTTPServer(("127.0.0.1", 0), _Hello)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_port_forward(kubectl, pod, port):
    found = json.loads(kubectl("get", "pod", pod, "-o", "json"))
    found["status"] = {**found.get("status", {}), "phase": "Running"}
    path = f"/api/v1/namespaces/default/pods/{pod}/status"
    kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(found))
    command = [kubectl.program, f"--kubeconfig={kubectl.config}", "port-forward", f"pod/{pod}"]
    with subprocess.Popen(
        [*command, f":{port}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as forward:
        assert forward.stdout is not None
        line = forward.stdout.readline()
        assert "Forwarding from 127.0.0.1:" in line, line
        local = int(line.split("127.0.0.1:")[1].split()[0])
        try:
            for number in range(5):
                url = f"http://127.0.0.1:{local}/{number}"
                with urllib.request.urlopen(url, timeout=10) as answer:
                    assert answer.read() == b"hello from the pod /%d" % number
        finally:
            forward.terminate()


# ---- rights ----


def test_without_credentials_only_health_and_version_answer(api):
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert api.get(path)[0] == 200
    for path in ("/", "/api", "/apis", "/api/v1/pods", "/openapi/v2", "/metrics", "/nothing"):
        status, body = api.get(path)
        assert status == 401, path
        assert json.loads(body)["kind"] == "Status"
        assert json.loads(body)["reason"] == "Unauthorized"


def test_wrong_credentials_are_refused_even_where_none_are_needed(api):
    assert api.get("/version", token="wrong")[0] == 401
    assert api.get("/api/v1/pods", token="wrong")[0] == 401


def test_viewers_read_but_no_secrets_and_write_nothing(api):
    assert api.get("/api/v1/pods", token=api.viewer)[0] == 200
    assert api.get("/api/v1/namespaces/default/secrets", token=api.viewer)[0] == 403
    status, body = api.get(
        "/api/v1/namespaces/default/configmaps", api.viewer, "POST", {"metadata": {"name": "x"}}
    )
    assert status == 403
    assert 'User "ann" cannot create resource "configmaps"' in json.loads(body)["message"]
    path = "/api/v1/namespaces/default/pods/x/exec?command=id&stdout=1"
    assert api.get(path, token=api.viewer)[0] == 403


def test_an_authenticated_nobody_may_discover_and_ask_about_himself(api):
    assert api.get("/apis", token=api.nobody)[0] == 200
    assert api.get("/openapi/v3", token=api.nobody)[0] == 200
    assert api.get("/api/v1/pods", token=api.nobody)[0] == 403
    assert api.get("/metrics", token=api.nobody)[0] == 403
    review = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    status, body = api.get(path, api.nobody, "POST", review)
    assert (status, json.loads(body)["status"]["allowed"]) == (201, False)
    status, body = api.get(path, api.viewer, "POST", review)
    assert (status, json.loads(body)["status"]["allowed"]) == (201, True)


def test_a_client_certificate_of_another_authority_ends_the_handshake(api, tmp_path):
    from cloudwright.apiserver.tls import Pki

    other = Pki(tmp_path / "pki").client("mallory", "mallory", ["system:masters"])
    context = ssl.create_default_context(cafile=api.ca)
    context.load_cert_chain(other.certificate_file, other.key_file)
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        urllib.request.urlopen(f"{api.url}/api/v1/pods", context=context)


def test_a_body_over_the_limit_is_refused(api):
    host, _, port = api.url.removeprefix("https://").rpartition(":")
    context = ssl.create_default_context(cafile=api.ca)
    with (
        socket.create_connection((host, int(port))) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        head = (
            "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {api.viewer}\r\nContent-Length: {4 << 20}\r\n\r\n"
        )
        tls.sendall(head.encode())
        assert b" 413 " in tls.recv(4096).split(b"\r\n")[0]
