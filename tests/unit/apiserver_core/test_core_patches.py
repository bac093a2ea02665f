from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.apiserver import strategic
from cloudwright.apiserver.jsonpatches import JsonPatchError, json_patch, merge_patch
from cloudwright.model import schemas
from cloudwright.model.resources import BUILT_IN, DEPLOYMENT, POD, SERVICE, Resource

_RESOURCES = {(one.group, one.version, one.kind): one for one in BUILT_IN}

RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7386)
def test_merge_patches_of_rfc_7386_appendix_a(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(copy.deepcopy(target), patch) == result


RFC_6902 = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    (
        {"foo": ["bar", "baz"]},
        [{"op": "add", "path": "/foo/1", "value": "qux"}],
        {"foo": ["bar", "qux", "baz"]},
    ),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["a", "b", "c"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["a", "c"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    ({"baz": "qux"}, [{"op": "test", "path": "/baz", "value": "qux"}], {"baz": "qux"}),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["x"]}], {"foo": ["bar", ["x"]]}),
]


@pytest.mark.parametrize(("target", "operations", "result"), RFC_6902)
def test_json_patches_of_rfc_6902_appendix_a(target: Any, operations: Any, result: Any) -> None:
    assert json_patch(copy.deepcopy(target), operations) == result


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/baz", "value": "bar"}],
        [{"op": "add", "path": "/a/b", "value": 1}],
        [{"op": "remove", "path": "/nope"}],
        [{"op": "frobnicate", "path": "/baz"}],
        [{"path": "/baz"}],
        ["x"],
    ],
)
def test_json_patches_that_cannot_be_applied(operations: Any) -> None:
    with pytest.raises(JsonPatchError):
        json_patch({"baz": "qux"}, operations)


def test_copies_of_copies_are_bounded() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{index}"} for index in range(60)]
    with pytest.raises(JsonPatchError, match="exceeding the limit"):
        json_patch({"a": {"x": "y" * 100}}, doubling)


def _upstream() -> list[Any]:
    cases: list[Any] = orjson.loads((Path(__file__).parent / "upstream_patches.json").read_bytes())
    return [pytest.param(case, id=f"{case['type']}-{at}") for at, case in enumerate(cases)]


@pytest.mark.parametrize("case", _upstream())
def test_patches_do_what_upstreams_libraries_do(case: dict[str, Any]) -> None:
    """Made-up patches with what ``strategicpatch`` and ``evanphx/json-patch`` made of them."""
    kind = tuple(case.get("kind", ()))
    apply = {
        "json": json_patch,
        "merge": merge_patch,
        "strategic": lambda target, patch: merged(_RESOURCES[kind], target, patch),
    }[case["type"]]
    if "error" in case:
        with pytest.raises((JsonPatchError, strategic.PatchError)) as caught:
            apply(case["original"], case["patch"])
        if case["type"] == "strategic" and not case["error"].startswith("The order in patch"):
            assert str(caught.value) == case["error"]
    else:
        assert apply(case["original"], case["patch"]) == case["result"]


def merged(resource: Resource, target: Any, patch: Any) -> Any:
    return strategic.merge(
        copy.deepcopy(target), patch, lambda path: schemas.merge_key(resource, path)
    )


def pod_spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **more}}


APP, SIDE = {"name": "app", "image": "app:1"}, {"name": "side", "image": "side:1"}


def test_containers_merge_by_name() -> None:
    patch = pod_spec({"name": "app", "image": "app:2"}, {"name": "new", "image": "new:1"})
    result = merged(POD, pod_spec(APP, SIDE), patch)
    assert result == pod_spec(
        {"name": "app", "image": "app:2"}, {"name": "new", "image": "new:1"}, SIDE
    )


def test_what_kubectl_set_image_sends() -> None:
    """``$setElementOrder`` beside the changed element, as kubectl's two-way patch makes it."""
    target = {"spec": {"template": pod_spec(SIDE, APP)}}
    patch = {
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "side"}, {"name": "app"}],
                    "containers": [{"image": "app:3", "name": "app"}],
                }
            }
        }
    }
    expected = {"spec": {"template": pod_spec(SIDE, {"name": "app", "image": "app:3"})}}
    assert merged(DEPLOYMENT, target, patch) == expected


def test_what_kubectl_apply_sends_for_a_removed_container() -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "app"}],
            "containers": [{"$patch": "delete", "name": "side"}],
        }
    }
    assert merged(POD, pod_spec(APP, SIDE), patch) == pod_spec(APP)


