"""CustomResourceDefinitions with kubectl: rules, versions, the Gateway API."""

from __future__ import annotations

import base64
import datetime
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloudwright.model import gateway
from tests import foreign

pytestmark = pytest.mark.foreign
ROOT = Path(__file__).parents[2]

CERTIFICATES = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: certificates.cert.example.org}
spec:
  group: cert.example.org
  scope: Namespaced
  names: {plural: certificates, kind: Certificate, shortNames: [crt], categories: [all-certs]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Secret, type: string, jsonPath: .spec.secretName}
    selectableFields: [{jsonPath: .spec.secretName}]
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [secretName, issuerRef]
            x-kubernetes-validations:
            - rule: "has(self.dnsNames) || has(self.commonName)"
              message: "dnsNames or commonName must be given"
            - rule: "!has(self.renewBefore) || self.renewBefore < self.duration"
              messageExpression: >-
                'renewBefore must be less than ' +
                (self.duration == duration('86400s') ? '86400s' : 'duration')
              fieldPath: .renewBefore
            properties:
              secretName: {type: string, maxLength: 253}
              commonName: {type: string, maxLength: 64}
              dnsNames:
                type: array
                maxItems: 10
                x-kubernetes-list-type: set
                items: {type: string, maxLength: 253}
              duration: {type: string, format: duration, default: 2160h}
              renewBefore: {type: string, format: duration}
              issuerRef:
                type: object
                required: [name]
                x-kubernetes-validations:
                - {rule: "self.name == oldSelf.name", message: "issuerRef.name is immutable"}
                properties:
                  name: {type: string}
                  kind: {type: string, enum: [Issuer, ClusterIssuer], default: Issuer}
          status:
            type: object
            properties:
              conditions:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items:
                  type: object
                  required: [type, status]
                  properties: {type: {type: string}, status: {type: string}}
"""


def certificate(name: str, **spec: Any) -> str:
    head = {"apiVersion": "cert.example.org/v1", "kind": "Certificate"}
    full = {"secretName": "tls", "issuerRef": {"name": "ca"}} | spec
    return json.dumps(head | {"metadata": {"name": name}, "spec": full})


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    state = tmp_path_factory.mktemp("api")
    command = [foreign.python(), "-m", "tests.integration.served_api", str(state)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline()
        assert line, "the server did not start"
        yield json.loads(line)
        process.stdin.close()
        assert process.wait(20) == 0


class Kubectl:
    def __init__(self, program: str, config: str, cache: Path) -> None:
        self._head = [program, f"--kubeconfig={config}", f"--cache-dir={cache}"]

    def __call__(self, *arguments: str, stdin: str | None = None, ok: bool = True) -> str:
        command = [*self._head, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
        assert (done.returncode == 0) is ok, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def kubectl(api: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    found = foreign.kubectl_on_path() or foreign.kubectl_debian()
    if found is None:
        pytest.skip("no kubectl on this machine, and none can be fetched")
    return Kubectl(found, api["kubeconfig"], tmp_path_factory.mktemp("kubectl"))


@pytest.fixture(scope="module")
def certificates(kubectl: Kubectl) -> Kubectl:
    kubectl("apply", "-f", "-", stdin=CERTIFICATES)
    kubectl("wait", "--for=condition=Established", "crd/certificates.cert.example.org")
    return kubectl


def test_rules_and_defaults(certificates: Kubectl) -> None:
    out = certificates("apply", "-f", "-", stdin=certificate("none"), ok=False)
    assert "spec: Invalid value: dnsNames or commonName must be given" in out
    late = certificate("late", commonName="x", duration="24h", renewBefore="48h")
    out = certificates("apply", "-f", "-", stdin=late, ok=False)
    assert "spec.renewBefore: Invalid value: renewBefore must be less than 86400s" in out
    twice = certificate("twice", dnsNames=["a", "a"])
    out = certificates("apply", "-f", "-", stdin=twice, ok=False)
    assert 'spec.dnsNames[1]: Duplicate value: "a"' in out
    certificates("apply", "-f", "-", stdin=certificate("good", dnsNames=["a.example.org"]))
    made = json.loads(certificates("get", "crt", "good", "-o", "json"))
    assert made["spec"]["duration"] == "2160h"
    assert made["spec"]["issuerRef"]["kind"] == "Issuer"
    other = certificate("good", dnsNames=["a.example.org"], issuerRef={"name": "other"})
    out = certificates("apply", "-f", "-", stdin=other, ok=False)
    assert "issuerRef.name is immutable" in out


def test_columns_selection_and_explain(certificates: Kubectl) -> None:
    certificates("apply", "-f", "-", stdin=certificate("a", commonName="a", secretName="one"))
    certificates("apply", "-f", "-", stdin=certificate("b", commonName="b", secretName="two"))
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    text = json.dumps(status)
    certificates("patch", "crt", "a", "--subresource=status", "--type=merge", "-p", text)
    rows = {line.split()[0]: line.split()[1:] for line in certificates("get", "crt").splitlines()}
    assert rows["NAME"][:2] == ["READY", "SECRET"]
    assert rows["a"] == ["True", "one"]
    found = certificates("get", "crt", "--field-selector=spec.secretName=two", "-o", "name")
    assert found.split() == ["certificate.cert.example.org/b"]
    assert "issuerRef" in certificates("explain", "certificate.spec")
    assert "certificates" in certificates("api-resources", "--categories=all-certs", "-o", "name")


def test_the_gateway_api(kubectl: Kubectl) -> None:
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": gateway.definitions()})
    kubectl("apply", "--server-side", "-f", "-", stdin=body)
    names = [f"crd/{one['metadata']['name']}" for one in gateway.definitions()]
    kubectl("wait", "--for=condition=Established", *names)
    route = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: edge}]
  hostnames: [shop.example.org]
  rules:
  - matches: [{path: {type: %s, value: "%s"}}]
    backendRefs: [{name: shop, port: 8080}]
"""
    kubectl("apply", "-f", "-", stdin=route % ("PathPrefix", "/cart"))
    assert kubectl("get", "httproutes", "shop").splitlines()[0].split()[:2] == ["NAME", "HOSTNAMES"]
    out = kubectl("apply", "-f", "-", stdin=route % ("PathPrefix", "/a//b"), ok=False)
    assert "must not contain '//' when type one of ['Exact', 'PathPrefix']" in out
    out = kubectl("apply", "-f", "-", stdin=route % ("Regex", "/a"), ok=False)
    assert 'Unsupported value: "Regex"' in out


