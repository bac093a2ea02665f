from __future__ import annotations

import orjson
import pytest

from cloudwright.apiserver.identity import User
from cloudwright.model.objects import Object
from tests.unit.apiserver_core.kit import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JSON_PATCH,
    PODS,
    STRATEGIC,
    Api,
    config_map,
    deployment,
    pod,
)

pytestmark = pytest.mark.anyio


async def test_a_new_object_gets_its_metadata(api: Api) -> None:
    sent = deployment("web")
    sent["metadata"] |= {"uid": "mine", "resourceVersion": "", "managedFields": [], "selfLink": "x"}
    made = await api.create(DEPLOYMENTS, sent)
    metadata = made["metadata"]
    assert metadata["generation"] == 1
    assert metadata["namespace"] == "default"
    assert metadata["uid"] not in ("", "mine")
    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert int(metadata["resourceVersion"]) > 0
    assert "selfLink" not in metadata
    assert await api.get(f"{DEPLOYMENTS}/web") == made


async def test_generate_name_makes_distinct_names(api: Api) -> None:
    body = {"metadata": {"generateName": "x-"}}
    names = {(await api.create(CONFIG_MAPS, body))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("x-") and len(name) == 7 for name in names)


async def test_an_object_can_be_created_once(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    error = await api.create(CONFIG_MAPS, config_map("a"), status=409)
    assert error["reason"] == "AlreadyExists"
    assert error["message"] == 'configmaps "a" already exists'
    assert error["details"] == {"name": "a", "kind": "configmaps"}


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    for method in ("GET", "DELETE", "PUT"):
        body = config_map("a") if method == "PUT" else None
        error = await api.ask(method, f"{CONFIG_MAPS}/a", body, status=404)
        assert (error["reason"], error["code"]) == ("NotFound", 404)
    await api.get("/api/v1/namespaces/default/nonsense", status=404)
    await api.get("/apis/nope.example.com/v1/things", status=404)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "json parse error: unexpected end of JSON input ({)"),
        (b"[]", "json: cannot unmarshal array into Go value of type struct"),
        ({"metadata": {"name": "a", "namespace": "other"}}, "does not match the namespace"),
        ({"kind": "Secret", "metadata": {"name": "a"}}, "cannot be handled as a ConfigMap"),
        (
            {"apiVersion": "v2", "metadata": {"name": "a"}},
            'no kind "ConfigMap" is registered for version "v2"',
        ),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}},
            "the API version in the data (apps/v1) does not match the expected API version (v1)",
        ),
    ],
)
async def test_a_body_that_does_not_fit_is_a_bad_request(api: Api, body: object, text: str) -> None:
    error = await api.create(CONFIG_MAPS, body, status=400)
    assert text in error["message"]


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({}, "metadata.name"),
        ({"name": "a/b"}, "metadata.name"),
        ({"name": "a", "labels": {"x y": "1"}}, "metadata.labels"),
        ({"name": "a", "labels": {"x": "-"}}, "metadata.labels"),
        ({"name": "a", "finalizers": [None]}, "metadata.finalizers"),
        ({"name": "a", "ownerReferences": [{"kind": "X"}]}, "metadata.ownerReferences.name"),
        ({"name": "a", "annotations": {"x": "y" * 300_000}}, "metadata.annotations"),
    ],
)
async def test_wrong_metadata_is_invalid_by_field(api: Api, metadata: Object, field: str) -> None:
    error = await api.create(CONFIG_MAPS, {"metadata": metadata}, status=422)
    assert error["reason"] == "Invalid"
    assert field in [cause["field"] for cause in error["details"]["causes"]]
    assert error["message"].startswith("ConfigMap ")


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"name": 7}, "number into Go struct field ObjectMeta.metadata.name of type string"),
        ({"name": "a", "labels": {"x": 1}}, "ObjectMeta.metadata.labels of type string"),
        ({"name": "a", "labels": []}, "ObjectMeta.metadata.labels of type map[string]string"),
    ],
)
async def test_metadata_of_a_wrong_type_cannot_be_read(
    api: Api, metadata: Object, text: str
) -> None:
    error = await api.create(CONFIG_MAPS, {"metadata": metadata}, status=400)
    assert text in error["message"]


async def test_a_field_of_the_wrong_type_cannot_be_read(api: Api) -> None:
    body = deployment("web") | {"spec": deployment("web")["spec"] | {"replicas": "three"}}
    error = await api.create(DEPLOYMENTS, body, status=400)
    assert "cannot unmarshal string into Go struct field" in error["message"]
    assert "spec.replicas of type int32" in error["message"]


