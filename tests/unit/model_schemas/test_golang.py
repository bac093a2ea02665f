"""Objects as Go reads and writes them: canonical JSON, and protobuf there and back."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright.model import bundle, golang
from cloudwright.model.golang import GoError
from cloudwright.model.resources import BUILT_IN, DEPLOYMENT, MICRO_SERVICE

OURS = {"platform.example.com", "cloudwright.dev"}


def canonical(name: str, obj: Any) -> tuple[Any, list[str]]:
    text, unknown = golang.canonical(name, json.dumps(obj).encode())
    return json.loads(text), unknown


def test_every_built_in_kind_has_a_type() -> None:
    assert golang.type_name(DEPLOYMENT) == "apps/v1.Deployment"
    assert golang.type_name(MICRO_SERVICE) is None
    assert all(golang.has_type(r) for r in BUILT_IN if r.group not in OURS)


def test_values_come_out_as_upstream_gives_them_back() -> None:
    found, unknown = canonical(
        "apps/v1.Deployment",
        {
            "metadata": {"name": "a", "labels": {}, "creationTimestamp": None},
            "spec": {
                "replicas": None,
                "paused": False,
                "template": {
                    "spec": {
                        "containers": [
                            {
                                "name": "c",
                                "command": [],
                                "resources": {"limits": {"cpu": 1.5, "memory": "1024Mi"}},
                                "imag": "x",
                            }
                        ]
                    }
                },
            },
            "status": {},
            "statsu": {},
        },
    )
    assert unknown == ["spec.template.spec.containers[0].imag", "statsu"]
    container = {"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}}}
    assert found == {
        "metadata": {"name": "a"},
        "spec": {
            "strategy": {},
            "template": {"metadata": {}, "spec": {"containers": [container]}},
        },
        "status": {},
    }


@pytest.mark.parametrize(
    ("name", "obj", "message"),
    [
        (
            "apps/v1.Deployment",
            {"spec": {"replicas": "3"}},
            "json: cannot unmarshal string into Go struct field "
            "DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "core/v1.Pod",
            {"spec": {"containers": [{"name": 1}]}},
            "json: cannot unmarshal number into Go struct field "
            "Container.spec.containers.name of type string",
        ),
        (
            "core/v1.Pod",
            {"spec": {"containers": {}}},
            "json: cannot unmarshal object into Go struct field "
            "PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "core/v1.ConfigMap",
            {"data": {"a": True}},
            "json: cannot unmarshal bool into Go struct field ConfigMap.data of type string",
        ),
        ("core/v1.Secret", {"data": {"a": "!"}}, "illegal base64 data at input byte 0"),
        (
            "apps/v1.Deployment",
            {"spec": {"replicas": 3_000_000_000}},
            "json: cannot unmarshal number 3000000000 into Go struct field "
            "DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "core/v1.Pod",
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "much"}}}]}},
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("core/v1.Pod", [], "json: cannot unmarshal array into Go value of type v1.Pod"),
    ],
)
def test_wrong_types_are_told_in_the_words_of_go(name: str, obj: Any, message: str) -> None:
    with pytest.raises(GoError) as caught:
        canonical(name, obj)
    assert (caught.value.kind, str(caught.value)) == ("type", message)


def test_custom_resource_definitions_keep_their_schemas() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "default": 5, "enum": [1, 5]}},
        "additionalProperties": False,
        "items": [{"type": "string"}],
        "dependencies": {"x": ["y"], "z": {"type": "object"}},
    }
    version = {"name": "v1", "schema": {"openAPIV3Schema": schema}}
    given = {"spec": {"versions": [version]}}
    found, unknown = canonical("apiextensions/v1.CustomResourceDefinition", given)
    assert unknown == []
    assert found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == schema
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", **found}
    back = json.loads(golang.decode(golang.encode(json.dumps(body).encode())))
    assert back["spec"]["versions"] == found["spec"]["versions"]


def test_nesting_has_a_limit() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(60):
        schema = {"not": schema}
    body = {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}
    canonical("apiextensions/v1.CustomResourceDefinition", body)
    for _ in range(60):
        schema = {"not": schema}
    body["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    with pytest.raises(GoError):
        canonical("apiextensions/v1.CustomResourceDefinition", body)


# --- every type, with values that the table says it can have


@cache
def _table() -> dict[str, list[list[Any]]]:
    text = gzip.decompress(bundle.read("types.json.gz")).decode()
    return {name: json.loads(row) for name, row in (line.split("\t") for line in text.splitlines())}


TEXTS = st.text("ab-é", max_size=3)
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS,
    "bool": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "bytes": st.sampled_from(["", "eA==", "eHk="]),
    "time": st.sampled_from(["2026-01-01T00:00:00Z", "1970-01-01T00:00:01Z"]),
    "microtime": st.sampled_from(["2026-01-01T00:00:00.000001Z"]),
    "quantity": st.sampled_from(["1", "500m", "1Gi", "0"]),
    "intstr": st.one_of(st.integers(0, 99), st.just("25%")),
    "raw": st.just({"any": [1, "x"]}),
    "fields": st.just({"f:a": {}}),
    "json": st.sampled_from([1, "x", [True], {"a": 1}]),
    "orbool": st.booleans(),
    "orarray": st.just([{"type": "string"}]),
    "orstrings": st.just(["a"]),
}


def values(kind: str, depth: int) -> st.SearchStrategy[Any]:
    if kind.startswith("map:"):
        return st.dictionaries(st.sampled_from("ab"), values(kind[4:], depth), max_size=2)
    if kind.startswith("items:"):
        return st.lists(values(kind[6:], depth), max_size=2)
    return LEAVES[kind] if kind in LEAVES else objects(kind, depth + 1)


def objects(name: str, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    parts: dict[str, st.SearchStrategy[Any]] = {}
    inlined: list[st.SearchStrategy[dict[str, Any]]] = []
    for number, field, kind, flags, _ in _table()[name]:
        if depth > 3 and kind not in LEAVES:
            continue
        if "i" in flags:
            inlined.append(st.deferred(lambda kind=kind: objects(kind, depth + 1)))
        elif number or depth:
            one = st.deferred(lambda kind=kind: values(kind, depth))
            parts[field] = st.lists(one, max_size=2) if "r" in flags else one
    chosen = st.lists(st.sampled_from(sorted(parts)), max_size=4, unique=True)
    picked = chosen.flatmap(lambda names: st.fixed_dictionaries({n: parts[n] for n in names}))
    own = picked if parts else st.just({})
    return st.tuples(own, *inlined).map(lambda all_: {k: v for one in all_ for k, v in one.items()})


KINDS = [r for r in BUILT_IN if r.group not in OURS]


@settings(max_examples=150)
@given(st.data())
def test_what_is_canonical_survives_protobuf(data: st.DataObject) -> None:
    resource = data.draw(st.sampled_from(KINDS))
    name = golang.type_name(resource)
    assert name is not None
    given_ = data.draw(objects(name))
    once, unknown = canonical(name, given_)
    assert unknown == []
    assert canonical(name, once) == (once, [])
    body = {**once, "apiVersion": resource.api_version, "kind": resource.kind}
    wire = golang.encode(json.dumps(body).encode())
    back, _ = canonical(name, json.loads(golang.decode(wire)))
    assert without_empty_lists(back) == without_empty_lists(body)


def without_empty_lists(value: Any) -> Any:
    """Protobuf, and Go, do not tell them from lists that are not there."""
    if isinstance(value, dict):
        kept = {k: without_empty_lists(inner) for k, inner in value.items()}
        for claim in kept.get("volumeClaimTemplates") or ():
            # Claims of a StatefulSet say their kind in JSON, but not in protobuf.
            claim.pop("apiVersion", None)
            claim.pop("kind", None)
        return {k: inner for k, inner in kept.items() if inner != []}
    return [without_empty_lists(one) for one in value] if isinstance(value, list) else value


def config_map(number: int) -> dict[str, Any]:
    return {"metadata": {"name": f"m{number}"}, "data": {"text": "x" * 200}}


def test_a_large_list_is_written_as_a_small_one_is() -> None:
    def listed(count: int) -> bytes:
        items = [config_map(1000 + number) for number in range(count)]
        whole = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}}
        return golang.encode(json.dumps({**whole, "items": items}).encode())

    # 100 items stay below the size from which lists are read item by item, 1000 do not
    few, many = listed(100), listed(1000)
    assert len(few) < 64 * 1024 < len(many)
    back = json.loads(golang.decode(many))
    assert back["metadata"] == {"resourceVersion": "7"}
    assert [item["metadata"]["name"] for item in back["items"]] == [
        f"m{1000 + number}" for number in range(1000)
    ]
    item = len(listed(2)) - len(listed(1))
    assert few.count(b"x" * 200) == 100
    start = few.index(b"m1000")
    again = many.index(b"m1000")
    assert few[start : start + 99 * item] == many[again : again + 99 * item]


@pytest.mark.parametrize("items", ["null", "[]", '[{"metadata": 3}]', "{}"])
def test_items_of_a_wrong_type_are_an_error_in_lists_of_any_size(items: str) -> None:
    body = f'{{"kind": "ConfigMapList", "apiVersion": "v1", "items": {items}, "more": "MORE"}}'

    def outcome(filling: str) -> object:
        try:
            return golang.encode(body.replace("MORE", filling).encode())
        except GoError:
            return "refused"

    assert outcome("") == outcome("x" * 70_000)


@given(st.data())
def test_a_damaged_body_is_an_object_or_an_error(data: st.DataObject) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]},
    }
    body = bytearray(golang.encode(json.dumps(pod).encode()))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = golang.decode(bytes(body))
    except GoError:
        return
    json.loads(found)
