"""Discovery and OpenAPI: what they say of what is served, and whether it is well-formed."""

import gzip
import json
import struct

import pytest

from cloudwright.apiserver import built_ins, crds, gnostic
from cloudwright.apiserver.discovery import Discovery, version_info
from cloudwright.apiserver.openapi_v2 import PROTOBUF, OpenApiV2
from cloudwright.apiserver.openapi_v3 import OpenApiV3
from cloudwright.apiserver.priorities import by_version
from cloudwright.apiserver.registry import Registry
from cloudwright.model import resources

STRATEGIC = "application/strategic-merge-patch+json"
OUR_GROUPS = ("platform.example.com", "cloudwright.dev")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
CRD = {
    "metadata": {"name": "boxes.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": "boxes", "kind": "Box", "shortNames": ["bx"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "size": {"type": "integer", "description": "How large."},
                                    "port": {"x-kubernetes-int-or-string": True},
                                    "maybe": {"type": "string", "nullable": True},
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def registry():
    return Registry(built_ins.served())


def with_boxes(registry):
    for served in crds.served(CRD):
        registry.add(served)


def body(reply):
    data = reply.body
    if reply.headers.get("content-encoding") == "gzip":
        data = gzip.decompress(data)
    return json.loads(data)


def test_group_and_resource_lists(registry):
    discovery = Discovery(registry)
    groups = {g["name"] for g in body(discovery.answer("/apis", ""))["groups"]}
    assert {"apps", "platform.example.com", "authorization.k8s.io"} <= groups
    listed = body(discovery.answer("/api/v1/", ""))["resources"]
    names = {r["name"] for r in listed}
    assert {"pods", "pods/log", "pods/exec", "pods/status", "namespaces/finalize"} <= names
    pods = next(r for r in listed if r["name"] == "pods")
    assert (pods["kind"], pods["shortNames"], pods["namespaced"]) == ("Pod", ["po"], True)
    assert "watch" in pods["verbs"]
    assert body(discovery.answer("/version", "") or discovery.answer("/", ""))["paths"]
    assert discovery.answer("/apis/nothing", "") is None
    assert version_info()["gitVersion"].startswith("v1.")


def test_aggregated_says_the_same_as_classic(registry):
    discovery = Discovery(registry)
    answer = discovery.answer("/apis", f"{AGGREGATED},application/json")
    assert answer.headers["content-type"] == AGGREGATED
    for item in body(answer)["items"]:
        group = item["metadata"]["name"]
        for version in item["versions"]:
            classic = body(discovery.answer(f"/apis/{group}/{version['version']}", ""))
            names = {r["name"] for r in classic["resources"] if "/" not in r["name"]}
            assert {r["resource"] for r in version["resources"]} == names
    assert body(discovery.answer("/apis", f"application/json,{AGGREGATED}"))["kind"] == (
        "APIGroupList"
    )


def test_discovery_follows_definitions_at_once(registry):
    discovery = Discovery(registry)
    assert discovery.answer("/apis/example.org/v1", "") is None
    with_boxes(registry)
    found = body(discovery.answer("/apis/example.org/v1", ""))["resources"]
    assert [r["name"] for r in found] == ["boxes", "boxes/status"]
    registry.remove("example.org", "boxes")
    assert discovery.answer("/apis/example.org/v1", "") is None


def test_versions_are_sorted_as_kubernetes_does():
    versions = ["v1alpha1", "v1", "v2beta1", "v2", "v10", "foo"]
    assert sorted(versions, key=by_version) == ["v10", "v2", "v1", "v2beta1", "v1alpha1", "foo"]


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_v2_is_whole_and_has_what_kubectl_looks_for(registry):
    with_boxes(registry)
    found = body(OpenApiV2(registry).answer("application/json"))
    definitions = found["definitions"]
    for reference in references(found):
        assert reference.removeprefix("#/definitions/") in definitions
    box = definitions["org.example.v1.Box"]
    assert box["x-kubernetes-group-version-kind"] == [
        {"group": "example.org", "kind": "Box", "version": "v1"}
    ]
    spec = box["properties"]["spec"]["properties"]
    assert spec["size"]["description"] == "How large."
    assert "type" not in spec["port"]
    assert "type" not in spec["maybe"]
    patch = found["paths"]["/apis/example.org/v1/namespaces/{namespace}/boxes/{name}"]["patch"]
    assert {"dryRun", "fieldValidation"} <= {p["name"] for p in patch["parameters"]}
    assert STRATEGIC not in patch["consumes"]
    pod = found["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert STRATEGIC in pod["consumes"]
    ids = [o["operationId"] for p in found["paths"].values() for o in p.values() if "get" in p
           and isinstance(o, dict)]  # fmt: skip
    assert len(ids) == len(set(ids))
    containers = definitions["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert "List of containers" in containers["description"]


def test_v3_documents_are_whole_and_found_by_the_index(registry):
    with_boxes(registry)
    documents = OpenApiV3(registry)
    index = body(documents.answer("/openapi/v3", ""))["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/example.org/v1"} <= set(index)
    for entry in index.values():
        path = entry["serverRelativeURL"].partition("?")[0]
        found = body(documents.answer(path, "application/json"))
        assert found["openapi"] == "3.0.0"
        schemas = found["components"]["schemas"]
        for reference in references(found):
            assert reference.removeprefix("#/components/schemas/") in schemas
        for path, item in found["paths"].items():
            ours = any(f"/{group}/" in path for group in ("example.org", *OUR_GROUPS))
            if "patch" in item:
                offered = item["patch"]["requestBody"]["content"]
                assert (STRATEGIC in offered) is not ours, path
    assert documents.answer("/openapi/v3/apis/nothing/v1", "") is None
    assert documents.answer("/openapi/v3", "application/x-other").status == 406


def test_v3_hashes_change_only_where_something_changed(registry):
    documents = OpenApiV3(registry)
    before = body(documents.answer("/openapi/v3", ""))["paths"]
    with_boxes(registry)
    after = body(documents.answer("/openapi/v3", ""))["paths"]
    assert set(after) - set(before) == {"apis/example.org/v1"}
    assert all(after[name] == before[name] for name in before)


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """A protobuf message as ``[(number, value)]``: an independent reader."""
    out, at = [], 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 1:
            value, at = struct.unpack("<d", data[at : at + 8])[0], at + 8
        else:
            assert tag & 7 == 2
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        out.append((tag >> 3, value))
    return out


def named(messages, number):
    out = {}
    for n, value in messages:
        if n == number:
            pair = dict(fields(value))
            out[pair[1].decode()] = pair[2]
    return out


def test_v2_as_protobuf_says_the_same_as_json(registry):
    with_boxes(registry)
    documents = OpenApiV2(registry)
    said = body(documents.answer("application/json"))
    raw = gzip.decompress(documents.answer(f"{PROTOBUF},*/*").body)
    document = fields(raw)
    definitions = named(fields(dict(document)[9]), 1)
    paths = named(fields(dict(document)[8]), 2)
    assert set(definitions) == set(said["definitions"])
    assert set(paths) == set(said["paths"])
    pod = fields(definitions["io.k8s.api.core.v1.Pod"])
    extension = named(pod, 31)["x-kubernetes-group-version-kind"]
    assert json.loads(dict(fields(extension))[2]) == [{"group": "", "kind": "Pod", "version": "v1"}]
    properties = named(fields(dict(pod)[25]), 1)
    assert dict(fields(properties["spec"]))[1] == b"#/definitions/io.k8s.api.core.v1.PodSpec"


def test_what_protobuf_cannot_say_is_an_error():
    with pytest.raises(ValueError, match="cannot be told"):
        gnostic.encode({"swagger": "2.0", "definitions": {"x": {"oneOf": []}}})


def test_every_built_in_kind_is_documented(registry):
    documents = OpenApiV3(registry)
    for resource in resources.BUILT_IN:
        path = "/openapi/v3" + resource.root.removesuffix("/")
        schemas = body(documents.answer(path, ""))["components"]["schemas"]
        kinds = [
            kind for s in schemas.values() for kind in s.get("x-kubernetes-group-version-kind", [])
        ]
        assert {"group": resource.group, "kind": resource.kind, "version": resource.version} in (
            kinds
        )