async def test_unknown_fields_warn_or_fail_as_asked(api: Api) -> None:
    body = config_map("a") | {"dta": {}}
    reply = await api.raw("POST", CONFIG_MAPS, body, dryRun="All")
    assert reply.status == 201
    assert reply.headers["warning"] == '299 - "unknown field \\"dta\\""'
    reply = await api.raw("POST", CONFIG_MAPS, body, dryRun="All", fieldValidation="Ignore")
    assert "warning" not in reply.headers
    error = await api.create(CONFIG_MAPS, body, status=400, fieldValidation="Strict")
    assert error["message"].endswith('strict decoding error: unknown field "dta"')
    twice = b'{"metadata":{"name":"a"},"data":{"x":"1","x":"2"}}'
    error = await api.create(CONFIG_MAPS, twice, status=400, fieldValidation="Strict")
    assert error["message"].endswith('strict decoding error: duplicate field "data.x"')
    error = await api.create(CONFIG_MAPS, body, status=422, fieldValidation="Loose")
    assert error["details"]["causes"][0]["field"] == "fieldValidation"


async def test_nulls_in_built_in_kinds_mean_not_set(api: Api) -> None:
    body = deployment("web")
    body["spec"]["template"]["metadata"]["creationTimestamp"] = None
    body["spec"]["paused"] = None
    made = await api.create(DEPLOYMENTS, body, fieldValidation="Strict")
    assert "creationTimestamp" not in made["spec"]["template"]["metadata"]
    assert "paused" not in made["spec"]


async def test_yaml_is_understood(api: Api) -> None:
    text = b"metadata: {name: a}\ndata:\n  when: '2026-01-01'\n"
    reply = await api.raw("POST", CONFIG_MAPS, text, headers={"content-type": "application/yaml"})
    assert reply.status == 201
    yaml = {"content-type": "application/yaml"}
    unquoted = b"metadata: {name: b}\ndata: {when: 2026-01-01}\n"
    reply = await api.raw("POST", CONFIG_MAPS, unquoted, headers=yaml)
    assert orjson.loads(reply.body)["data"] == {"when": "2026-01-01"}
    aliased = b"metadata: {name: c}\ndata: {a: &a x, b: *a}\n"
    reply = await api.raw("POST", CONFIG_MAPS, aliased, headers=yaml)
    assert orjson.loads(reply.body)["data"] == {"a": "x", "b": "x"}
    laughs = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%b]\n" % (name, name, b",".join([b"*%c" % (name - 1)] * 9))
        for name in b"bcdefgh"
    )
    reply = await api.raw("POST", CONFIG_MAPS, laughs, headers=yaml)
    assert reply.status == 400
    assert b"excessive aliasing" in reply.body
    other = {"content-type": "application/xml"}
    assert (await api.raw("POST", CONFIG_MAPS, text, headers=other)).status == 415


