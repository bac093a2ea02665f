from __future__ import annotations

import json

import pytest

from cloudwright._base.errors import UnreachableError
from cloudwright.client import errors
from cloudwright.client.client import Client
from cloudwright.model.resources import CONFIG_MAP, NODE, POD
from tests.unit.client.scripted import Scripted, bookmark, config_map, event, listed, status

pytestmark = pytest.mark.anyio


async def test_lists_are_read_page_by_page_and_items_get_their_kind() -> None:
    transport = Scripted(
        [listed(7, config_map("a", 1), token="next"), listed(7, config_map("b", 2))]
    )
    found = await Client(transport).list(CONFIG_MAP, label_selector="a=b")
    assert [item["metadata"]["name"] for item in found.items] == ["a", "b"]
    assert {item["kind"] for item in found.items} == {"ConfigMap"}
    assert found.resource_version == "7"
    assert dict(transport.asked[1].query)["continue"] == "next"
    assert all(dict(request.query)["labelSelector"] == "a=b" for request in transport.asked)


async def test_paths_namespaces_and_patch_types() -> None:
    transport = Scripted([{}] * 5)
    client = Client(transport, namespace="mine")
    await client.get(POD, "p")
    await client.get(NODE, "n")
    await client.patch(POD, "p", {"a": 1}, "other", kind="strategic", subresource="status")
    await client.create(CONFIG_MAP, config_map("a", 1), dry_run=True)
    await client.delete(POD, "p", grace_seconds=0, uid="u")
    paths = [(request.method, request.path) for request in transport.asked]
    assert paths == [
        ("GET", "/api/v1/namespaces/mine/pods/p"),
        ("GET", "/api/v1/nodes/n"),
        ("PATCH", "/api/v1/namespaces/other/pods/p/status"),
        ("POST", "/api/v1/namespaces/default/configmaps"),
        ("DELETE", "/api/v1/namespaces/mine/pods/p"),
    ]
    assert transport.asked[2].headers["content-type"] == "application/strategic-merge-patch+json"
    assert dict(transport.asked[3].query) == {"dryRun": "All"}
    options = json.loads(transport.asked[4].body)
    assert options["gracePeriodSeconds"] == 0
    assert options["preconditions"] == {"uid": "u"}


async def test_server_side_apply_names_its_manager() -> None:
    transport = Scripted([{}] * 2)
    client = Client(transport, namespace="mine")
    await client.apply_server_side(CONFIG_MAP, config_map("a", 1), field_manager="me")
    await client.apply_server_side(
        CONFIG_MAP, config_map("a", 1), field_manager="me", force=True, dry_run=True
    )
    first, second = transport.asked
    assert (first.method, first.path) == ("PATCH", "/api/v1/namespaces/default/configmaps/a")
    assert first.headers["content-type"] == "application/apply-patch+yaml"
    assert dict(first.query) == {"fieldManager": "me"}
    assert dict(second.query) == {"fieldManager": "me", "force": "true", "dryRun": "All"}


@pytest.mark.parametrize(
    ("code", "reason", "error", "exit_code"),
    [
        (400, "BadRequest", errors.Invalid, 2),
        (401, "Unauthorized", errors.Unauthorized, 5),
        (403, "Forbidden", errors.Forbidden, 5),
        (404, "NotFound", errors.NotFound, 3),
        (409, "Conflict", errors.Conflict, 7),
        (409, "AlreadyExists", errors.AlreadyExists, 7),
        (410, "Expired", errors.Expired, 1),
        (422, "Invalid", errors.Invalid, 2),
        (429, "TooManyRequests", errors.TooManyRequests, 1),
        (500, "InternalError", errors.ApiError, 1),
    ],
)
async def test_refusals_are_typed(
    code: int, reason: str, error: type[errors.ApiError], exit_code: int
) -> None:
    causes = [{"field": "spec.x", "reason": "FieldValueRequired", "message": "Required value"}]
    body = status(code, reason, details={"causes": causes})
    with pytest.raises(error) as caught:
        await Client(Scripted([body])).get(POD, "p")
    assert type(caught.value) is error
    assert caught.value.exit_code == exit_code
    assert caught.value.http_status == code
    assert caught.value.causes == causes
    assert caught.value.status["reason"] == reason


def test_an_answer_that_is_no_status_is_still_an_error() -> None:
    error = errors.from_reply(502, b"<html>bad gateway")
    assert error.http_status == 502
    assert error.message == "<html>bad gateway"
    assert errors.from_reply(404, b"").message == "HTTP 404"
    assert isinstance(errors.from_reply(404, b"[]"), errors.NotFound)


async def test_a_missing_object_may_be_deleted() -> None:
    assert await Client(Scripted([status(404)])).delete(POD, "p", missing_ok=True) is None
    with pytest.raises(errors.NotFound):
        await Client(Scripted([status(404)])).delete(POD, "p")


async def test_create_or_update_survives_a_race() -> None:
    made = config_map("a", 1)
    transport = Scripted([status(404), status(409, "Conflict"), made])
    assert await Client(transport).create_or_update(CONFIG_MAP, made) == made
    assert [request.method for request in transport.asked] == ["PATCH", "POST", "PATCH"]


async def test_watch_events_may_be_cut_anywhere() -> None:
    whole = event("ADDED", config_map("a", 1)) + bookmark(9) + event("DELETED", config_map("a", 10))
    for size in (1, 7, len(whole)):
        chunks = [whole[i : i + size] for i in range(0, len(whole), size)]
        transport = Scripted(streams=[chunks])
        found = [e async for e in Client(transport).watch(CONFIG_MAP, resource_version="5")]
        assert [e.type for e in found] == ["ADDED", "BOOKMARK", "DELETED"]
        query = dict(transport.watched[0].query)
        assert query["resourceVersion"] == "5"
        assert query["allowWatchBookmarks"] == "true"


async def test_a_watch_that_breaks_off_within_an_event_is_unreachable() -> None:
    half = event("ADDED", config_map("a", 1))[:30]
    with pytest.raises(UnreachableError, match="in the middle of an event"):
        async for _ in Client(Scripted(streams=[[half]])).watch(CONFIG_MAP):
            pass


async def test_a_watch_may_be_refused_at_once_or_later() -> None:
    gone = status(410, "Expired")
    with pytest.raises(errors.Expired):
        async for _ in Client(Scripted(streams=[[event("ERROR", gone)]])).watch(CONFIG_MAP):
            pass
    transport = Scripted(streams=[[json.dumps(gone).encode()]], stream_status=410)
    with pytest.raises(errors.Expired):
        async for _ in Client(transport).watch(CONFIG_MAP):
            pass


async def test_the_version_and_closing() -> None:
    transport = Scripted([{"gitVersion": "v1"}])
    client = Client(transport)
    assert await client.server_version() == {"gitVersion": "v1"}
    await client.aclose()
    assert transport.closed
