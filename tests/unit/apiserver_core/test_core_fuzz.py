"""Whatever is asked, the answer is an answer: never an internal error, never half a write."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudwright.apiserver.replies import StreamReply
from cloudwright.client.transport import Request
from cloudwright.model.resources import BUILT_IN
from tests.unit.apiserver_core.kit import (
    ADMIN,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Api,
    config_map,
    deployment,
    pod,
    serving,
)
from tests.unit.apiserver_core.test_core_definitions import definition, widget

SCALARS = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        3,
        1.5,
        2**40,
        "",
        "a",
        "x" * 70,
        "a/b",
        "None",
        "2026-01-01T00:00:00Z",
        "é",
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "spec", "a", "$patch"]), inner, max_size=2)
    ),
    max_leaves=4,
)
SEEDS: list[dict[str, Any]] = [
    config_map("a", x="1"),
    pod("a"),
    deployment("a"),
    definition(),
    widget("a"),
    {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}], "clusterIP": "10.96.0.5"}},
    {"metadata": {"name": "a"}, "spec": {"version": "1.0.0", "replicas": 1}},
    {"metadata": {"name": "a"}, "spec": {"finalizers": []}},
    {"target": {"name": "here"}, "metadata": {"name": "a"}},
    {"propagationPolicy": "Orphan", "gracePeriodSeconds": 1, "preconditions": {"uid": "x"}},
    {"spec": {"replicas": 2}, "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}},
    {"metadata": {"labels": {"a": "b"}, "finalizers": ["a.b/c"], "ownerReferences": [{}]}},
]
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "limit",
                "continue",
                "resourceVersion",
                "resourceVersionMatch",
                "labelSelector",
                "fieldSelector",
                "dryRun",
                "fieldValidation",
                "propagationPolicy",
                "timeoutSeconds",
                "watch",
                "sendInitialEvents",
                "allowWatchBookmarks",
                "includeObject",
            ]
        ),
        st.sampled_from(["", "0", "1", "-1", "true", "All", "Strict", "a=b", "a in (b", "Exact"])
        | st.sampled_from(["metadata.name=a", "NotOlderThan", "Orphan", "99999999", "é", "None"]),
    ),
    max_size=3,
)
PATHS = [
    *(resource.path("default", name) for resource in BUILT_IN for name in ("", "a")),
    *(resource.path("default", "a", sub) for resource in BUILT_IN for sub in ("status", "scale")),
    "/api/v1/namespaces/default/pods/a/binding",
    "/api/v1/namespaces/default/pods/a/eviction",
    "/api/v1/namespaces/a/finalize",
    "/apis/example.com/v1/namespaces/default/widgets",
    "/apis/example.com/v1/namespaces/default/widgets/a",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com",
    "/api/v1/namespaces/missing/pods",
    "/api/v1/watch/pods",
]
TYPES = ["application/json", "application/yaml", MERGE, STRATEGIC, JSON_PATCH, "text/plain", ""]
ACCEPTS = ["", "*/*", "application/json;as=Table;v=v1;g=meta.k8s.io"]


def mutated(seed: dict[str, Any], steps: list[tuple[int, Any]]) -> dict[str, Any]:
    """``seed`` with some of its values replaced."""
    obj = copy.deepcopy(seed)
    for choice, value in steps:
        places = list(spots(obj))
        holder, key = places[choice % len(places)]
        holder[key] = value
    return obj


def spots(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from spots(inner)


OBJECTS = st.builds(
    mutated, st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 60), VALUES), max_size=2)
)
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]),
            "path": st.sampled_from(["", "/", "/spec", "/metadata/name", "/spec/x/y", "spec"]),
            "value": VALUES,
            "from": st.sampled_from(["/spec", "/metadata", ""]),
        }
    ),
    max_size=3,
)
BODIES = (
    st.builds(orjson.dumps, OBJECTS)
    | st.builds(orjson.dumps, OPERATIONS)
    | st.builds(orjson.dumps, VALUES)
    | st.sampled_from([b"", b"{", b"\xff", b"a: [", b"{}"])
)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[BlockingPortal, Api]]:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    with (
        tempfile.TemporaryDirectory() as directory,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(Path(directory))) as api,
    ):
        portal.call(api.create, crds, definition())
        yield portal, api


@settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    method=st.sampled_from(["GET", "POST", "POST", "PUT", "PATCH", "PATCH", "DELETE", "OPTIONS"]),
    path=st.sampled_from(PATHS),
    query=QUERIES,
    kind=st.sampled_from(TYPES),
    accept=st.sampled_from(ACCEPTS),
    body=BODIES,
)
def test_no_request_makes_an_internal_error(
    running: tuple[BlockingPortal, Api],
    method: str,
    path: str,
    query: list[tuple[str, str]],
    kind: str,
    accept: str,
    body: bytes,
) -> None:
    portal, api = running
    headers = {"content-type": kind, "accept": accept}
    request = Request(method, path, tuple(query), headers, body)

    async def ask() -> tuple[int, bytes]:
        answer = await api.core.handle(request, ADMIN)
        if not isinstance(answer, StreamReply):
            return answer.status, answer.body
        first = b"{}"
        with anyio.move_on_after(0.001):
            first = await anext(answer.body)
        await answer.close()
        return answer.status, first.splitlines()[0]

    status, answer = portal.call(ask)
    # kube-apiserver's own answer to a version that is no number is a 500 that says so.
    assert status != 500 or b"strconv.ParseUint" in answer, answer
    decoded = orjson.loads(answer)
    if status >= 400:
        assert decoded["kind"] == "Status"
        assert decoded["message"]