async def test_a_stale_update_conflicts(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a", x="1"))
    await api.update(f"{CONFIG_MAPS}/a", made | {"data": {"x": "2"}})
    error = await api.update(f"{CONFIG_MAPS}/a", made | {"data": {"x": "3"}}, status=409)
    assert error["reason"] == "Conflict"
    assert "the object has been modified" in error["message"]
    # Without a version the last writer wins.
    last = await api.update(f"{CONFIG_MAPS}/a", config_map("a", x="4"))
    assert last["data"] == {"x": "4"}
    assert last["metadata"]["uid"] == made["metadata"]["uid"]


async def test_an_update_that_changes_nothing_writes_nothing(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a", x="1"))
    before = api.core.store.revision
    assert await api.update(f"{CONFIG_MAPS}/a", made) == made
    assert await api.patch(f"{CONFIG_MAPS}/a", {"data": {"x": "1"}}) == made
    assert api.core.store.revision == before


async def test_another_uid_is_a_conflict(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    body = {"metadata": {"name": "a", "uid": "another"}}
    assert (await api.update(f"{CONFIG_MAPS}/a", body, status=409))["reason"] == "Conflict"


async def test_the_generation_counts_changes_of_the_spec_only(api: Api) -> None:
    await api.create(DEPLOYMENTS, deployment("web"))
    path = f"{DEPLOYMENTS}/web"
    labelled = await api.patch(path, {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    scaled = await api.patch(path, {"spec": {"replicas": 3}})
    assert scaled["metadata"]["generation"] == 2
    status = await api.patch(f"{path}/status", {"status": {"replicas": 3}})
    assert status["metadata"]["generation"] == 2
    forged = await api.patch(path, {"metadata": {"generation": 99}})
    assert forged["metadata"]["generation"] == 2


async def test_status_and_spec_change_apart(api: Api) -> None:
    await api.create(DEPLOYMENTS, deployment("web") | {"status": {"replicas": 9}})
    path = f"{DEPLOYMENTS}/web"
    assert not (await api.get(path)).get("status", {}).get("replicas")
    both = {"status": {"replicas": 2}, "spec": {"replicas": 5}}
    through_status = await api.patch(f"{path}/status", both)
    assert (through_status["spec"]["replicas"], through_status["status"]["replicas"]) == (1, 2)
    both = {"status": {"replicas": 7}, "spec": {"replicas": 5}}
    through_main = await api.patch(path, both)
    assert (through_main["spec"]["replicas"], through_main["status"]["replicas"]) == (5, 2)
    assert (await api.get(f"{path}/status")) == through_main
    await api.get(f"{CONFIG_MAPS}/a/status", status=404)


async def test_scale_reads_and_writes_replicas(api: Api) -> None:
    await api.create(DEPLOYMENTS, deployment("web", 2))
    path = f"{DEPLOYMENTS}/web/scale"
    scale = await api.get(path)
    assert scale["kind"] == "Scale"
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    changed = await api.update(path, scale | {"spec": {"replicas": 4}})
    assert changed["spec"]["replicas"] == 4
    assert (await api.update(path, scale, status=409))["reason"] == "Conflict"
    await api.patch(path, {"spec": {"replicas": 5}})
    await api.patch(path, [{"op": "replace", "path": "/spec/replicas", "value": 6}], JSON_PATCH)
    assert (await api.get(f"{DEPLOYMENTS}/web"))["spec"]["replicas"] == 6
    error = await api.patch(path, {"spec": {"replicas": -1}}, status=422)
    assert error["details"]["causes"][0]["field"] == "spec.replicas"


async def test_dry_run_answers_and_writes_nothing(api: Api) -> None:
    before = api.core.store.revision
    made = await api.create(CONFIG_MAPS, config_map("a"), dryRun="All")
    assert made["metadata"]["uid"]
    await api.get(f"{CONFIG_MAPS}/a", status=404)
    assert api.core.store.revision == before
    await api.create(CONFIG_MAPS, config_map("b", x="1"))
    before = api.core.store.revision
    changed = await api.patch(f"{CONFIG_MAPS}/b", {"data": {"x": "2"}}, dryRun="All")
    assert changed["data"] == {"x": "2"}
    await api.delete(f"{CONFIG_MAPS}/b", dryRun="All")
    await api.delete(f"{CONFIG_MAPS}/b", {"dryRun": ["All"]})
    assert (await api.get(f"{CONFIG_MAPS}/b"))["data"] == {"x": "1"}
    assert api.core.store.revision == before
    error = await api.create(CONFIG_MAPS, config_map("c"), dryRun="Some", status=422)
    assert error["message"] == (
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: '
        'supported values: "All"'
    )


async def test_a_pod_is_bound_once(api: Api) -> None:
    await api.create(PODS, pod("a"))
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "here"}}
    await api.create(f"{PODS}/a/binding", binding)
    found = await api.get(f"{PODS}/a")
    assert found["spec"]["nodeName"] == "here"
    assert [c["type"] for c in found["status"]["conditions"]] == ["PodScheduled"]
    error = await api.create(f"{PODS}/a/binding", binding, status=409)
    assert 'already assigned to node "here"' in error["message"]
    await api.create(f"{PODS}/a/binding", {}, status=500)  # as upstream


async def test_a_json_patch_can_test_the_version_it_was_made_from(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}})
    seen = made["metadata"]["resourceVersion"]
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": seen},
        {"op": "replace", "path": "/data/x", "value": "2"},
    ]
    changed = await api.patch(f"{CONFIG_MAPS}/a", operations, JSON_PATCH)
    assert changed["data"] == {"x": "2"}
    await api.patch(f"{CONFIG_MAPS}/a", operations, JSON_PATCH, status=422)
    pinned = {"metadata": {"resourceVersion": seen}, "data": {"x": "3"}}
    await api.patch(f"{CONFIG_MAPS}/a", pinned, status=409)
    pinned["metadata"]["resourceVersion"] = changed["metadata"]["resourceVersion"]
    assert (await api.patch(f"{CONFIG_MAPS}/a", pinned))["data"] == {"x": "3"}


