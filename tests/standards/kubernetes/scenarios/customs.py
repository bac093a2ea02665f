"""CustomResourceDefinitions: structure, defaults, pruning, CEL rules, versions, subresources."""

from __future__ import annotations

import json
from typing import Any

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.scenarios.lists import TABLE
from tests.standards.kubernetes.session import APPLY, JSON_PATCH, MERGE, STRATEGIC, Session

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "d.example.com"


def schema(**spec: Any) -> dict[str, Any]:
    spec_schema = {"type": "object", **spec}
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "openAPIV3Schema": {
            "type": "object",
            "properties": {"spec": spec_schema, "status": status},
        }
    }


def definition(kind: str, validation: dict[str, Any], **version: Any) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": validation, **version}
            ],
        },
    }


def establish(s: Session, body: dict[str, Any]) -> str:
    """Create a definition and wait until its resource is served; the resource's path."""
    made = s.ask("POST", CRDS, body)
    assert made.status == 201, made.body
    version = body["spec"]["versions"][0]["name"]
    path = s.path(body["spec"]["names"]["plural"], group=f"{body['spec']['group']}/{version}")
    for _ in range(3000):
        if s.ask("GET", path).status == 200:
            return path
    raise AssertionError(f"never served: {path}")


@scenario("cel")
def custom_objects(s: Session) -> None:
    size = {"type": "integer", "minimum": 1, "maximum": 9, "default": 3}
    properties = {
        "size": size,
        "name": {"type": "string", "minLength": 2, "pattern": "^[a-z]+$"},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"},
                 "x-kubernetes-list-type": "set"},
        "parts": {"type": "array", "x-kubernetes-list-type": "map",
                  "x-kubernetes-list-map-keys": ["id"],
                  "items": {"type": "object", "required": ["id"],
                            "properties": {"id": {"type": "string"}, "n": {"type": "integer"}}}},
        "any": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "nothing": {"type": "string", "nullable": True},
        "at": {"type": "string", "format": "date-time"},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    }  # fmt: skip
    body = definition(
        "Widget",
        schema(properties=properties, required=["name"]),
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.size",
                "statusReplicasPath": ".status.size",
                "labelSelectorPath": ".status.selector",
            },
        },
        additionalPrinterColumns=[
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        selectableFields=[{"jsonPath": ".spec.mode"}],
    )
    path = establish(s, body)
    base = {"apiVersion": f"{GROUP}/v1", "kind": "Widget"}

    def create(step: str, spec: Any, query: str = "", **more: Any) -> None:
        whole = {**base, "metadata": {"name": step}, "spec": spec, **more}
        s.send(step, "POST", f"{path}{query}", whole)

    create("plain", {"name": "ab"})
    create("no-name", {})
    create("null-spec", None)
    create("small", {"name": "ab", "size": 0})
    create("large", {"name": "ab", "size": 10})
    create("text-size", {"name": "ab", "size": "5"})
    create("fraction", {"name": "ab", "size": 1.5})
    create("whole-fraction", {"name": "ab", "size": 2.0})
    create("short", {"name": "a"})
    create("pattern", {"name": "AB"})
    create("enum", {"name": "ab", "mode": "c"})
    create("tags", {"name": "ab", "tags": ["x", "x"]})
    create("many-tags", {"name": "ab", "tags": ["x", "y", "z"]})
    create("parts", {"name": "ab", "parts": [{"id": "1"}, {"id": "1"}]})
    create("part-key", {"name": "ab", "parts": [{"n": 1}]})
    create("any", {"name": "ab", "any": "x"})
    create("any-int", {"name": "ab", "any": 5})
    create("any-bool", {"name": "ab", "any": True})
    create("pruned", {"name": "ab", "more": 1, "free": {"x": {"y": 1}}})
    create("strict", {"name": "ab", "more": 1}, "?fieldValidation=Strict")
    create("warn", {"name": "ab", "more": 1}, "?fieldValidation=Warn", extra=5)
    create("nulls", {"name": "ab", "nothing": None, "size": None, "mode": None})
    create("time", {"name": "ab", "at": "2020-01-01T00:00:00Z"})
    create("bad-time", {"name": "ab", "at": "yesterday"})
    create("map", {"name": "ab", "map": {"a": 1, "b": "x"}})
    create("several", {"size": 99, "name": "A", "mode": "z", "tags": [1]})
    create("status", {"name": "ab"}, status={"phase": "set"})
    create("list-spec", [])
    s.send("no-kind", "POST", path, {"metadata": {"name": "x"}, "spec": {"name": "ab"}})
    s.send("kind", "POST", path, {**base, "kind": "Gadget", "metadata": {"name": "x"}})
    one = f"{path}/plain"
    s.send("get", "GET", one)
    s.send("merge", "PATCH", one, {"spec": {"size": 5}}, kind=MERGE)
    s.send("generation", "PATCH", one, {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)
    s.send("status-ignored", "PATCH", one, {"status": {"x": 1}}, kind=MERGE)
    s.send("status-patch", "PATCH", f"{one}/status", {"status": {"x": 1, "size": 2}}, kind=MERGE)
    s.send("status-spec", "PATCH", f"{one}/status", {"spec": {"size": 7}}, kind=MERGE)
    s.send("strategic", "PATCH", one, {"spec": {"size": 6}}, kind=STRATEGIC)
    operation = {"op": "replace", "path": "/spec/size", "value": 4}
    s.send("json-patch", "PATCH", one, [operation], kind=JSON_PATCH)
    s.send("invalid-patch", "PATCH", one, {"spec": {"size": 44}}, kind=MERGE)
    s.send("scale-get", "GET", f"{one}/scale")
    s.send("scale-patch", "PATCH", f"{one}/scale", {"spec": {"replicas": 8}}, kind=MERGE)
    s.send("scale-bad", "PATCH", f"{one}/scale", {"spec": {"replicas": 88}}, kind=MERGE)
    applied = {**base, "metadata": {"name": "plain"}, "spec": {"name": "cd"}}
    text = json.dumps(applied)
    s.send("apply", "PATCH", f"{one}?fieldManager=m", text, kind=APPLY)
    s.send("apply-conflict", "PATCH", f"{one}?fieldManager=n",
           json.dumps({**applied, "spec": {"name": "ef"}}), kind=APPLY)  # fmt: skip
    parts = {**applied, "spec": {"name": "cd", "parts": [{"id": "1", "n": 1}]}}
    s.send("apply-map", "PATCH", f"{one}?fieldManager=m", json.dumps(parts), kind=APPLY)
    parts["spec"]["parts"] = [{"id": "2", "n": 2}]
    s.send("apply-map-2", "PATCH", f"{one}?fieldManager=m", json.dumps(parts), kind=APPLY)
    s.send("table", "GET", path, headers={"Accept": TABLE})
    s.send("selected", "GET", f"{path}?fieldSelector=spec.mode%3Da")
    s.send("not-selectable", "GET", f"{path}?fieldSelector=spec.name%3Da")
    s.send("list", "GET", path, only=lambda b: [b.get("kind"), b.get("apiVersion")])
    s.send("delete", "DELETE", one)
    s.send("discovery", "GET", f"/apis/{GROUP}/v1", only=lambda b: {
        one["name"]: {**one, "verbs": sorted(one["verbs"])}
        for one in b.get("resources", ()) if one["name"].startswith("widget")
    })  # fmt: skip


@scenario("cel")
def custom_rules(s: Session) -> None:
    """CEL rules, transitions and ratcheting."""
    rules = [
        {"rule": "self.low <= self.high", "message": "low must not be above high"},
        {"rule": "self.high < 100", "messageExpression": "self.high > 200 ? 'far' : 'near'"},
    ]
    properties = {
        "low": {"type": "integer"},
        "high": {"type": "integer"},
        "fixed": {
            "type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed"}],
        },
        "names": {
            "type": "array",
            "maxItems": 10,
            "items": {"type": "string", "maxLength": 20},
            "x-kubernetes-validations": [
                {"rule": "self.all(n, n.startsWith('n'))", "reason": "FieldValueForbidden"}
            ],
        },
        "web": {
            "type": "string",
            "maxLength": 100,
            "x-kubernetes-validations": [
                {"rule": "isURL(self) && url(self).getScheme() == 'https'", "fieldPath": ""}
            ],
        },
        "old": {"type": "string", "maxLength": 5},
    }
    del properties["web"]["x-kubernetes-validations"][0]["fieldPath"]
    body = definition(
        "Rule",
        schema(
            properties=properties,
            required=["low", "high"],
            **{"x-kubernetes-validations": rules},
        ),
    )
    path = establish(s, body)
    base = {"apiVersion": f"{GROUP}/v1", "kind": "Rule"}

    def create(step: str, **spec: Any) -> None:
        whole = {**base, "metadata": {"name": step}, "spec": {"low": 1, "high": 2, **spec}}
        s.send(step, "POST", path, whole)

    create("good", fixed="a", old="12345")
    create("low", low=5)
    create("high", high=500)
    create("both", low=900, high=500)
    create("names", names=["n1", "x"])
    create("web", web="https://example.com/x")
    create("web-http", web="http://example.com")
    create("web-none", web="nonsense")
    one = f"{path}/good"
    s.send("fixed", "PATCH", one, {"spec": {"fixed": "b"}}, kind=MERGE)
    s.send("fixed-gone", "PATCH", one, {"spec": {"fixed": None}}, kind=MERGE)
    s.send("fixed-new", "PATCH", one, {"spec": {"fixed": "c"}}, kind=MERGE)
    fresh = s.ask("GET", f"{CRDS}/rules.{GROUP}").json
    version = fresh["spec"]["versions"][0]
    inner = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    inner["old"]["maxLength"] = 2
    inner["low"]["maximum"] = 0
    assert s.ask("PUT", f"{CRDS}/rules.{GROUP}", fresh).status == 200
    probe = {**base, "metadata": {"name": "probe"}, "spec": {"low": 1, "high": 2}}
    for _ in range(3000):
        if s.ask("POST", f"{path}?dryRun=All", probe).status == 422:
            break
    s.send("ratchet-unchanged", "PATCH", one, {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)
    s.send("ratchet-other", "PATCH", one, {"spec": {"high": 50}}, kind=MERGE)
    s.send("ratchet-changed", "PATCH", one, {"spec": {"old": "1234"}}, kind=MERGE)
    s.send("ratchet-good", "PATCH", one, {"spec": {"old": "1"}}, kind=MERGE)


@scenario("cel")
def custom_versions(s: Session) -> None:
    properties = {"size": {"type": "integer", "default": 1}}
    body = definition("Gear", schema(properties=properties))
    old = {"name": "v1beta1", "served": True, "storage": False,
           "schema": schema(properties={"size": {"type": "integer", "default": 2}}),
           "deprecated": True}  # fmt: skip
    hidden = {"name": "v0", "served": False, "storage": False, "schema": schema()}
    body["spec"]["versions"] += [old, hidden]
    path = establish(s, body)
    base = {"apiVersion": f"{GROUP}/v1", "kind": "Gear"}
    s.send("create", "POST", path, {**base, "metadata": {"name": "a"}, "spec": {}})
    beta = s.path("gears", group=f"{GROUP}/v1beta1")
    s.send("read-beta", "GET", f"{beta}/a")
    whole = {"apiVersion": f"{GROUP}/v1beta1", "kind": "Gear", "metadata": {"name": "b"}}
    s.send("create-beta", "POST", beta, {**whole, "spec": {}})
    s.send("read-b", "GET", f"{path}/b")
    s.send("wrong-version", "POST", path, {**whole, "spec": {}})
    s.send("hidden", "GET", s.path("gears", "a", group=f"{GROUP}/v0"))
    s.send("list-beta", "GET", beta)


@scenario("cel")
def definitions(s: Session) -> None:
    """Definitions themselves: what is refused, what is filled in."""

    def create(step: str, change: Any = None) -> None:
        kind = "Thing" + step.replace("-", "")
        body = definition(kind, schema(properties={"a": {"type": "string"}}))
        if change:
            change(body)
        s.send(step, "POST", CRDS, body)

    def spec(**values: Any) -> Any:
        return lambda body: body["spec"].update(values)

    def names(**values: Any) -> Any:
        return lambda body: body["spec"]["names"].update(values)

    def version(**values: Any) -> Any:
        return lambda body: body["spec"]["versions"][0].update(values)

    def field(**values: Any) -> Any:
        return lambda body: body["spec"]["versions"][0].update(
            schema=schema(properties={"a": values})
        )

    create("bad-name", lambda body: body["metadata"].update(name="wrong"))
    create("no-group", spec(group=""))
    create("no-kind", names(kind=""))
    create("upper-plural", names(plural="Things"))
    create("bad-scope", spec(scope="Wide"))
    create("no-versions", spec(versions=[]))
    create("no-storage", version(storage=False))
    create("not-served", version(served=False))
    create("no-schema", version(schema=None))
    create("bad-version", version(name="one"))
    create("no-type", field(description="x"))
    create("bad-type", field(type="chair"))
    create("bad-default", field(type="integer", default="x"))
    create("bad-pattern", field(type="string", pattern="["))
    create("ref", field(**{"$ref": "#/x"}))
    create("unique", field(type="array", uniqueItems=True, items={"type": "string"}))
    create("both", field(type="object", properties={}, additionalProperties={"type": "string"}))
    create("false-additional", field(type="object", additionalProperties=False))
    create("bad-cel", field(type="string", **{"x-kubernetes-validations": [{"rule": "self +"}]}))
    create("type-cel", field(type="string", **{"x-kubernetes-validations": [{"rule": "self"}]}))
    create("list-type", field(type="string", **{"x-kubernetes-list-type": "map"}))
    create("map-keys", field(type="array", items={"type": "object"},
                             **{"x-kubernetes-list-type": "map"}))  # fmt: skip
    create("cost", field(type="array", items={"type": "array", "items": {"type": "string"}},
                         **{"x-kubernetes-validations": [
                             {"rule": "self.all(a, a.all(b, self.all(c, b in c)))"}]}))  # fmt: skip
    create("good")
    s.send("again", "POST", CRDS, definition("Thinggood", schema()))
    s.send("missing", "GET", f"{CRDS}/none.{GROUP}")
    s.send("old-api", "GET", "/apis/apiextensions.k8s.io/v1beta1/customresourcedefinitions")
    s.send("delete", "DELETE", f"{CRDS}/thinggoods.{GROUP}",
           only=lambda b: b.get("kind"))  # fmt: skip
