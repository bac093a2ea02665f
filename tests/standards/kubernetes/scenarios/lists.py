"""Lists: selectors, paging, versions, Table and metadata only."""

from __future__ import annotations

from urllib.parse import quote

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.session import Session

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def fill(s: Session, count: int = 7) -> None:
    for index in range(count):
        labels = {"parity": "even" if index % 2 == 0 else "odd", "n": str(index)}
        if index == 3:
            labels["special"] = "yes"
        body = {"metadata": {"name": f"item-{index}", "labels": labels}, "data": {"i": str(index)}}
        s.ask("POST", s.path("configmaps"), body)


def names(body: object) -> object:
    """A list by its items' names, or a failure whole."""
    if not isinstance(body, dict) or "items" not in body:
        return body
    return {**body, "items": [item["metadata"]["name"] for item in body["items"]]}


@scenario("face")
def selectors(s: Session) -> None:
    fill(s)
    path = s.path("configmaps")
    for selector in (
        "parity=even", "parity==odd", "parity!=odd", "special", "!special", "n in (1,2,9)",
        "n notin (1,2)", "parity=even,n!=0", "n>3", "n<2", "parity in ()", "=x", "a=b=c", "n>x",
        "parity=even,", "-bad=x", "a in (b", "  parity = even ", "parity=", "x=",
    ):  # fmt: skip
        url = f"{path}?labelSelector={quote(selector)}"
        s.send(f"label {selector}", "GET", url, only=names)
    for selector in (
        "metadata.name=item-1", "metadata.name!=item-1", f"metadata.namespace={s.ns}",
        "data.i=1", "nonsense", "metadata.name=item-1,metadata.name=item-2", "metadata.uid=x",
        "a>b",
    ):  # fmt: skip
        url = f"{path}?fieldSelector={quote(selector)}"
        s.send(f"field {selector}", "GET", url, only=names)
    pods = s.path("pods")
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    s.ask("POST", pods, body)
    for selector in (
        "status.phase=Pending", "status.phase!=Pending", "spec.nodeName=", "spec.nodeName=x",
        "spec.restartPolicy=Always", "status.podIP=", "spec.schedulerName=default-scheduler",
        "spec.serviceAccountName=default", "spec.hostNetwork=false", "spec.image=x",
        "status.nominatedNodeName=",
    ):  # fmt: skip
        url = f"{pods}?fieldSelector={quote(selector)}"
        s.send(f"pod {selector}", "GET", url, only=names)
    for plural, selector in (
        ("secrets", "type=Opaque"), ("events", "involvedObject.kind=Pod"), ("events", "reason=x"),
        ("events", "type=Normal"), ("services", "spec.type=ClusterIP"), ("services", "spec.x=y"),
        ("services", "spec.clusterIP=None"), ("replicationcontrollers", "status.replicas=0"),
    ):  # fmt: skip
        url = f"{s.path(plural)}?fieldSelector={quote(selector)}"
        s.send(f"{plural} {selector}", "GET", url, only=names)
    url = "/api/v1/namespaces?fieldSelector=status.phase%3DActive&limit=1"
    s.send("namespaces", "GET", url, only=lambda b: len(b.get("items", ())))
    s.send("nodes", "GET", "/api/v1/nodes?fieldSelector=spec.unschedulable%3Dtrue", only=names)
    url = f"{s.path('jobs', group='batch/v1')}?fieldSelector=status.successful%3D0"
    s.send("jobs", "GET", url, only=names)


@scenario("store")
def paging(s: Session) -> None:
    fill(s)
    path = s.path("configmaps")
    first = s.send("first", "GET", f"{path}?limit=3", only=names).json
    token = quote(first["metadata"]["continue"])
    s.ask("DELETE", f"{path}/item-4")
    s.ask("POST", path, {"metadata": {"name": "item-41"}})
    second = s.send("second", "GET", f"{path}?limit=3&continue={token}", only=names).json
    token2 = quote(second["metadata"]["continue"])
    s.send("third", "GET", f"{path}?limit=3&continue={token2}", only=names)
    s.note(
        "snapshot", first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    )
    s.send("rest", "GET", f"{path}?continue={token2}", only=names)
    version = first["metadata"]["resourceVersion"]
    s.send("with-version", "GET", f"{path}?continue={token2}&resourceVersion={version}", only=names)
    s.send("with-zero", "GET", f"{path}?limit=3&continue={token2}&resourceVersion=0", only=names)
    s.send("bad-token", "GET", f"{path}?limit=3&continue=nonsense", only=names)
    s.send("selected", "GET", f"{path}?limit=2&labelSelector=parity=even", only=names)
    s.send("negative", "GET", f"{path}?limit=-1", only=names)
    s.send("text", "GET", f"{path}?limit=abc", only=names)
    s.send("zero", "GET", f"{path}?limit=0", only=names)
    s.send("exact", "GET", f"{path}?limit=7", only=names)
    other = f"{s.path('secrets')}?limit=3&continue={token2}"
    s.send("other-kind", "GET", other, only=names)


