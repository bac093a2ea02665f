"""Server-side apply: ownership, conflicts, forced and lost fields, subresources."""

from __future__ import annotations

import json
from typing import Any

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.scenarios.patches import APPS, DEPLOYMENT
from tests.standards.kubernetes.session import APPLY, MERGE, STRATEGIC, Session


def apply(s: Session, step: str, path: str, body: Any, manager: str = "one", more: str = "") -> Any:
    """One apply; a dictionary is sent as JSON, which is YAML too."""
    text = body if isinstance(body, str) else json.dumps(body)
    query = f"?fieldManager={manager}" if manager else "?"
    return s.send(step, "PATCH", f"{path}{query}{more}", text, kind=APPLY).json


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


@scenario("ssa")
def apply_config(s: Session) -> None:
    path = s.path("configmaps", "one")
    apply(s, "create", path, config(a="1", b="2"))
    apply(s, "same", path, config(a="1", b="2"))
    apply(s, "change", path, config(a="2", b="2"))
    apply(s, "drop", path, config(a="2"))
    apply(s, "conflict", path, config(a="3"), "two")
    apply(s, "share", path, config(a="2"), "two")
    apply(s, "share-dropped", path, config(), "one")
    apply(s, "conflict-again", path, config(a="9"), "one")
    apply(s, "force", path, config(a="9", c="1"), "one", "&force=true")
    s.send("merge", "PATCH", f"{path}?fieldManager=three", {"data": {"a": "8"}}, kind=MERGE)
    apply(s, "conflict-update", path, config(a="9"), "one")
    apply(s, "no-manager", path, config(a="9"), "")
    apply(s, "dry-run", path, config(a="9"), "one", "&force=true&dryRun=All")
    s.send("get", "GET", path)


@scenario("ssa")
def apply_bad(s: Session) -> None:
    path = s.path("configmaps", "one")
    apply(s, "no-kind", path, {"metadata": {"name": "one"}})
    apply(s, "wrong-kind", path, {**config(), "kind": "Secret"})
    apply(s, "wrong-version", path, {**config(), "apiVersion": "v2"})
    apply(s, "other-name", path, {**config(), "metadata": {"name": "two"}})
    apply(s, "no-name", path, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}})
    apply(s, "managed", path, {**config(), "metadata": {"name": "one", "managedFields": [{}]}})
    apply(s, "unknown", path, {**config(), "dat": 1})
    apply(s, "unknown-ignored", path, {**config(), "dat": 1}, more="&fieldValidation=Ignore")
    apply(s, "bad-type", path, {**config(), "data": {"a": 5}})
    apply(s, "not-yaml", path, "{a: [")
    apply(s, "list", path, "[1]")
    for word in (
        "y",
        "no",
        "On",
        "~",
        "0x1F",
        "1_000",
        "2020-01-01",
        "1e3",
        "012",
        ".5",
        "=",
        "<<",
    ):
        text = f"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: {word}\n"
        apply(s, f"word {word}", path, text, "words", "&force=true&dryRun=All")
    apply(s, "twice", path, "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: '1'\n  a: '2'\n")
    apply(s, "uid", path, {**config(), "metadata": {"name": "one", "uid": "wrong"}})
    apply(s, "version", path, {**config(), "metadata": {"name": "one", "resourceVersion": "1"}})


