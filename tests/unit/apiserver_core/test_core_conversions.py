"""Several versions of a definition: converted by name only, and by a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from cloudwright.apiserver.webhooks.errors import WebhookError
from tests.unit.apiserver_core.kit import Api

pytestmark = pytest.mark.anyio

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROOT = "/apis/example.com/{}/namespaces/default/boxes"
CONFIG = {"url": "https://localhost:1/convert"}


def version(name: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": properties}
    schema = {"type": "object", "properties": {"spec": spec}}
    return {"name": name, "served": True, "schema": {"openAPIV3Schema": schema}} | more


def definition(hook: bool, **changes: Any) -> dict[str, Any]:
    text = {"type": "string"}
    spec: dict[str, Any] = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "boxes", "kind": "Box"},
        "versions": [
            version("v1", {"size": text, "old": text}, storage=True),
            version("v2", {"width": text, "height": text, "size": text}, storage=False),
        ],
    }
    if hook:
        webhook = {"conversionReviewVersions": ["v1"], "clientConfig": CONFIG}
        spec["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    return {"metadata": {"name": "boxes.example.com"}, "spec": spec | changes}


def box(api_version: str, name: str, **spec: Any) -> dict[str, Any]:
    found = {"apiVersion": f"example.com/{api_version}", "kind": "Box", "spec": spec}
    return found | {"metadata": {"name": name}}


class Hook:
    """A webhook that splits and joins ``size``, and counts what it is asked."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fault: Any = None

    async def __call__(self, config: Mapping[str, Any], body: bytes) -> bytes:
        assert config == CONFIG
        request = orjson.loads(body)["request"]
        if isinstance(self.fault, str):
            raise WebhookError(self.fault)
        self.batches.append(len(request["objects"]))
        wanted = request["desiredAPIVersion"]
        found = [self.convert(obj, wanted) for obj in request["objects"]]
        response = {"uid": request["uid"], "result": {"status": "Success"}}
        response |= {"convertedObjects": found} | (self.fault or {})
        return orjson.dumps({"response": response})

    @staticmethod
    def convert(obj: dict[str, Any], wanted: str) -> dict[str, Any]:
        spec = obj["spec"]
        if wanted.endswith("v2"):
            width, _, height = spec.get("size", "").partition("x")
            spec = {"width": width, "height": height}
        else:
            spec = {"size": f"{spec['width']}x{spec['height']}"}
        return {**obj, "apiVersion": wanted, "spec": spec}


async def test_without_a_webhook_only_the_version_changes(api: Api) -> None:
    await api.create(CRDS, definition(False))
    await api.create(ROOT.format("v1"), box("v1", "a", size="1x2", old="y"))
    found = await api.get(ROOT.format("v2") + "/a")
    assert (found["apiVersion"], found["spec"]) == ("example.com/v2", {"size": "1x2"})
    listed = await api.get(ROOT.format("v2"))
    assert [one["spec"] for one in listed["items"]] == [{"size": "1x2"}]
    assert (await api.get(ROOT.format("v1") + "/a"))["spec"] == {"size": "1x2", "old": "y"}


async def test_a_webhook_converts_reads_and_writes(api: Api) -> None:
    hook = Hook()
    api.core.conversions.post = hook
    await api.create(CRDS, definition(True))
    made = await api.create(ROOT.format("v2"), box("v2", "a", width="3", height="4"))
    assert made["spec"] == {"width": "3", "height": "4"}
    assert (await api.get(ROOT.format("v1") + "/a"))["spec"] == {"size": "3x4"}
    patched = await api.patch(ROOT.format("v2") + "/a", {"spec": {"width": "9"}})
    assert patched["spec"] == {"width": "9", "height": "4"}
    assert patched["metadata"]["generation"] == 2
    assert (await api.get(ROOT.format("v1") + "/a"))["spec"] == {"size": "9x4"}
    stored = [one["metadata"]["uid"] for one in (await api.get(ROOT.format("v1")))["items"]]
    assert stored == [made["metadata"]["uid"]]


async def test_lists_are_converted_in_one_batch(api: Api) -> None:
    hook = Hook()
    api.core.conversions.post = hook
    await api.create(CRDS, definition(True))
    for number in range(5):
        await api.create(ROOT.format("v1"), box("v1", f"b{number}", size=f"{number}x1"))
    hook.batches.clear()
    listed = await api.get(ROOT.format("v2"))
    assert [one["spec"]["width"] for one in listed["items"]] == ["0", "1", "2", "3", "4"]
    assert hook.batches == [5]
    await api.get(ROOT.format("v2"))
    assert hook.batches == [5], "what did not change is not asked for again"


