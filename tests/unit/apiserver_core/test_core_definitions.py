from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.apiserver_core.kit import STRATEGIC, Api, serving

pytestmark = pytest.mark.anyio

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def definition(**changes: Any) -> dict[str, Any]:
    properties = {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "colour": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                "replicas": {"type": "integer"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
        "status": {"type": "object", "properties": {"ready": {"type": "integer"}}},
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.ready"},
        },
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    }
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [version],
    }
    return {"metadata": {"name": "widgets.example.com"}, "spec": spec | changes}


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 1} | spec,
    }


def conditions(crd: Any) -> dict[str, str]:
    return {one["type"]: one["status"] for one in crd["status"]["conditions"]}


async def test_a_definition_serves_at_once(api: Api) -> None:
    await api.get(WIDGETS, status=404)
    before = api.core.registry.generation
    made = await api.create(CRDS, definition())
    assert conditions(made) == {"NamesAccepted": "True", "Established": "True"}
    assert made["status"]["storedVersions"] == ["v1"]
    assert made["status"]["acceptedNames"]["listKind"] == "WidgetList"
    assert api.core.registry.generation > before
    listed = await api.get(WIDGETS)
    assert (listed["kind"], listed["items"]) == ("WidgetList", [])


async def test_instances_are_checked_pruned_and_defaulted(api: Api) -> None:
    await api.create(CRDS, definition())
    made = await api.create(WIDGETS, widget("a", junk=1, free={"any": "thing"}))
    assert made["spec"] == {"size": 1, "colour": "red", "free": {"any": "thing"}}
    error = await api.create(WIDGETS, widget("b", size=0), status=422)
    assert error["details"]["causes"][0]["field"] == "spec.size"
    assert error["message"].startswith('Widget.example.com "b" is invalid')
    error = await api.create(WIDGETS, widget("b", junk=1), status=400, fieldValidation="Strict")
    assert 'unknown field "spec.junk"' in error["message"]
    error = await api.patch(f"{WIDGETS}/a", {"spec": {"colour": "green"}}, status=422)
    assert error["details"]["causes"][0]["field"] == "spec.colour"


async def test_status_and_scale_of_instances(api: Api) -> None:
    await api.create(CRDS, definition())
    made = await api.create(WIDGETS, widget("a", replicas=2) | {"status": {"ready": 9}})
    assert "status" not in made
    changed = await api.patch(
        f"{WIDGETS}/a/status",
        {"status": {"ready": 1}, "metadata": {"labels": {"x": "y"}}, "spec": {"size": 5}},
    )
    assert changed["status"] == {"ready": 1}
    assert changed["spec"]["size"] == 1
    assert "labels" not in changed["metadata"]
    assert changed["metadata"]["generation"] == 1
    scale = await api.get(f"{WIDGETS}/a/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 1})
    await api.patch(f"{WIDGETS}/a/scale", {"spec": {"replicas": 4}})
    assert (await api.get(f"{WIDGETS}/a"))["spec"]["replicas"] == 4


async def test_a_strategic_patch_of_a_custom_resource_is_refused(api: Api) -> None:
    await api.create(CRDS, definition())
    await api.create(WIDGETS, widget("a"))
    error = await api.patch(f"{WIDGETS}/a", {"spec": {"size": 2}}, STRATEGIC, status=415)
    assert "application/merge-patch+json" in error["message"]


async def test_columns_come_from_the_definition(api: Api) -> None:
    await api.create(CRDS, definition())
    await api.create(WIDGETS, widget("a", size=7))
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = orjson.loads((await api.raw("GET", WIDGETS, headers=accept)).body)
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Size"]
    assert table["rows"][0]["cells"] == ["a", 7]


async def test_versions_share_one_storage(api: Api) -> None:
    crd = definition()
    old = crd["spec"]["versions"][0]
    crd["spec"]["versions"] = [old | {"storage": False}, old | {"name": "v2"}]
    await api.create(CRDS, crd)
    await api.create(WIDGETS, widget("a"))
    newer = WIDGETS.replace("/v1/", "/v2/")
    seen = await api.get(f"{newer}/a")
    assert seen["apiVersion"] == "example.com/v2"
    assert (await api.get(WIDGETS))["items"][0]["apiVersion"] == "example.com/v1"
    async with api.watch(newer) as lines:
        assert (await lines.next())["object"]["apiVersion"] == "example.com/v2"
        await api.patch(f"{WIDGETS}/a", {"spec": {"size": 2}})
        event = await lines.next()
        assert (event["type"], event["object"]["apiVersion"]) == ("MODIFIED", "example.com/v2")
    stored = await api.core.store.get("/example.com/widgets/default/a")
    assert stored is not None
    assert stored.value.startswith(b'{"apiVersion":"example.com/v2"')


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"group": "other.com"}, "metadata.name"),
        ({"scope": "Galaxy"}, "spec.scope"),
        ({"versions": []}, "spec.versions"),
        ({"conversion": {"strategy": "Odd"}}, "spec.conversion.strategy"),
        (
            {"versions": [{"name": "v1", "served": True, "storage": True}]},
            "spec.versions[0].schema.openAPIV3Schema",
        ),
        (
            {
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}
                        },
                    }
                ]
            },
            "spec.validation.openAPIV3Schema.properties[spec].type",
        ),
    ],
)
async def test_wrong_definitions_are_invalid(api: Api, changes: dict[str, Any], field: str) -> None:
    error = await api.create(CRDS, definition(**changes), status=422)
    assert field in [cause["field"] for cause in error["details"]["causes"]]