@scenario("ssa")
def apply_deployment(s: Session) -> None:
    path = s.path("deployments", "web", group=APPS)
    whole: dict[str, Any] = {"apiVersion": APPS, "kind": "Deployment", **DEPLOYMENT}
    apply(s, "create", path, whole)

    def pod(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "apiVersion": APPS,
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {"template": {"spec": {"containers": list(containers), **more}}},
        }

    apply(s, "image-conflict", path, pod({"name": "web", "image": "web:2"}), "two")
    apply(s, "image-force", path, pod({"name": "web", "image": "web:2"}), "two", "&force=true")
    apply(s, "env", path, pod({"name": "web", "env": [{"name": "Z", "value": "9"}]}), "three")
    apply(s, "third", path, pod({"name": "third", "image": "t:1"}), "three")
    apply(s, "third-gone", path, pod(), "three")
    apply(s, "volume", path, pod(volumes=[{"name": "w", "emptyDir": {}}]), "four")
    apply(s, "no-key", path, pod({"image": "nameless"}), "five")
    same = [{"name": "web"}, {"name": "web"}]
    apply(s, "same-key", path, pod(*same), "five")
    replicas = {"apiVersion": APPS, "kind": "Deployment", "metadata": {"name": "web"}}
    apply(s, "replicas", path, {**replicas, "spec": {"replicas": 4}}, "hpa")
    apply(s, "replicas-force", path, {**replicas, "spec": {"replicas": 4}}, "hpa", "&force=true")
    scale = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "web"},
        "spec": {"replicas": 5},
    }
    apply(s, "scale", f"{path}/scale", scale, "scaler", "&force=true")
    s.send("scale-merge", "PATCH", f"{path}/scale", {"spec": {"replicas": 6}}, kind=MERGE)
    s.send("scale-put", "PUT", f"{path}/scale", {**scale, "spec": {"replicas": 7}})
    s.send("scale-negative", "PUT", f"{path}/scale", {**scale, "spec": {"replicas": -7}})
    s.send("after-scale", "GET", path)
    status = {**replicas, "status": {"observedGeneration": 1, "replicas": 2}}
    apply(s, "status", f"{path}/status", status, "controller")
    s.send(
        "status-merge", "PATCH", f"{path}/status", {"status": {"readyReplicas": 1}}, kind=STRATEGIC
    )
    apply(s, "original-drops", path, {**whole, "spec": {**whole["spec"], "replicas": None}})


@scenario("ssa")
def apply_lists(s: Session) -> None:
    """Atomic lists, sets, maps by several keys."""
    path = s.path("services", "svc")

    def service(*ports: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "svc", **more},
            "spec": {"ports": list(ports), "selector": {"a": "b"}},
        }

    apply(s, "create", path, service({"port": 80, "name": "http"}))
    apply(s, "second", path, service({"port": 81, "name": "alt"}), "two")
    apply(s, "udp", path, service({"port": 80, "protocol": "UDP", "name": "udp"}), "three")
    apply(s, "finalizers", path, service(finalizers=["a.com/x", "a.com/y"]), "four")
    apply(s, "finalizer-gone", path, service(finalizers=["a.com/y"]), "four")
    apply(s, "target", path, service({"port": 80, "targetPort": "web"}), "five")
    apply(s, "selector", path, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc"},
                                "spec": {"selector": {"x": "y"}}}, "six")  # fmt: skip
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    roles = s.path("roles", "r", group="rbac.authorization.k8s.io/v1")
    apply(s, "role", roles, role)
    apply(s, "role-two", roles, {**role, "rules": []}, "two")
    s.ask("PATCH", f"{path}", {"metadata": {"finalizers": None}}, kind=MERGE)


@scenario("ssa")
def managers(s: Session) -> None:
    """Who owns what after creates, updates and patches by several managers."""
    path = s.path("configmaps")
    body = {"metadata": {"name": "one", "labels": {"a": "b"}}, "data": {"a": "1", "b": "2"}}
    s.send("create", "POST", f"{path}?fieldManager=maker", body)
    changed = {**body, "data": {"a": "2", "b": "2", "c": "3"}}
    s.send("update", "PUT", f"{path}/one?fieldManager=updater", changed)
    s.send("update-again", "PUT", f"{path}/one?fieldManager=updater", {**changed, "data": {}})
    s.send("agent", "PUT", f"{path}/one", {**body, "binaryData": {"z": "AAAA"}})
    apply(s, "apply", f"{path}/one", config(a="1"), "maker")
    s.send("bad", "POST", f"{path}?fieldManager={'x' * 200}", {"metadata": {"name": "t"}})
    s.send("unprintable", "POST", f"{path}?fieldManager=a%07b", {"metadata": {"name": "t"}})
    cleared = {"metadata": {"managedFields": [{}]}}
    s.send("clear", "PATCH", f"{path}/one", cleared, kind=MERGE)
    apply(s, "apply-after-clear", f"{path}/one", config(a="4"), "maker")