async def test_patches_of_every_type(api: Api) -> None:
    await api.create(DEPLOYMENTS, deployment("web"))
    path = f"{DEPLOYMENTS}/web"
    sidecar = {"containers": [{"name": "side", "image": "side:1"}]}
    patch = {"spec": {"template": {"spec": sidecar}}}
    merged = await api.patch(path, patch, STRATEGIC)
    containers = merged["spec"]["template"]["spec"]["containers"]
    assert sorted(one["name"] for one in containers) == ["app", "side"]
    replaced = await api.patch(path, patch)
    containers = replaced["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in containers] == ["side"]
    operations = [
        {"op": "test", "path": "/spec/replicas", "value": 1},
        {"op": "replace", "path": "/spec/replicas", "value": 2},
    ]
    assert (await api.patch(path, operations, JSON_PATCH))["spec"]["replicas"] == 2
    await api.patch(path, operations, JSON_PATCH, status=422)
    error = await api.patch(path, [{"op": "add"}], JSON_PATCH, status=422)
    assert error["message"] == "the server rejected our request due to an error in our request"
    many = [{"op": "test", "path": "/kind", "value": "Deployment"}] * 10_001
    error = await api.patch(path, many, JSON_PATCH, status=413)
    assert error["message"].endswith("in a JSON patch is 10000, got 10001")
    await api.patch(path, {}, JSON_PATCH, status=400)
    await api.patch(path, [], status=400)
    for kind in ("text/plain", "application/apply-patch+cbor"):
        error = await api.patch(path, {}, kind, status=415)
        assert error["message"] == "415: Unsupported Media Type"


async def test_a_patch_with_an_old_version_conflicts(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    await api.patch(f"{CONFIG_MAPS}/a", {"data": {"x": "1"}})
    old = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"y": "2"}}
    assert (await api.patch(f"{CONFIG_MAPS}/a", old, status=409))["reason"] == "Conflict"


async def test_a_patch_cannot_rename(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"name": "b"}}, status=400)


async def test_many_patches_at_once_all_count(api: Api) -> None:
    import anyio

    await api.create(CONFIG_MAPS, config_map("a"))
    async with anyio.create_task_group() as tasks:
        for index in range(6):
            tasks.start_soon(api.patch, f"{CONFIG_MAPS}/a", {"data": {f"k{index}": "v"}})
    assert len((await api.get(f"{CONFIG_MAPS}/a"))["data"]) == 6


async def test_micro_services_take_kubectls_default_patch_type(api: Api) -> None:
    path = "/apis/platform.example.com/v1/namespaces/default/microservices"
    spec = {"version": "1.12.0", "replicas": 3, "env": [{"name": "A", "value": "1"}]}
    await api.create(path, {"metadata": {"name": "payment-svc"}, "spec": spec})
    patched = await api.patch(
        f"{path}/payment-svc", {"spec": {"version": "1.11.0", "env": []}}, STRATEGIC
    )
    assert patched["spec"]["version"] == "1.11.0"
    assert patched["spec"].get("env", []) == []
    assert patched["metadata"]["generation"] == 2


async def test_objects_too_large_are_refused(api: Api) -> None:
    error = await api.create(CONFIG_MAPS, config_map("a", x="y" * 2_000_000), status=422)
    assert error["details"]["causes"][0]["reason"] == "FieldValueTooLong"
    await api.create(CONFIG_MAPS, config_map("a", x="y" * 4_000_000), status=413)


async def test_bodies_nested_too_deeply_are_refused(api: Api) -> None:
    deep = b'{"metadata":{"name":"a"},"data":' + b'{"x":' * 2000 + b"1" + b"}" * 2001
    await api.create(CONFIG_MAPS, deep, status=400)
    for depth in (500, 900, 1000):
        deep = b'{"metadata":{"name":"a"},"data":' + b'{"x":' * depth + b"null" + b"}" * (depth + 1)
        reply = await api.raw("POST", CONFIG_MAPS, deep)
        assert reply.status in (400, 422), reply.body


async def test_who_may_not_gets_403_that_says_why(api: Api) -> None:
    nobody = Api(api.core, User("jane", ("dev",)))
    error = await nobody.create(CONFIG_MAPS, config_map("a"), status=403)
    assert error["reason"] == "Forbidden"
    assert (
        'User "jane" cannot create resource "configmaps" in API group "" in the namespace "default"'
        in error["message"]
    )
    error = await nobody.get(f"{PODS}/x/log", status=403)
    assert 'resource "pods/log"' in error["message"]


async def test_a_method_without_meaning_is_not_allowed(api: Api) -> None:
    error = await api.ask("PUT", CONFIG_MAPS, {}, status=405)
    assert error["reason"] == "MethodNotAllowed"
    await api.ask("POST", f"{CONFIG_MAPS}/a", {}, status=405)