async def test_names_in_use_are_not_accepted(api: Api) -> None:
    await api.create(CRDS, definition())
    other = definition(names={"plural": "gadgets", "kind": "Gadget", "shortNames": ["wd"]})
    other["metadata"]["name"] = "gadgets.example.com"
    made = await api.create(CRDS, other)
    assert conditions(made) == {"NamesAccepted": "False", "Established": "False"}
    await api.get(WIDGETS.replace("widgets", "gadgets"), status=404)


async def test_a_definition_of_what_is_built_in_changes_nothing(api: Api) -> None:
    crd = definition(
        group="platform.example.com", names={"plural": "microservices", "kind": "MicroService"}
    )
    crd["metadata"]["name"] = "microservices.platform.example.com"
    made = await api.create(CRDS, crd)
    assert conditions(made)["Established"] == "True"
    path = "/apis/platform.example.com/v1/namespaces/default/microservices"
    body = {"metadata": {"name": "m"}, "spec": {"version": "1.0.0"}}
    await api.create(path, body)
    await api.delete(f"{CRDS}/microservices.platform.example.com")
    await api.get(f"{CRDS}/microservices.platform.example.com", status=404)
    assert (await api.get(f"{path}/m"))["spec"]["version"] == "1.0.0"


async def test_deleting_a_definition_removes_its_instances(api: Api) -> None:
    await api.create(CRDS, definition())
    for name in "abc":
        await api.create(WIDGETS, widget(name))
    await api.delete(f"{CRDS}/widgets.example.com")
    await api.get(f"{CRDS}/widgets.example.com", status=404)
    await api.get(WIDGETS, status=404)
    await api.create(CRDS, definition())
    assert (await api.get(WIDGETS))["items"] == []


async def test_a_definition_waits_for_instances_with_finalizers(api: Api) -> None:
    await api.create(CRDS, definition())
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(WIDGETS, held)
    await api.delete(f"{CRDS}/widgets.example.com")
    crd = await api.get(f"{CRDS}/widgets.example.com")
    assert crd["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert conditions(crd)["Terminating"] == "True"
    error = await api.create(WIDGETS, widget("late"), status=405)
    assert "is terminating" in error["message"]
    await api.patch(f"{WIDGETS}/held", {"metadata": {"finalizers": []}})
    await api.get(f"{CRDS}/widgets.example.com", status=404)
    await api.get(WIDGETS, status=404)


async def test_definitions_and_instances_survive_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.create(CRDS, definition())
        await api.create(WIDGETS, widget("a"))
    async with serving(tmp_path) as api:
        assert (await api.get(f"{WIDGETS}/a"))["spec"]["size"] == 1


async def test_a_changed_definition_is_served_at_once(api: Api) -> None:
    made = await api.create(CRDS, definition())
    properties = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties["spec"]["properties"]["junk"] = {"type": "string"}
    await api.update(f"{CRDS}/widgets.example.com", made)
    assert (await api.create(WIDGETS, widget("a", junk="kept")))["spec"]["junk"] == "kept"
    changed = made | {"spec": made["spec"] | {"scope": "Cluster"}}
    version = (await api.get(f"{CRDS}/widgets.example.com"))["metadata"]["resourceVersion"]
    changed["metadata"] = {"name": "widgets.example.com", "resourceVersion": version}
    error = await api.update(f"{CRDS}/widgets.example.com", changed, status=422)
    assert error["details"]["causes"][0]["field"] == "spec.scope"


async def test_a_definition_of_a_built_in_kind_warns_that_it_has_no_effect(api: Api) -> None:
    body = definition(
        group="platform.example.com", names={"plural": "microservices", "kind": "MicroService"}
    )
    body["metadata"]["name"] = "microservices.platform.example.com"
    reply = await api.raw("POST", CRDS, body)
    assert reply.status == 201
    assert "served by the platform itself" in reply.headers["warning"]
    assert "warning" not in (await api.raw("POST", CRDS, definition())).headers
