"""JSON, merge and strategic merge patches."""

from __future__ import annotations

from typing import Any

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.session import (
    JSON,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Session,
)

DEPLOYMENT = {
    "metadata": {"name": "web", "labels": {"a": "b"}},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "containers": [
                    {
                        "name": "web",
                        "image": "web:1",
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "ports": [{"containerPort": 80}, {"containerPort": 81}],
                        "args": ["x", "y"],
                    },
                    {"name": "side", "image": "side:1"},
                ],
                "tolerations": [{"key": "k", "operator": "Exists"}],
                "volumes": [{"name": "v", "emptyDir": {}}],
            },
        },
    },
}
APPS = "apps/v1"


@scenario("ssa")
def json_patch(s: Session) -> None:
    path = s.path("configmaps", "one")
    s.ask("POST", s.path("configmaps"), {"metadata": {"name": "one"}, "data": {"a": "1"}})

    def patch(step: str, *operations: Any) -> None:
        s.send(step, "PATCH", path, list(operations), kind=JSON_PATCH)

    patch("add", {"op": "add", "path": "/data/b", "value": "2"})
    patch("replace", {"op": "replace", "path": "/data/a", "value": "9"})
    patch("remove", {"op": "remove", "path": "/data/b"})
    patch("remove-missing", {"op": "remove", "path": "/data/none"})
    patch("replace-missing", {"op": "replace", "path": "/data/none", "value": "1"})
    patch("test-good", {"op": "test", "path": "/data/a", "value": "9"})
    patch("test-bad", {"op": "test", "path": "/data/a", "value": "8"})
    patch("move", {"op": "move", "from": "/data/a", "path": "/data/c"})
    patch("copy", {"op": "copy", "from": "/data/c", "path": "/data/d"})
    patch("escape", {"op": "add", "path": "/metadata/annotations", "value": {"a/b": "c"}})
    patch("escaped", {"op": "replace", "path": "/metadata/annotations/a~1b", "value": "d"})
    patch("nothing")
    patch("name", {"op": "replace", "path": "/metadata/name", "value": "two"})
    patch("kind", {"op": "replace", "path": "/kind", "value": "Pod"})
    patch("bad-type", {"op": "add", "path": "/data/x", "value": 5})
    patch("bad-operation", {"op": "twist", "path": "/data/x", "value": 5})
    patch("no-path", {"op": "add", "value": 5})
    patch("index", {"op": "add", "path": "/metadata/finalizers/5", "value": "a"})
    s.send("not-a-list", "PATCH", path, {"op": "add"}, kind=JSON_PATCH)
    s.send("not-json", "PATCH", path, "{nope", kind=JSON_PATCH)
    s.send("missing", "PATCH", s.path("configmaps", "none"), [], kind=JSON_PATCH)


@scenario("ssa")
def merge_patch(s: Session) -> None:
    path = s.path("configmaps", "one")
    s.ask("POST", s.path("configmaps"), {"metadata": {"name": "one"}, "data": {"a": "1"}})

    def patch(step: str, body: Any, query: str = "") -> None:
        s.send(step, "PATCH", path + query, body, kind=MERGE)

    patch("add", {"data": {"b": "2"}, "metadata": {"labels": {"x": "y"}}})
    patch("remove", {"data": {"a": None}})
    patch("same", {"data": {"b": "2"}})
    patch("empty", {})
    patch("name", {"metadata": {"name": "two"}})
    patch("namespace", {"metadata": {"namespace": "elsewhere"}})
    patch("stale", {"metadata": {"resourceVersion": "1"}, "data": {"q": "1"}})
    patch("uid", {"metadata": {"uid": "11111111-2222-3333-4444-555555555555"}})
    patch("bad-type", {"data": {"b": 5}})
    patch("bad-shape", {"data": ["b"]})
    patch("unknown", {"dat": {"b": "5"}})
    patch("unknown-strict", {"dat": {"b": "5"}}, "?fieldValidation=Strict")
    patch("unknown-warn", {"dat": {"b": "6"}}, "?fieldValidation=Warn")
    patch("list", [1])
    patch("text", '"text"')
    patch("not-json", "{nope")
    patch("null-data", {"data": None})
    patch("dry-run", {"data": {"z": "1"}}, "?dryRun=All")
    patch("manager", {"data": {"m": "1"}}, "?fieldManager=somebody")
    patch("manager-long", {"data": {"m": "2"}}, f"?fieldManager={'m' * 129}")
    patch("force", {"data": {"m": "2"}}, "?force=true")
    s.send("json", "PATCH", path, {"a": 1}, kind=JSON)
    s.send("no-kind", "PATCH", path, b"{}", headers={"Content-Type": ""})
    s.send("other-kind", "PATCH", path, b"{}", kind="text/plain")
    s.send("missing", "PATCH", s.path("configmaps", "none"), {"data": {}}, kind=MERGE)


