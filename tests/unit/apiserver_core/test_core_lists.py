from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from cloudwright._base.clock import ManualClock
from tests.unit.apiserver_core.kit import CONFIG_MAPS, PODS, Api, config_map, pod, serving

pytestmark = pytest.mark.anyio

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
PARTIAL = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}


def names(listed: Any) -> list[str]:
    return [one["metadata"]["name"] for one in listed["items"]]


async def some(api: Api, count: int) -> None:
    for index in range(count):
        body = config_map(f"c{index}", x=str(index))
        body["metadata"]["labels"] = {"parity": "even" if index % 2 == 0 else "odd"}
        await api.create(CONFIG_MAPS, body)


async def test_a_list_says_its_kind_and_revision(api: Api) -> None:
    await some(api, 2)
    listed = await api.get(CONFIG_MAPS)
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert listed["metadata"] == {"resourceVersion": str(api.core.store.revision)}
    assert names(listed) == ["c0", "c1"]
    assert (await api.get("/api/v1/namespaces/kube-system/configmaps"))["items"] == []
    assert names(await api.get("/api/v1/configmaps")) == ["c0", "c1"]


async def test_pages_show_one_moment_whatever_happens_between(api: Api) -> None:
    await some(api, 5)
    first = await api.get(CONFIG_MAPS, limit=2)
    assert names(first) == ["c0", "c1"]
    assert first["metadata"]["remainingItemCount"] == 3
    await api.delete(f"{CONFIG_MAPS}/c3")
    await api.create(CONFIG_MAPS, config_map("c31"))
    await api.patch(f"{CONFIG_MAPS}/c2", {"data": {"x": "new"}})
    second = await api.get(CONFIG_MAPS, limit=2, continue_=first["metadata"]["continue"])
    assert names(second) == ["c2", "c3"]
    assert second["items"][0]["data"] == {"x": "2"}
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = await api.get(CONFIG_MAPS, limit=2, continue_=second["metadata"]["continue"])
    assert names(third) == ["c4"]
    assert "continue" not in third["metadata"]


async def test_pages_of_selected_objects_are_full(api: Api) -> None:
    await some(api, 7)
    first = await api.get(CONFIG_MAPS, limit=2, labelSelector="parity=even")
    assert names(first) == ["c0", "c2"]
    token = first["metadata"]["continue"]
    second = await api.get(CONFIG_MAPS, limit=2, labelSelector="parity=even", continue_=token)
    assert names(second) == ["c4", "c6"]
    assert "remainingItemCount" not in first["metadata"]


async def test_a_token_outlived_by_compaction_is_expired(tmp_path: Path) -> None:
    clock = ManualClock()
    async with serving(tmp_path, clock=clock) as api:
        await some(api, 5)
        first = await api.get(CONFIG_MAPS, limit=2)
        await some_change(api)
        clock.advance(1000)
        await api.core.store.compact()  # type: ignore[attr-defined]
        token = first["metadata"]["continue"]
        error = await api.get(CONFIG_MAPS, limit=2, continue_=token, status=410)
        assert error["reason"] == "Expired"
        assert "continue parameter is too old" in error["message"]


async def some_change(api: Api) -> None:
    for index in range(3):
        await api.patch(f"{CONFIG_MAPS}/c0", {"data": {"y": str(index)}})


async def test_a_list_at_an_exact_revision(api: Api) -> None:
    await some(api, 2)
    then = api.core.store.revision
    await api.delete(f"{CONFIG_MAPS}/c0")
    exact = {"resourceVersion": then, "resourceVersionMatch": "Exact"}
    assert names(await api.get(CONFIG_MAPS, **exact)) == ["c0", "c1"]
    for match in ("NotOlderThan", ""):
        listed = await api.get(CONFIG_MAPS, resourceVersion=then, resourceVersionMatch=match)
        assert names(listed) == ["c1"]
    assert names(await api.get(CONFIG_MAPS, resourceVersion=0)) == ["c1"]


@pytest.mark.parametrize(
    "query",
    [
        {"resourceVersion": "abc"},
        {"limit": "x"},
        {"continue_": "!!!"},
        {"continue_": "e30"},
        {"labelSelector": "a in"},
        {"fieldSelector": "spec.color=red"},
        {"fieldSelector": "metadata.name"},
    ],
)
async def test_nonsense_is_a_bad_request(api: Api, query: dict[str, str]) -> None:
    error = await api.get(CONFIG_MAPS, status=400, **query)
    assert error["reason"] == "BadRequest"


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"resourceVersionMatch": "Exact"}, "resourceVersionMatch"),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, "resourceVersionMatch"),
        ({"resourceVersionMatch": "Older", "resourceVersion": "3"}, "resourceVersionMatch"),
        ({"sendInitialEvents": "true"}, "sendInitialEvents"),
    ],
)
async def test_parameters_that_do_not_go_together(
    api: Api, query: dict[str, str], wrong: str
) -> None:
    error = await api.get(CONFIG_MAPS, status=422, **query)
    assert [cause["field"] for cause in error["details"]["causes"]] == [wrong]