def issue() -> tuple[bytes, bytes]:
    """A self-signed certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return made.public_bytes(kind), key.private_bytes(kind, form, plain)


class Converter(BaseHTTPRequestHandler):
    """Turns ``spec.host`` + ``spec.port`` into ``spec.address`` and back."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
        found = [self.convert(one, request["desiredAPIVersion"]) for one in request["objects"]]
        answer = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": found}
        review = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview"}
        body = json.dumps(review | {"response": answer}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def convert(obj: dict[str, Any], wanted: str) -> dict[str, Any]:
        spec = obj["spec"]
        if wanted.endswith("/v2"):
            host, _, port = spec["address"].partition(":")
            spec = {"host": host, "port": int(port)}
        else:
            spec = {"address": f"{spec['host']}:{spec['port']}"}
        return obj | {"apiVersion": wanted, "spec": spec}

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def converter(tmp_path: Path) -> Iterator[dict[str, str]]:
    certificate, key = issue()
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Converter)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"https://localhost:{server.server_address[1]}/convert"
    yield {"url": url, "caBundle": base64.b64encode(certificate).decode()}
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_webhook_converts_over_https(kubectl: Kubectl, converter: dict[str, str]) -> None:
    def version(name: str, stored: bool, **properties: Any) -> dict[str, Any]:
        spec = {"type": "object", "properties": properties}
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
        return {"name": name, "served": True, "storage": stored, "schema": schema}

    text, whole = {"type": "string"}, {"type": "integer"}
    versions = [version("v1", True, address=text), version("v2", False, host=text, port=whole)]
    hook = {"conversionReviewVersions": ["v1"], "clientConfig": converter}
    spec = {"group": "hosts.example.org", "scope": "Namespaced", "versions": versions}
    spec |= {"names": {"plural": "peers", "kind": "Peer"}}
    spec |= {"conversion": {"strategy": "Webhook", "webhook": hook}}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    crd |= {"metadata": {"name": "peers.hosts.example.org"}, "spec": spec}
    kubectl("apply", "-f", "-", stdin=json.dumps(crd))
    kubectl("wait", "--for=condition=Established", "crd/peers.hosts.example.org")
    for number in range(3):
        peer = {"apiVersion": "hosts.example.org/v2", "kind": "Peer"}
        peer |= {"metadata": {"name": f"p{number}"}, "spec": {"host": "h", "port": number}}
        kubectl("apply", "-f", "-", stdin=json.dumps(peer))
    path = "/apis/hosts.example.org/{}/namespaces/default/peers"
    first = json.loads(kubectl("get", "--raw", path.format("v1")))
    assert [one["spec"]["address"] for one in first["items"]] == ["h:0", "h:1", "h:2"]
    second = json.loads(kubectl("get", "--raw", path.format("v2")))
    assert [one["spec"]["port"] for one in second["items"]] == [0, 1, 2]
    kubectl(
        "patch", "peers.v2.hosts.example.org", "p1", "--type=merge", "-p", '{"spec":{"port":9}}'
    )
    changed = json.loads(kubectl("get", "peers.v1.hosts.example.org", "p1", "-o", "json"))
    assert changed["spec"] == {"address": "h:9"}
    kubectl("delete", "crd", "peers.hosts.example.org")
    assert "not found" in kubectl("get", "crd", "peers.hosts.example.org", ok=False)