@scenario("store")
def versions(s: Session) -> None:
    fill(s, 3)
    path = s.path("configmaps")
    now = s.ask("GET", path).json["metadata"]["resourceVersion"]
    s.ask("DELETE", f"{path}/item-0")
    for _ in range(1000):  # a cache may answer such lists, and be behind for a moment
        cached = s.ask("GET", f"{path}?resourceVersion=0").json["items"]
        if all(item["metadata"]["name"] != "item-0" for item in cached):
            break
    for name, query in {
        "zero": "resourceVersion=0",
        "exact": f"resourceVersion={now}&resourceVersionMatch=Exact",
        "newer": f"resourceVersion={now}&resourceVersionMatch=NotOlderThan",
        "plain": f"resourceVersion={now}",
        "match-only": "resourceVersionMatch=Exact",
        "match-zero": "resourceVersion=0&resourceVersionMatch=Exact",
        "match-wrong": f"resourceVersion={now}&resourceVersionMatch=Roughly",
        "text": "resourceVersion=abc",
        "negative": "resourceVersion=-1",
        "limit-exact": f"resourceVersion={now}&resourceVersionMatch=Exact&limit=2",
        "initial": "sendInitialEvents=true",
        "timeout": "timeoutSeconds=1",
    }.items():
        s.send(name, "GET", f"{path}?{query}", only=names)
    s.send("get-zero", "GET", f"{path}/item-1?resourceVersion=0")
    s.send("get-now", "GET", f"{path}/item-1?resourceVersion={now}")
    s.send("get-text", "GET", f"{path}/item-1?resourceVersion=abc")
    s.send("future", "GET", f"{path}?resourceVersion={int(now) + 1000000}", only=names)


@scenario("kinds")
def tables(s: Session) -> None:
    fill(s, 2)
    pod = {
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"},
    }
    s.ask("POST", s.path("pods"), pod)
    bodies = {
        "services": ("", {"spec": {"ports": [{"port": 80, "name": "http"}]}}),
        "secrets": ("", {"stringData": {"a": "b"}}),
        "persistentvolumeclaims": (
            "",
            {
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                }
            },
        ),
        "leases": ("coordination.k8s.io/v1", {"spec": {"holderIdentity": "me"}}),
        "networkpolicies": ("networking.k8s.io/v1", {"spec": {"podSelector": {}}}),
        "poddisruptionbudgets": ("policy/v1", {"spec": {"minAvailable": 1}}),
        "roles": ("rbac.authorization.k8s.io/v1", {"rules": []}),
    }
    for plural, (group, body) in bodies.items():
        s.ask("POST", s.path(plural, group=group), {"metadata": {"name": "t"}, **body})
    apps = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod["spec"]},
    }
    for plural in ("deployments", "replicasets", "daemonsets", "statefulsets"):
        body = {"metadata": {"name": "t"}, "spec": apps}
        s.ask("POST", s.path(plural, group="apps/v1"), body)
    accept = {"Accept": f"{TABLE},application/json"}
    for plural in ("configmaps", "pods", "serviceaccounts", *bodies):
        path = s.path(plural, group=bodies.get(plural, ("",))[0])
        s.send(plural, "GET", path, headers=accept)
    for plural in ("deployments", "replicasets", "daemonsets", "statefulsets"):
        s.send(plural, "GET", s.path(plural, group="apps/v1"), headers=accept)
    one = s.path("configmaps", "item-0")
    s.send("single", "GET", one, headers=accept)
    s.send("whole", "GET", f"{one}?includeObject=Object", headers=accept)
    s.send("none", "GET", f"{one}?includeObject=None", headers=accept)
    s.send("bad-include", "GET", f"{one}?includeObject=Some", headers=accept)
    s.send("missing", "GET", s.path("configmaps", "none"), headers=accept)
    s.send("empty", "GET", s.path("endpoints"), headers=accept)
    s.send("partial", "GET", one, headers={"Accept": PARTIAL})
    s.send("partial-list", "GET", s.path("configmaps"), headers={"Accept": PARTIAL_LIST})
    s.send("partial-of-list", "GET", s.path("configmaps"), headers={"Accept": PARTIAL})
    s.send("wrong-as", "GET", one, headers={"Accept": "application/json;as=Chair;v=v1;g=x"})
    s.send("deleted", "DELETE", one, headers=accept)


@scenario("face")
def accepts(s: Session) -> None:
    fill(s, 1)
    one = s.path("configmaps", "item-0")
    for accept in (
        "*/*", "application/*", "text/html", "application/yaml", "application/json;q=0.5", "",
        "application/json;pretty=1", "text/plain, application/json", "application/cbor",
        "application/json;stream=watch", "application/xml,*/*;q=0.1", "nonsense",
    ):  # fmt: skip
        s.send(f"accept {accept}", "GET", one, headers={"Accept": accept})
    s.send("pretty", "GET", f"{one}?pretty=true")
    only = {"Accept": "application/vnd.kubernetes.protobuf"}
    s.send("protobuf", "GET", one, headers=only, only=is_protobuf)
    s.send("protobuf-missing", "GET", f"{one}x", headers=only, only=is_protobuf)


def is_protobuf(body: object) -> object:
    """Whether a body begins as Kubernetes' protobuf; other bodies whole."""
    return True if isinstance(body, str) and body.startswith("k8s\0") else body