def test_the_order_is_set_and_others_keep_their_place() -> None:
    a, b, c, d = ({"name": name} for name in "abcd")
    patch = {"spec": {"$setElementOrder/containers": [{"name": "d"}, {"name": "a"}]}}
    result = merged(POD, pod_spec(a, b, c, d), patch)
    names = [one["name"] for one in result["spec"]["containers"]]
    assert names.index("d") < names.index("a")
    assert names.index("b") < names.index("c")
    assert sorted(names) == ["a", "b", "c", "d"]


def test_environment_and_ports_merge_by_their_keys() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    patch = pod_spec({"name": "app", "env": [{"name": "B", "value": "3"}]})
    result = merged(POD, pod_spec({"name": "app", "env": env}), patch)
    assert result["spec"]["containers"][0]["env"] == [env[0], {"name": "B", "value": "3"}]
    ports = {"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "tls"}]}}
    change = {"spec": {"ports": [{"port": 443, "targetPort": 8443}]}}
    assert merged(SERVICE, ports, change)["spec"]["ports"] == [
        {"port": 80, "name": "http"},
        {"port": 443, "name": "tls", "targetPort": 8443},
    ]


def test_lists_without_a_key_are_replaced() -> None:
    target = pod_spec({"name": "app", "command": ["a", "b"]})
    patch = pod_spec({"name": "app", "command": ["c"]})
    assert merged(POD, target, patch)["spec"]["containers"][0]["command"] == ["c"]


def test_scalars_are_added_and_deleted_from_primitive_lists() -> None:
    target = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["b"],
            "$setElementOrder/finalizers": ["c", "a", "d"],
            "finalizers": ["d"],
        }
    }
    assert merged(POD, target, patch) == {"metadata": {"finalizers": ["c", "a", "d"]}}
    only_delete = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "c"]}}
    assert merged(POD, target, only_delete) == {"metadata": {"finalizers": ["b"]}}


def test_retain_keys_clears_the_other_members_of_a_union() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    result = merged(DEPLOYMENT, {"spec": {"strategy": strategy}}, patch)
    assert result == {"spec": {"strategy": {"type": "Recreate"}}}
    volumes = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    change = {
        "spec": {
            "volumes": [
                {"$retainKeys": ["name", "configMap"], "name": "v", "configMap": {"name": "c"}}
            ]
        }
    }
    assert merged(POD, volumes, change)["spec"]["volumes"] == [
        {"name": "v", "configMap": {"name": "c"}}
    ]


def test_maps_are_replaced_or_deleted_on_request() -> None:
    target = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    replace = {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}
    assert merged(POD, target, replace) == {"metadata": {"labels": {"c": "3"}}}
    assert merged(POD, target, {"metadata": {"labels": {"$patch": "delete"}}}) == {
        "metadata": {"labels": {}}
    }
    assert merged(POD, target, {"metadata": {"labels": {"a": None}}}) == {
        "metadata": {"labels": {"b": "2"}}
    }


def test_a_list_is_replaced_on_request() -> None:
    patch = pod_spec({"$patch": "replace"}, {"name": "only"})
    assert merged(POD, pod_spec(APP, SIDE), patch) == pod_spec({"name": "only"})


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        (
            pod_spec({"image": "x"}),
            r"map: map\[image:x\] does not contain declared merge key: name",
        ),
        ({"spec": {"containers": ["x"]}}, "list element types are not identical"),
        ({"spec": {"$patch": "explode"}}, "unknown patch type: explode in map"),
        ({"spec": {"$retainKeys": "x"}}, "invalid patch format of retainKeys"),
        ({"spec": {"$retainKeys": ["a"], "b": 1}}, "invalid patch format of retainKeys"),
    ],
)
def test_patches_that_contradict_themselves(patch: Any, text: str) -> None:
    with pytest.raises(strategic.PatchError, match=text):
        merged(POD, pod_spec(APP), patch)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("abc", max_size=2), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_without_merge_keys_strategic_equals_merge_but_for_nested_nulls(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    # Lists are taken over as they are by a merge patch; the strategic one drops nulls in them.
    cleaned = {name: value for name, value in patch.items() if not isinstance(value, list)}
    strategic_result = strategic.merge(copy.deepcopy(target), cleaned, lambda path: None)
    merge_result = merge_patch(copy.deepcopy(target), cleaned)
    assert drop_lists(strategic_result) == drop_lists(merge_result)


def drop_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: drop_lists(v) for k, v in value.items() if not isinstance(v, list)}
    return value


@given(OBJECTS, OBJECTS)
def test_merging_twice_is_merging_once(target: dict[str, Any], patch: dict[str, Any]) -> None:
    patch = drop_lists(patch)  # nulls in lists stay at first, as in upstream's library
    once = merge_patch(copy.deepcopy(target), patch)
    assert merge_patch(copy.deepcopy(once), patch) == once