@scenario("ssa")
def strategic_patch(s: Session) -> None:
    path = s.path("deployments", "web", group=APPS)
    s.send("create", "POST", s.path("deployments", group=APPS), DEPLOYMENT)

    def pod(**more: Any) -> dict[str, Any]:
        return {"spec": {"template": {"spec": more}}}

    def patch(step: str, body: Any) -> None:
        s.send(step, "PATCH", path, body, kind=STRATEGIC)

    patch("image", pod(containers=[{"name": "web", "image": "web:2"}]))
    patch("env", pod(containers=[{"name": "web", "env": [{"name": "B", "value": "3"}]}]))
    patch("env-new", pod(containers=[{"name": "web", "env": [{"name": "C", "value": "4"}]}]))
    patch("container-new", pod(containers=[{"name": "third", "image": "t"}]))
    patch("container-delete", pod(containers=[{"name": "side", "$patch": "delete"}]))
    order = [{"name": "third"}, {"name": "web"}]
    patch("order", pod(**{"$setElementOrder/containers": order, "containers": []}))
    patch("replace-list", pod(containers=[{"$patch": "replace"}, {"name": "only", "image": "o"}]))
    patch("args", pod(containers=[{"name": "only", "args": ["z"]}]))
    patch("ports", pod(containers=[{"name": "only", "ports": [{"containerPort": 80}]}]))
    patch("ports-2", pod(containers=[{"name": "only", "ports": [{"containerPort": 81}]}]))
    patch("tolerations", pod(tolerations=[{"key": "other", "operator": "Exists"}]))
    patch("volume", pod(volumes=[{"name": "w", "emptyDir": {}}]))
    patch("volume-retain", pod(volumes=[{"name": "w", "$retainKeys": ["name", "configMap"],
                                         "configMap": {"name": "c"}}]))  # fmt: skip
    patch("replace-map", {"metadata": {"labels": {"$patch": "replace", "n": "m"}}})
    patch("delete-map", {"metadata": {"annotations": {"$patch": "delete"}}})
    patch("null", {"spec": {"replicas": None}})
    patch("finalizers", {"metadata": {"finalizers": ["a.example.com/x"]}})
    patch("finalizers-more", {"metadata": {"finalizers": ["a.example.com/y"]}})
    drop = {"$deleteFromPrimitiveList/finalizers": ["a.example.com/x"]}
    patch("finalizers-less", {"metadata": drop})
    patch("no-key", pod(containers=[{"image": "nameless"}]))
    patch("bad-directive", {"metadata": {"labels": {"$patch": "explode"}}})
    patch("selector", {"spec": {"selector": {"matchLabels": {"x": "y"}}}})
    s.send("scale", "GET", s.path("deployments", "web/scale", group=APPS))
    patch("noop", {"metadata": {"labels": {"n": "m"}}})


@scenario("ssa")
def patch_races(s: Session) -> None:
    """Concurrent patches that do not meet all succeed; those that test a version do so once."""
    path = s.path("configmaps", "one")
    made = s.ask("POST", s.path("configmaps"), {"metadata": {"name": "one"}}).json
    kinds = {"Content-Type": MERGE}
    done = s.race(
        [
            lambda client, n=n: client.send("PATCH", path, {"data": {f"k{n}": "v"}}, kinds).status
            for n in range(8)
        ]
    )
    s.note("apart", sorted(done))
    s.note("apart-result", s.ask("GET", path).json["data"])
    version = s.ask("GET", path).json["metadata"]["resourceVersion"]
    body = {"metadata": {"resourceVersion": version}}
    done = s.race(
        [
            lambda client, n=n: (
                client.send("PATCH", path, {**body, "data": {"same": str(n)}}, kinds).status
            )
            for n in range(8)
        ]
    )
    s.note("versioned", sorted(done))
    done = s.race(
        [
            lambda client: (
                client.send("POST", s.path("configmaps"), {"metadata": {"name": "raced"}}).status
            )
            for _ in range(8)
        ]
    )
    s.note("creates", sorted(done))
    uid = {"preconditions": {"uid": made["metadata"]["uid"]}}
    done = s.race([lambda client: client.send("DELETE", path, uid).status for _ in range(4)])
    s.note("deletes", sorted(done))