async def test_items_of_built_in_lists_do_not_repeat_their_kind(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a", x="y"))
    listed = await api.get(CONFIG_MAPS)
    assert [list(item) for item in listed["items"]] == [["metadata", "data"]]


async def test_field_selectors(api: Api) -> None:
    for name, node in (("a", "n1"), ("b", "n2")):
        await api.create(PODS, pod(name, nodeName=node))
    await api.patch(f"{PODS}/b/status", {"status": {"phase": "Running"}})
    assert names(await api.get(PODS, fieldSelector="spec.nodeName=n1")) == ["a"]
    assert names(await api.get(PODS, fieldSelector="status.phase=Running")) == ["b"]
    assert names(await api.get(PODS, fieldSelector="metadata.name=a")) == ["a"]
    assert names(await api.get(PODS, fieldSelector="metadata.name=nope")) == []
    everywhere = "metadata.name=a,metadata.namespace=default"
    assert names(await api.get("/api/v1/pods", fieldSelector=everywhere)) == ["a"]
    assert names(await api.get(PODS, fieldSelector="metadata.name=a,spec.nodeName=n2")) == []


async def test_tables_have_a_row_each(api: Api) -> None:
    await some(api, 2)
    reply = await api.raw("GET", CONFIG_MAPS, headers=TABLE)
    table = orjson.loads(reply.body)
    assert table["kind"] == "Table"
    assert [row["cells"][0] for row in table["rows"]] == ["c0", "c1"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert "data" not in table["rows"][0]["object"]
    assert table["metadata"]["resourceVersion"] == str(api.core.store.revision)
    one = orjson.loads((await api.raw("GET", f"{CONFIG_MAPS}/c1", headers=TABLE)).body)
    assert [row["cells"][0] for row in one["rows"]] == ["c1"]
    whole = await api.raw("GET", CONFIG_MAPS, headers=TABLE, includeObject="Object")
    assert orjson.loads(whole.body)["rows"][0]["object"]["data"] == {"x": "0"}
    none = await api.raw("GET", CONFIG_MAPS, headers=TABLE, includeObject="None")
    assert orjson.loads(none.body)["rows"][0]["object"] is None


async def test_metadata_only(api: Api) -> None:
    await some(api, 1)
    listed = orjson.loads((await api.raw("GET", CONFIG_MAPS, headers=PARTIAL)).body)
    assert listed["kind"] == "PartialObjectMetadataList"
    assert set(listed["items"][0]) == {"kind", "apiVersion", "metadata"}
    kind = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    one = orjson.loads((await api.raw("GET", f"{CONFIG_MAPS}/c0", headers={"accept": kind})).body)
    assert one["kind"] == "PartialObjectMetadata"


async def test_events_have_two_faces_on_one_storage(api: Api) -> None:
    core, new = (
        "/api/v1/namespaces/default/events",
        "/apis/events.k8s.io/v1/namespaces/default/events",
    )
    about = {"kind": "Pod", "name": "a", "namespace": "default"}
    old_style = {
        "metadata": {"name": "e1"},
        "involvedObject": about,
        "reason": "Started",
        "message": "it runs",
        "type": "Normal",
        "source": {"component": "node"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "count": 2,
    }
    await api.create(core, old_style)
    seen = await api.get(f"{new}/e1")
    assert seen["apiVersion"] == "events.k8s.io/v1"
    assert (seen["regarding"], seen["note"]) == (about, "it runs")
    assert seen["deprecatedSource"] == {"component": "node"}
    new_style = {
        "metadata": {"name": "e2"},
        "regarding": about | {"name": "b"},
        "note": "gone",
        "reason": "Killed",
        "type": "Warning",
        "action": "Killing",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "node",
        "reportingInstance": "n1",
    }
    await api.create(new, new_style)
    listed = await api.get(core, fieldSelector="involvedObject.name=b,type=Warning")
    assert [one["message"] for one in listed["items"]] == ["gone"]
    assert "apiVersion" not in listed["items"][0]
    assert names(await api.get(core, fieldSelector="source=node")) == ["e1"]
    assert names(await api.get(new)) == ["e1", "e2"]
