"""Server-side apply and the owners of fields, as kube-apiserver tells them."""

from __future__ import annotations

from typing import Any

import pytest

from cloudwright.model.objects import Object
from tests.unit.apiserver_core.kit import Api, config_map, deployment

pytestmark = pytest.mark.anyio

APPLY = "application/apply-patch+yaml"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def applied(name: str, **data: str) -> Object:
    """A ConfigMap as somebody applies it."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def owners(obj: Object) -> dict[str, Any]:
    """``manager/operation[/subresource]`` → its fields."""
    found = {}
    for entry in obj["metadata"].get("managedFields", []):
        parts = [entry["manager"], entry["operation"], entry.get("subresource", "")]
        found["/".join(part for part in parts if part)] = entry["fieldsV1"]
    return found


async def test_a_new_object_belongs_to_who_made_it(api: Api) -> None:
    headers = {"user-agent": "kubectl/v1.36.0 (linux/amd64)"}
    made = await api.create(CONFIG_MAPS, config_map("a", x="1"), headers=headers)
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "kubectl",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {".": {}, "f:x": {}}},
        }
    ]
    named = await api.create(CONFIG_MAPS, config_map("b", x="1"), fieldManager="me")
    assert list(owners(named)) == ["me/Update"]


async def test_defaults_belong_to_the_creator_and_structs_to_nobody(api: Api) -> None:
    made = await api.create(DEPLOYMENTS, deployment("web"), fieldManager="me")
    spec = owners(made)["me/Update"]["f:spec"]
    assert "." not in spec
    assert spec["f:replicas"] == {}
    assert spec["f:strategy"]["f:rollingUpdate"] == {
        ".": {},
        "f:maxSurge": {},
        "f:maxUnavailable": {},
    }
    app = spec["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert {".", "f:image", "f:name", "f:imagePullPolicy", "f:resources"} <= set(app)


async def test_apply_makes_what_is_not_there(api: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    reply = await api.raw(
        "PATCH", path, applied("a", x="1"), headers={"content-type": APPLY}, fieldManager="me"
    )
    assert reply.status == 201
    again = await api.patch(path, applied("a", x="1"), APPLY, fieldManager="me")
    assert again == await api.get(path)
    assert owners(again) == {"me/Apply": {"f:data": {"f:x": {}}}}


async def test_applying_the_same_again_writes_nothing(api: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    made = await api.patch(path, applied("a", x="1"), APPLY, status=201, fieldManager="me")
    before = api.core.store.revision
    assert await api.patch(path, applied("a", x="1"), APPLY, fieldManager="me") == made
    assert api.core.store.revision == before


async def test_yaml_is_applied(api: Api) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: 'y'\n"
    made = await api.patch(f"{CONFIG_MAPS}/a", text, APPLY, status=201, fieldManager="me")
    assert made["data"] == {"x": "y"}
    twice = text + b"  x: 'z'\n"
    ask = {"fieldManager": "me", "fieldValidation": "Strict"}
    error = await api.patch(f"{CONFIG_MAPS}/a", twice, APPLY, status=400, **ask)
    assert 'line 6: key "x" already set in map' in error["message"]
    headers = {"content-type": APPLY}
    reply = await api.raw("PATCH", f"{CONFIG_MAPS}/a", twice, headers=headers, fieldManager="me")
    assert reply.headers["warning"] == '299 - "line 6: key \\"x\\" already set in map"'


async def test_what_the_applier_gives_up_is_removed(api: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    await api.patch(path, applied("a", x="1", y="2"), APPLY, status=201, fieldManager="me")
    await api.patch(path, {"data": {"z": "3"}}, fieldManager="other")
    left = await api.patch(path, applied("a", x="1"), APPLY, fieldManager="me")
    assert left["data"] == {"x": "1", "z": "3"}


async def test_what_another_applies_too_stays(api: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    for manager in ("me", "you"):
        await api.raw(
            "PATCH",
            path,
            applied("a", x="1", y="2"),
            headers={"content-type": APPLY},
            fieldManager=manager,
        )
    left = await api.patch(path, applied("a", x="1"), APPLY, fieldManager="me")
    assert left["data"] == {"x": "1", "y": "2"}
    assert owners(left)["you/Apply"] == {"f:data": {"f:x": {}, "f:y": {}}}


async def test_a_conflict_names_field_and_owner(api: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    await api.create(CONFIG_MAPS, config_map("a", x="1", y="1"), fieldManager="maker")
    error = await api.patch(path, applied("a", x="2"), APPLY, status=409, fieldManager="me")
    assert error["reason"] == "Conflict"
    assert error["message"] == (
        'Apply failed with 1 conflict: conflict with "maker" using v1: .data.x'
    )
    assert error["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "maker" using v1',
            "field": ".data.x",
        }
    ]
    error = await api.patch(path, applied("a", x="2", y="2"), APPLY, status=409, fieldManager="me")
    assert error["message"] == (
        'Apply failed with 2 conflicts: conflicts with "maker" using v1:\n- .data.x\n- .data.y'
    )
    forced = await api.patch(path, applied("a", x="2"), APPLY, fieldManager="me", force="true")
    assert forced["data"] == {"x": "2", "y": "1"}
    assert owners(forced) == {
        "me/Apply": {"f:data": {"f:x": {}}},
        "maker/Update": {"f:data": {".": {}, "f:y": {}}},
    }


async def test_keyed_lists_are_merged_by_their_keys(api: Api) -> None:
    path = f"{DEPLOYMENTS}/web"
    await api.create(DEPLOYMENTS, deployment("web"), fieldManager="maker")
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "template": {
                "spec": {"containers": [{"name": "app", "env": [{"name": "A", "value": "1"}]}]}
            }
        },
    }
    changed = await api.patch(path, patch, APPLY, fieldManager="me")
    (app,) = changed["spec"]["template"]["spec"]["containers"]
    assert app["env"] == [{"name": "A", "value": "1"}]
    assert app["image"]
    patch["spec"]["template"]["spec"]["containers"] = []
    changed = await api.patch(path, patch, APPLY, fieldManager="me")
    (app,) = changed["spec"]["template"]["spec"]["containers"]
    assert "env" not in app


@pytest.mark.parametrize(
    ("ask", "patch", "status", "text"),
    [
        ({}, {}, 422, "fieldManager: Required value: is required for apply patch"),
        ({"fieldManager": "x" * 129}, {}, 422, "fieldManager: Too long"),
        ({"fieldManager": "a\tb"}, {}, 422, "invalid character U+0009 (at position 1)"),
        ({"fieldManager": "me"}, {"kind": "Pod"}, 400, "invalid object type: /v1, Kind=Pod"),
        (
            {"fieldManager": "me"},
            {"metadata": {"name": "a", "managedFields": []}},
            400,
            "metadata.managedFields must be nil",
        ),
        ({"fieldManager": "me"}, {"metadata": {"name": "b"}}, 400, "does not match the name"),
        (
            {"fieldManager": "me"},
            {"dta": {}},
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): "
            ".dta: field not declared in schema",
        ),
        (
            {"fieldManager": "me"},
            {"metadata": {"name": "a", "uid": "gone"}},
            409,
            "uid mismatch: the provided object specified uid gone",
        ),
    ],
)
async def test_an_apply_that_is_not_one(
    api: Api, ask: dict[str, str], patch: Object, status: int, text: str
) -> None:
    body = {**applied("a", x="1"), **patch}
    error = await api.patch(f"{CONFIG_MAPS}/a", body, APPLY, status=status, **ask)
    assert text in error["message"]


async def test_force_is_for_apply_only(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    error = await api.patch(f"{CONFIG_MAPS}/a", {}, status=422, force="true")
    assert "force: Forbidden: may not be specified for non-apply patch" in error["message"]


async def test_a_client_may_reset_the_owners(api: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    made = await api.create(CONFIG_MAPS, config_map("a", x="1"), fieldManager="me")
    reset = await api.patch(path, {"metadata": {"managedFields": [{}]}}, fieldManager="you")
    assert "managedFields" not in reset["metadata"]
    # What is not tracked stays so, until somebody applies.
    changed = await api.patch(path, {"data": {"x": "2"}}, fieldManager="you")
    assert "managedFields" not in changed["metadata"]
    tracked = await api.patch(path, applied("a", y="1"), APPLY, fieldManager="me")
    assert set(owners(tracked)) == {"before-first-apply/Update", "me/Apply"}
    # A list that is none is not taken.
    broken = [{"manager": "x", "operation": "Steal", "apiVersion": "v1", "fieldsType": "FieldsV1"}]
    kept = await api.patch(path, {"metadata": {"managedFields": broken}}, fieldManager="me")
    assert set(owners(kept)) == {"before-first-apply/Update", "me/Apply"}
    assert made["metadata"]["uid"] == kept["metadata"]["uid"]


async def test_dry_run_applies_nothing(api: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    ask = {"fieldManager": "me", "dryRun": "All"}
    made = await api.patch(path, applied("a", x="1"), APPLY, status=201, **ask)
    assert owners(made) == {"me/Apply": {"f:data": {"f:x": {}}}}
    await api.get(path, status=404)


async def test_the_status_has_owners_of_its_own(api: Api) -> None:
    path = f"{DEPLOYMENTS}/web"
    await api.create(DEPLOYMENTS, deployment("web"), fieldManager="maker")
    status = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 7},
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    }
    found = await api.patch(f"{path}/status", status, APPLY, fieldManager="me")
    assert found["spec"]["replicas"] == 1
    entry = owners(found)["me/Apply/status"]
    key = 'k:{"type":"Available"}'
    assert entry == {"f:status": {"f:conditions": {key: {".": {}, "f:status": {}, "f:type": {}}}}}
    missing = status | {"metadata": {"name": "no"}}
    await api.patch(f"{DEPLOYMENTS}/no/status", missing, APPLY, status=404, fieldManager="me")


async def test_scaling_takes_the_replicas(api: Api) -> None:
    path = f"{DEPLOYMENTS}/web"
    await api.create(DEPLOYMENTS, deployment("web"), fieldManager="maker")
    await api.patch(f"{path}/scale", {"spec": {"replicas": 3}}, fieldManager="scaler")
    found = owners(await api.get(path))
    assert found["scaler/Update/scale"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in found["maker/Update"]["f:spec"]
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}}
    body = scale | {"spec": {"replicas": 5}}
    error = await api.patch(f"{path}/scale", body, APPLY, status=409, fieldManager="me")
    assert error["details"]["causes"][0]["field"] == ".spec.replicas"
    ask = {"fieldManager": "me", "force": "true"}
    assert (await api.patch(f"{path}/scale", body, APPLY, **ask))["spec"]["replicas"] == 5
    found = owners(await api.get(path))
    assert found["me/Apply/scale"] == {"f:spec": {"f:replicas": {}}}
    assert "scaler/Update/scale" not in found


async def test_kubectl_moves_from_client_side_to_server_side_apply(api: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    last = '{"apiVersion":"v1","data":{"x":"1"},"kind":"ConfigMap","metadata":{"name":"a"}}'
    annotation = "kubectl.kubernetes.io/last-applied-configuration"
    body = config_map("a", x="1")
    body["metadata"]["annotations"] = {annotation: last}
    await api.create(CONFIG_MAPS, body, fieldManager="kubectl-client-side-apply")
    # Any other manager would conflict.
    patch = applied("a", x="2<")
    await api.patch(path, patch, APPLY, status=409, fieldManager="me")
    moved = await api.patch(path, patch, APPLY, fieldManager="kubectl")
    assert moved["data"] == {"x": "2<"}
    noted = moved["metadata"]["annotations"][annotation]
    assert noted == (
        '{"apiVersion":"v1","data":{"x":"2\\u003c"},"kind":"ConfigMap","metadata":{"name":"a"}}\n'
    )


async def test_old_updaters_are_merged(api: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    await api.create(CONFIG_MAPS, config_map("a", x="1"), fieldManager="m00")
    for index in range(12):
        await api.patch(path, {"data": {f"k{index}": "v"}}, fieldManager=f"m{index + 1:02}")
    found = owners(await api.get(path))
    assert len(found) == 10
    assert "ancient-changes/Update" in found


async def test_owners_follow_through_other_versions(api: Api) -> None:
    root = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": target}
    body = {"metadata": {"name": "web"}, "spec": spec}
    await api.create(root.format("v2"), body, fieldManager="maker")
    patch = {"spec": {"maxReplicas": 5}}
    changed = await api.patch(root.format("v1") + "/web", patch, fieldManager="other")
    entries = {entry["manager"]: entry for entry in changed["metadata"]["managedFields"]}
    assert entries["maker"]["apiVersion"] == "autoscaling/v2"
    assert "f:maxReplicas" not in entries["maker"]["fieldsV1"]["f:spec"]
    assert "f:minReplicas" in entries["maker"]["fieldsV1"]["f:spec"]
    assert entries["other"]["apiVersion"] == "autoscaling/v1"
    assert entries["other"]["fieldsV1"] == {"f:spec": {"f:maxReplicas": {}}}
    mine = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"maxReplicas": 9},
    }
    error = await api.patch(root.format("v2") + "/web", mine, APPLY, status=409, fieldManager="me")
    assert error["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "other" using autoscaling/v1',
            "field": ".spec.maxReplicas",
        }
    ]


async def test_a_taken_generated_name_is_tried_eight_times(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloudwright.model import names

    tried: list[int] = []

    def made(prefix: str, _random: bytes) -> str:
        tried.append(1)
        return f"{prefix}same"

    monkeypatch.setattr(names, "generate_name", made)
    body = {"metadata": {"generateName": "x-"}}
    await api.create(CONFIG_MAPS, body)
    tried.clear()
    error = await api.create(CONFIG_MAPS, body, status=409)
    assert len(tried) == 8
    assert error["reason"] == "AlreadyExists"
    assert error["details"]["retryAfterSeconds"] == 1
    assert error["message"] == (
        'configmaps "x-same" already exists, the server was not able to generate a unique name '
        "for the object"
    )


async def test_a_new_object_has_no_version(api: Api) -> None:
    body = config_map("a")
    body["metadata"]["resourceVersion"] = "5"
    error = await api.create(CONFIG_MAPS, body, status=500)
    assert error["message"] == "resourceVersion should not be set on objects to be created"
    assert "reason" not in error


async def test_metadata_that_may_not_change(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    path = f"{CONFIG_MAPS}/a"
    error = await api.patch(path, {"metadata": {"uid": "other"}}, status=422)
    assert error["details"]["causes"][0]["field"] == "metadata.uid"
    error = await api.update(
        path, config_map("a") | {"metadata": {"name": "a", "uid": "other"}}, status=409
    )
    assert "Precondition failed: UID in precondition: other" in error["message"]
    same = await api.patch(path, {"metadata": {"creationTimestamp": None, "generation": 7}})
    assert same == made
    lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    await api.create(lease, {"metadata": {"name": "l"}, "spec": {}})
    error = await api.update(f"{lease}/l", {"metadata": {"name": "l"}, "spec": {}}, status=422)
    assert "metadata.resourceVersion: Invalid value: 0: must be specified" in error["message"]


async def test_repeated_owner_references_are_dropped(api: Api) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    body = config_map("a")
    body["metadata"]["ownerReferences"] = [owner, owner]
    reply = await api.raw("POST", CONFIG_MAPS, body)
    assert "duplicate UID(s) observed: u" in reply.headers["warning"]
    assert (await api.get(f"{CONFIG_MAPS}/a"))["metadata"]["ownerReferences"] == [owner]
