"""Bad input: bodies, content types, paths, methods."""

from __future__ import annotations

import json

from tests.peers.http import Client
from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.session import JSON, JSON_PATCH, MERGE, YAML, Session

PROTOBUF = "application/vnd.kubernetes.protobuf"


@scenario("face")
def bad_bodies(s: Session) -> None:
    path = s.path("configmaps")
    for step, body in {
        "empty": "",
        "open": '{"metadata":',
        "trailing": '{"metadata":{"name":"t"}} x',
        "trailing-object": '{"metadata":{"name":"t2"}}{}',
        "text": '"text"',
        "number": "5",
        "list": "[]",
        "null": "null",
        "true": "true",
        "not-json": "hello",
        "data-list": '{"metadata":{"name":"a"},"data":[1]}',
        "data-number": '{"metadata":{"name":"a"},"data":{"a":1}}',
        "metadata-text": '{"metadata":"x"}',
        "metadata-list": '{"metadata":[]}',
        "name-number": '{"metadata":{"name":5}}',
        "labels-list": '{"metadata":{"name":"a","labels":["x"]}}',
        "label-number": '{"metadata":{"name":"a","labels":{"x":1}}}',
        "label-bool": '{"metadata":{"name":"a","labels":{"x":true}}}',
        "null-label": '{"metadata":{"name":"null-label","labels":{"x":null}}}',
        "null-data": '{"metadata":{"name":"null-data"},"data":{"x":null}}',
        "nan": '{"metadata":{"name":"a"},"data":{"x":NaN}}',
        "bad-escape": '{"metadata":{"name":"a"},"data":{"x":"\\q"}}',
        "control": '{"metadata":{"name":"a"},"data":{"x":"a\nb"}}',
        "time": '{"metadata":{"name":"a","creationTimestamp":"yesterday"}}',
        "other-kind": '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}',
        "other-version": '{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"a"}}',
        "other-group": '{"apiVersion":"apps/v1","kind":"ConfigMap","metadata":{"name":"a"}}',
        "odd-version": '{"apiVersion":"a/b/c","kind":"ConfigMap","metadata":{"name":"a"}}',
        "only-kind": '{"kind":"ConfigMap","metadata":{"name":"only-kind"}}',
        "only-version": '{"apiVersion":"v1","metadata":{"name":"only-version"}}',
        "kind-number": '{"apiVersion":"v1","kind":5,"metadata":{"name":"a"}}',
        "binary": '{"metadata":{"name":"a"},"binaryData":{"x":"%%%"}}',
        "key": '{"metadata":{"name":"a"},"data":{"a b":"c"}}',
        "same-key": '{"metadata":{"name":"a"},"data":{"a":"c"},"binaryData":{"a":"AAAA"}}',
    }.items():
        s.send(step, "POST", path, body)
    s.send("utf-8", "POST", path, b'{"metadata":{"name":"utf8"},"data":{"x":"\xff\xfe"}}')
    s.send("bom", "POST", path, b'\xef\xbb\xbf{"metadata":{"name":"bom"}}')
    s.send("space", "POST", path, b' \n\t{"metadata":{"name":"space"}} \n')
    s.send("zero-byte", "POST", path, b'{"metadata":{"name":"zero"},"data":{"x":"\\u0000"}}')
    s.send("surrogate", "POST", path, b'{"metadata":{"name":"sur"},"data":{"x":"\\ud800"}}')