async def test_watches_see_converted_objects(api: Api) -> None:
    api.core.conversions.post = Hook()
    await api.create(CRDS, definition(True))
    await api.create(ROOT.format("v1"), box("v1", "a", size="1x2"))
    async with api.watch(ROOT.format("v2")) as lines:
        first = await lines.next()
        assert (first["type"], first["object"]["spec"]["width"]) == ("ADDED", "1")
        await api.patch(ROOT.format("v1") + "/a", {"spec": {"size": "5x6"}})
        second = await lines.next()
        assert (second["type"], second["object"]["spec"]["width"]) == ("MODIFIED", "5")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("connection refused", "connection refused"),
        ({"result": {"status": "Failed", "message": "no way"}}, "no way"),
        ({"uid": "other"}, "expected response.uid="),
        ({"convertedObjects": []}, "returned 0 objects, expected 1"),
        ({"convertedObjects": [{"apiVersion": "example.com/v9"}]}, "invalid groupVersion"),
    ],
)
async def test_a_failing_webhook_is_told(api: Api, fault: Any, message: str) -> None:
    hook = Hook()
    api.core.conversions.post = hook
    await api.create(CRDS, definition(True))
    await api.create(ROOT.format("v1"), box("v1", "a", size="1x2"))
    hook.fault = fault
    for path in (ROOT.format("v2"), ROOT.format("v2") + "/a"):
        error = await api.get(path, status=500)
        assert message in error["message"]
        assert "conversion webhook for example.com/v1, Kind=Box failed" in error["message"]
    assert (await api.get(ROOT.format("v1") + "/a"))["spec"] == {"size": "1x2"}
    hook.fault = None
    assert (await api.get(ROOT.format("v2") + "/a"))["spec"]["width"] == "1"


async def test_the_storage_version_changes_and_both_are_remembered(api: Api) -> None:
    await api.create(CRDS, definition(False))
    await api.create(ROOT.format("v1"), box("v1", "a", size="1x2"))
    crd = await api.get(f"{CRDS}/boxes.example.com")
    for one in crd["spec"]["versions"]:
        one["storage"] = one["name"] == "v2"
    await api.update(f"{CRDS}/boxes.example.com", crd)
    found = await api.get(f"{CRDS}/boxes.example.com")
    assert found["status"]["storedVersions"] == ["v1", "v2"]
    assert (await api.get(ROOT.format("v2") + "/a"))["spec"] == {"size": "1x2"}
    await api.create(ROOT.format("v1"), box("v1", "b", size="2x2"))
    assert (await api.get(ROOT.format("v1") + "/b"))["apiVersion"] == "example.com/v1"
    found["spec"]["versions"] = [one for one in found["spec"]["versions"] if one["name"] == "v2"]
    error = await api.update(f"{CRDS}/boxes.example.com", found, status=422)
    assert "v1 was previously a storage version" in error["message"]


async def test_versions_that_are_not_served_are_not_found(api: Api) -> None:
    crd = definition(False)
    crd["spec"]["versions"][1]["served"] = False
    await api.create(CRDS, crd)
    await api.get(ROOT.format("v2"), status=404)
    await api.get(ROOT.format("v1"))


async def test_deprecated_versions_warn(api: Api) -> None:
    crd = definition(False)
    crd["spec"]["versions"][0] |= {"deprecated": True, "deprecationWarning": "use v2"}
    crd["spec"]["versions"][1] |= {"deprecated": True}
    await api.create(CRDS, crd)
    created = await api.raw("POST", ROOT.format("v1"), box("v1", "a", size="1"))
    assert created.headers["warning"] == '299 - "use v2"'
    listed = await api.raw("GET", ROOT.format("v2"))
    assert listed.headers["warning"] == '299 - "example.com/v2 Box is deprecated"'


async def test_taken_names_wait_until_they_are_free(api: Api) -> None:
    first, second = definition(False), definition(False)
    first["spec"]["names"]["shortNames"] = ["bx"]
    second["metadata"]["name"] = "bags.example.com"
    second["spec"]["names"] = {"plural": "bags", "kind": "Box", "shortNames": ["bx", "bg"]}
    await api.create(CRDS, first)
    made = await api.create(CRDS, second)
    states = {one["type"]: (one["status"], one["reason"]) for one in made["status"]["conditions"]}
    assert states == {
        "NamesAccepted": ("False", "ListKindConflict"),
        "Established": ("False", "NotAccepted"),
    }
    assert made["status"]["acceptedNames"] == {"plural": "bags", "singular": "box", "kind": ""} or (
        made["status"]["acceptedNames"] == {"plural": "bags", "kind": ""}
    )
    bags = "/apis/example.com/v1/namespaces/default/bags"
    await api.get(bags, status=404)
    await api.delete(f"{CRDS}/boxes.example.com")
    await api.get(f"{CRDS}/boxes.example.com", status=404)
    found = await api.get(f"{CRDS}/bags.example.com")
    states = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    assert states == {"NamesAccepted": "True", "Established": "True"}
    assert found["status"]["acceptedNames"]["shortNames"] == ["bx", "bg"]
    assert (await api.get(bags))["items"] == []


async def test_an_operator_may_forget_an_old_storage_version(api: Api) -> None:
    crd = definition(False)
    await api.create(CRDS, crd)
    path = f"{CRDS}/boxes.example.com"
    found = await api.get(path)
    for one in found["spec"]["versions"]:
        one["storage"] = one["name"] == "v2"
    await api.update(path, found)
    await api.patch(f"{path}/status", {"status": {"storedVersions": ["v2"]}})
    found = await api.get(path)
    assert found["status"]["storedVersions"] == ["v2"]
    found["spec"]["versions"] = [one for one in found["spec"]["versions"] if one["name"] == "v2"]
    await api.update(path, found)
    await api.get(ROOT.format("v1"), status=404)
