"""Deletion: finalizers, grace, orphans, collections, namespaces."""

from __future__ import annotations

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.session import MERGE, Session


@scenario("ssa")
def delete_finalizers(s: Session) -> None:
    path = s.path("configmaps")
    held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}, "data": {"a": "1"}}
    s.ask("POST", path, held)
    s.send("delete", "DELETE", f"{path}/held")
    s.send("still", "GET", f"{path}/held")
    s.send("again", "DELETE", f"{path}/held")
    s.send("create-meanwhile", "POST", path, held)
    s.send("change", "PATCH", f"{path}/held", {"data": {"b": "2"}}, kind=MERGE)
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    s.send("add-finalizer", "PATCH", f"{path}/held", more, kind=MERGE)
    undelete = {"metadata": {"deletionTimestamp": None}}
    s.send("undelete", "PATCH", f"{path}/held", undelete, kind=MERGE)
    s.send("release", "PATCH", f"{path}/held", {"metadata": {"finalizers": None}}, kind=MERGE)
    s.send("gone", "GET", f"{path}/held")
    for policy in ("Orphan", "Foreground", "Background"):
        name = policy.lower()
        s.ask("POST", path, {"metadata": {"name": name}})
        s.send(policy, "DELETE", f"{path}/{name}", {"propagationPolicy": policy})
        s.send(f"{policy}-get", "GET", f"{path}/{name}")
    s.ask("POST", path, {"metadata": {"name": "old-orphan"}})
    s.send("old-orphan", "DELETE", f"{path}/old-orphan", {"orphanDependents": True})
    s.ask("POST", path, {"metadata": {"name": "query"}})
    s.send("query", "DELETE", f"{path}/query?propagationPolicy=Foreground&gracePeriodSeconds=0")
    s.ask("POST", path, {"metadata": {"name": "bad-body"}})
    s.send("bad-body", "DELETE", f"{path}/bad-body", "{nope")
    s.send("bad-query", "DELETE", f"{path}/bad-body?gracePeriodSeconds=x")


@scenario("kinds")
def delete_pods(s: Session) -> None:
    path = s.path("pods")
    spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 7}
    for name, more in {"free": {}, "bound": {"nodeName": "n"}, "now": {"nodeName": "n"}}.items():
        s.ask("POST", path, {"metadata": {"name": name}, "spec": {**spec, **more}})
    s.send("unscheduled", "DELETE", f"{path}/free")
    s.send("unscheduled-get", "GET", f"{path}/free")
    s.send("bound", "DELETE", f"{path}/bound")
    s.send("bound-get", "GET", f"{path}/bound")
    s.send("longer", "DELETE", f"{path}/bound", {"gracePeriodSeconds": 60})
    s.send("shorter", "DELETE", f"{path}/bound", {"gracePeriodSeconds": 2})
    s.send("forced", "DELETE", f"{path}/now", {"gracePeriodSeconds": 0})
    s.send("forced-get", "GET", f"{path}/now")


@scenario("face")
def delete_collection(s: Session) -> None:
    path = s.path("secrets")
    for index in range(4):
        labels = {"half": str(index % 2)}
        s.ask("POST", path, {"metadata": {"name": f"c-{index}", "labels": labels}})
    s.send("half", "DELETE", f"{path}?labelSelector=half%3D0")
    s.send("left", "GET", path)
    s.send("field", "DELETE", f"{path}?fieldSelector=metadata.name%3Dc-1")
    s.send("bad", "DELETE", f"{path}?labelSelector=a%3Db%3Dc")
    s.send("none", "DELETE", f"{path}?labelSelector=never%3Dhere")
    s.send("all", "DELETE", path)
    s.send("empty", "GET", path)
    s.send("everywhere", "DELETE", "/api/v1/secrets")
    s.send("namespaces", "DELETE", "/api/v1/namespaces?labelSelector=never%3Dhere")


@scenario("store")
def namespaces(s: Session) -> None:
    body = {"metadata": {"name": "d-ns-life"}}
    s.send("create", "POST", "/api/v1/namespaces", body)
    s.send("again", "POST", "/api/v1/namespaces", body)
    s.send("bad", "POST", "/api/v1/namespaces", {"metadata": {"name": "Bad.Name"}})
    s.send("generate", "POST", "/api/v1/namespaces", {"metadata": {"generateName": "d-gen-"}})
    label = {"metadata": {"labels": {"kubernetes.io/metadata.name": "other"}}}
    s.send("own-label", "PATCH", "/api/v1/namespaces/d-ns-life", label, kind=MERGE)
    finalize = {"metadata": {"name": "d-ns-life"}, "spec": {"finalizers": []}}
    s.send("finalize", "PUT", "/api/v1/namespaces/d-ns-life/finalize", finalize)
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        s.send(name, "GET", f"/api/v1/namespaces/{name}")
    s.send("delete-default", "DELETE", "/api/v1/namespaces/default")
    s.send("delete-system", "DELETE", "/api/v1/namespaces/kube-system")