@scenario("face")
def bad_numbers(s: Session) -> None:
    """Numbers where their size or form matters."""
    path = s.path("services")
    for step, port in {
        "zero": "0", "negative": "-1", "large": "65536", "huge": "99999999999999999999",
        "fraction": "80.5", "exponent": "8e1", "whole-fraction": "80.0", "text": '"80"',
        "null": "null", "bool": "true",
    }.items():  # fmt: skip
        body = f'{{"metadata":{{"name":"n-{step}"}},"spec":{{"ports":[{{"port":{port}}}]}}}}'
        s.send(f"port-{step}", "POST", path, body)
    for step, target in {
        "text": '"web"', "number": "8080", "digits": '"8080"', "upper": '"WEB"', "long":
        '"a-name-that-is-too-long"', "fraction": "1.5", "object": "{}",
    }.items():  # fmt: skip
        body = (
            f'{{"metadata":{{"name":"t-{step}"}},'
            f'"spec":{{"ports":[{{"port":80,"targetPort":{target}}}]}}}}'
        )
        s.send(f"target-{step}", "POST", path, body)
    for step, cpu in {
        "whole": "1", "fraction": "0.5", "milli": '"250m"', "kilo": '"1k"', "binary": '"1Ki"',
        "exponent": '"1e3"', "capital": '"1E3"', "small": '"1n"', "smaller": '"0.1n"', "plus":
        '"+1"', "negative": '"-1"', "space": '" 1"', "unit": '"1Q"', "empty": '""', "dot": '"."',
        "zeros": '"0100m"', "long": '"0.123456789"', "big": '"100E"', "dec": '"1500m"',
        "mib": '"1024Mi"', "mega": '"1000M"', "exp-neg": '"1e-3"',
    }.items():  # fmt: skip
        body = (
            f'{{"metadata":{{"name":"q-{step}"}},"spec":{{"containers":[{{"name":"c","image":"i",'
            f'"resources":{{"requests":{{"cpu":{cpu}}}}}}}]}}}}'
        )
        s.send(
            f"cpu-{step}", "POST", s.path("pods") + "?dryRun=All", body,
            only=lambda b: b.get("message") or b["spec"]["containers"][0]["resources"],
        )  # fmt: skip


@scenario("face")
def content_types(s: Session) -> None:
    path = s.path("configmaps")
    for number, kind in enumerate(
        (
            "application/json", "application/json; charset=utf-8", "text/json", "text/plain",
            "application/yaml", "application/x-yaml", "text/yaml", "APPLICATION/JSON",
            "application/xml", "application/json,application/yaml", "nonsense", "*/*",
            "application/json;q", "application/merge-patch+json", "application/cbor", PROTOBUF,
        )
    ):  # fmt: skip
        body = json.dumps({"metadata": {"name": f"kind-{number}"}})
        s.send(f"{number} {kind}", "POST", path, body, kind=kind)
    s.send("none", "POST", path, b'{"metadata":{"name":"kind-none"}}', headers={"Content-Type": ""})
    s.send("yaml", "POST", path, "metadata:\n  name: yaml\ndata:\n  a: b\n", kind=YAML)
    s.send("yaml-bad", "POST", path, "metadata:\n name: [\n", kind=YAML)
    s.send("yaml-number", "POST", path, "metadata:\n  name: y\ndata:\n  a: 1\n", kind=YAML)
    s.send(
        "yaml-two", "POST", path, "metadata:\n  name: y2\n---\nmetadata:\n  name: y3\n", kind=YAML
    )
    s.send("yaml-anchor", "POST", path, "metadata: &m\n  name: anchored\ndata: {}\n", kind=YAML)
    s.send("yaml-tab", "POST", path, "metadata:\n\tname: y\n", kind=YAML)
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
    for before, name in zip("bcdefg", "cdefgh", strict=True):
        bomb += f"{name}: &{name} [*{before},*{before},*{before},*{before},*{before},*{before}]\n"
    s.send("yaml-bomb", "POST", path, bomb, kind=YAML, only=lambda b: b.get("reason"))
    s.send("protobuf-short", "POST", path, b"k8s", kind=PROTOBUF)
    s.send("protobuf-magic", "POST", path, b"k8s\x00", kind=PROTOBUF)
    s.send("protobuf-noise", "POST", path, b"k8s\x00\xff\xff\xff\xff", kind=PROTOBUF)
    s.send("protobuf-other", "POST", path, b"\x0a\x02v1", kind=PROTOBUF)


@scenario("face")
def big_bodies(s: Session) -> None:
    path = s.path("configmaps")

    def big(name: str, size: int) -> dict[str, object]:
        return {"metadata": {"name": name}, "data": {"a": "x" * size}}

    def short(body: object) -> object:
        return body.get("message") if isinstance(body, dict) else str(body)[:100]

    s.send("one-mega", "POST", path, big("mega", 1 << 20), only=short)
    s.send("more", "POST", path, big("more", (1 << 20) + 1), only=short)
    s.send("near", "POST", path, big("near", 3_000_000), only=short)
    s.note("ten", refused(s, "POST", path, big("ten", 10_000_000)))
    s.note("patch", refused(s, "PATCH", f"{path}/none", {"data": {"a": "x" * 4_000_000}}, MERGE))
    for depth in (10, 100, 1000, 9_000, 100_000):
        deep = (
            f'{{"metadata":{{"name":"deep-{depth}"}},"x":'
            + '{"x":' * depth
            + "1"
            + "}" * depth
            + "}"
        )
        s.send(f"deep-{depth}", "POST", path, deep, only=short)
        s.send(f"deep-list-{depth}", "POST", path,
               f'{{"metadata":{{"name":"list-{depth}"}},"x":' + "[" * depth + "]" * depth + "}",
               only=short)  # fmt: skip
    operations = [{"op": "add", "path": "/data", "value": {}}] * 10_001
    s.ask("POST", path, {"metadata": {"name": "many"}})
    s.send("operations", "PATCH", f"{path}/many", operations, kind=JSON_PATCH, only=short)
    keys = {"metadata": {"name": "keys"}, "data": {f"k{n}": "v" for n in range(20_000)}}
    s.send("keys", "POST", path, keys, only=lambda b: len(b.get("data", b)))
    s.send("long-url", "GET", f"{path}?labelSelector={'a' * 9_000}", only=short)


def refused(s: Session, method: str, path: str, body: object, kind: str = JSON) -> object:
    """How an over-long body ended: by 413, or by a cut connection, as a server may do as well."""
    with Client(s.cluster) as client:
        try:
            status = client.send(method, path, body, {"Content-Type": kind}).status
        except OSError:
            status = 413
    return status


@scenario("face")
def paths(s: Session) -> None:
    for step, method, path in (
        ("unknown-group", "GET", "/apis/nothing.example.com/v1/things"),
        ("unknown-kind", "GET", s.path("things")),
        ("unknown-version", "GET", "/api/v9/pods"),
        ("unknown-sub", "GET", s.path("configmaps", "a/log")),
        ("too-deep", "GET", s.path("pods", "a/b/c/d/e")),
        ("cluster-in-namespace", "GET", s.path("nodes")),
        ("namespaced-at-cluster", "GET", "/api/v1/configmaps/a"),
        ("namespaced-all", "POST", "/api/v1/configmaps"),
        ("double-slash", "GET", f"/api/v1//namespaces/{s.ns}/configmaps"),
        ("trailing-slash", "GET", f"{s.path('configmaps')}/"),
        ("dot-dot", "GET", f"/api/v1/namespaces/../namespaces/{s.ns}"),
        ("escaped-slash", "GET", s.path("configmaps", "a%2Fb")),
        ("escaped", "GET", s.path("configmaps", "%61")),
        ("bad-escape", "GET", s.path("configmaps", "%zz")),
        ("upper", "GET", s.path("ConfigMaps")),
        ("nowhere", "GET", "/nowhere"),
        ("api-post", "POST", "/api"),
        ("version-post", "POST", "/version"),
        ("delete-version", "DELETE", "/version"),
        ("put-list", "PUT", s.path("configmaps")),
        ("patch-list", "PATCH", s.path("configmaps")),
        ("post-name", "POST", s.path("configmaps", "a")),
        ("options", "OPTIONS", s.path("configmaps")),
        ("head", "HEAD", s.path("configmaps")),
        ("trace", "TRACE", s.path("configmaps")),
        ("odd-method", "FROB", s.path("configmaps")),
        ("status-of-configmap", "PUT", s.path("configmaps", "a/status")),
        ("scale-of-pod", "GET", s.path("pods", "a/scale")),
        ("healthz", "GET", "/healthz"),
        ("livez", "GET", "/livez"),
        ("readyz", "GET", "/readyz"),
        ("ready-one", "GET", "/readyz/ping"),
        ("ready-none", "GET", "/readyz/nonsense"),
        ("excluded", "GET", "/livez?exclude=etcd"),
    ):
        s.send(step, method, path)
    s.send("empty-name", "GET", f"{s.path('configmaps')}//")
    s.send("body-on-get", "GET", s.path("configmaps"), {"a": "b"})
