"""The pure parts: paths, queries, the Accept header, encoding, selection by bytes."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright.apiserver import built_ins, calls, encoding
from cloudwright.apiserver.calls import Query
from cloudwright.apiserver.errors import ApiError, CompactedError
from cloudwright.apiserver.registry import Registry
from cloudwright.apiserver.representation import form_of
from cloudwright.apiserver.store.hub import prefixes
from cloudwright.apiserver.store.interface import Template, Txn, Write
from cloudwright.apiserver.store.statements import end_of
from cloudwright.client.transport import Request
from cloudwright.model.resources import BUILT_IN
from tests.unit.apiserver_core.kit import ADMIN, opened

REGISTRY = Registry(built_ins.served())


def parsed(method: str, path: str, **query: str) -> tuple[str, str, str, str, str]:
    call = calls.parse(Request(method, path, tuple(query.items())), ADMIN, REGISTRY)
    return call.verb, call.plural, call.namespace, call.name, call.subresource


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "pods", "", "", "")),
        ("GET", "/api/v1/pods/", ("list", "pods", "", "", "")),
        ("POST", "/api/v1/namespaces/a/pods", ("create", "pods", "a", "", "")),
        ("DELETE", "/api/v1/namespaces/a/pods", ("deletecollection", "pods", "a", "", "")),
        ("GET", "/apis/apps/v1/namespaces/a/replicasets/b", ("get", "replicasets", "a", "b", "")),
        ("GET", "/api/v1/namespaces/a", ("get", "namespaces", "", "a", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "namespaces", "", "a", "finalize")),
        ("GET", "/api/v1/namespaces/a/status", ("get", "namespaces", "", "a", "status")),
        ("GET", "/api/v1/watch/namespaces/a/pods", ("watch", "pods", "a", "", "")),
        ("GET", "/api/v1/watch/namespaces/a/pods/b", ("watch", "pods", "a", "b", "")),
        ("GET", "/api/v1/watch/pods", ("watch", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/b%2Fc", ("get", "pods", "a", "b", "c")),
        ("POST", "/api/v1/namespaces/a/pods/b/exec", ("create", "pods", "a", "b", "exec")),
    ],
)  # fmt: skip
def test_paths(method: str, path: str, expected: tuple[str, ...]) -> None:
    assert parsed(method, path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/apis/apps/v1",
        "/api/v2/pods",
        "/healthz",
        "/api/v1/pods/a",
        "/api/v1/namespaces/a/nodes",
        "/api/v1/namespaces/a/pods/b/c/d",
    ],
)
def test_paths_of_nothing(path: str) -> None:
    with pytest.raises(ApiError) as caught:
        parsed("GET", path)
    assert caught.value.http_status == 404


def test_watch_is_a_verb_of_collections() -> None:
    assert parsed("GET", "/api/v1/pods", watch="true")[0] == "watch"
    assert parsed("GET", "/api/v1/pods", watch="0")[0] == "list"
    assert parsed("GET", "/api/v1/pods", watch="perhaps")[0] == "watch", "as upstream"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/api/v1/namespaces/a/pods/b"),
        ("POST", "/api/v1/pods"),
        ("DELETE", "/api/v1/pods"),
        ("PATCH", "/api/v1/namespaces/a/pods"),
        ("POST", "/api/v1/namespaces/a/pods/b"),
    ],
)
def test_methods_that_are_not_allowed(method: str, path: str) -> None:
    with pytest.raises(ApiError) as refused:
        parsed(method, path)
    assert refused.value.http_status == 405


def test_queries() -> None:
    query = Query([("a", "1"), ("a", "2"), ("b", "")])
    assert (query.get("a"), query.every("a"), query.get("c", "x")) == ("1", ["1", "2"], "x")
    assert (query.whole("a"), query.whole("b"), query.flag("a"), query.flag("b")) == (
        1,
        None,
        True,
        True,
    )
    assert not query.flag("none")
    assert not Query([("a", "False")]).flag("a")
    assert Query([("a", "-1")]).count("a") is None


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "plain"),
        ("*/*", "plain"),
        ("application/json", "plain"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io, application/json", "table"),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", "plain"),
        ("application/json, application/json;as=Table;v=v1;g=meta.k8s.io", "plain"),
        ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "partial"),
        ("application/x-other, application/json;as=Table;g=meta.k8s.io;v=v1", "table"),
        ("application/vnd.kubernetes.protobuf", "plain"),
    ],
)  # fmt: skip
def test_the_accept_header(accept: str, form: str) -> None:
    assert form_of(accept) == form


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    st.integers(1, 2**63 - 1),
)
def test_encoding_keeps_everything_and_stamps_the_revision(
    metadata: dict[str, Any], more: dict[str, Any], revision: int
) -> None:
    obj = {**more, "metadata": metadata, "kind": "Thing", "apiVersion": "example.com/v1"}
    value = encoding.template(obj).stamp(revision)
    expected = {**obj, "metadata": {**metadata, "resourceVersion": str(revision)}}
    assert orjson.loads(value) == expected
    assert value.startswith(b'{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"resourceV')


@given(st.lists(JSON, max_size=4))
def test_lists_are_spliced_without_decoding(items: list[Any]) -> None:
    body = encoding.list_bytes("v1", "ThingList", {"a": "b"}, [orjson.dumps(one) for one in items])
    assert orjson.loads(body) == {
        "apiVersion": "v1",
        "kind": "ThingList",
        "metadata": {"a": "b"},
        "items": items,
    }


@given(st.lists(st.text(string.ascii_lowercase + "-.", min_size=1), min_size=1, max_size=4))
def test_a_prefix_has_exactly_its_keys(parts: list[str]) -> None:
    key = "/" + "/".join(parts)
    for prefix in prefixes(key):
        assert prefix < key < end_of(prefix)


def test_every_built_in_kind_has_a_schema_and_rules() -> None:
    for resource in BUILT_IN:
        served = REGISTRY.find(resource.group, resource.version, resource.plural)
        assert served is not None
        assert served.schema is not None, resource


@pytest.mark.anyio
async def test_reads_of_the_past_are_whole_or_refused_while_compaction_runs(
    tmp_path: Path,
) -> None:
    """A reader at an old revision never sees a hole that compaction has just made."""
    async with opened(tmp_path, history_revisions=50, ring_events=5, synchronous="NORMAL") as store:
        for index in range(20):
            await store.commit(Txn((), Write(f"/p/{index:02}", Template(b"", b""))))
        refused, whole, tries, churning = 0, 0, 0, True

        async def churn() -> None:
            nonlocal churning
            for index in range(400):
                await store.commit(Txn((), Write(f"/p/{index % 20:02}", Template(b"", b""))))
                if index % 25 == 0:
                    await store.compact()
            churning = False

        async def read() -> None:
            nonlocal refused, tries, whole
            while churning:
                tries += 1
                # A read that is under way holds compaction back; one that comes too late does not.
                at = 21 if tries % 3 == 0 else max(store.revision - 60, 21)
                try:
                    page = await store.page("/p/", revision=at)
                    assert len(page.records) == 20
                    watch = store.watch("/p/", after=at)
                    seen = at
                    while seen < store.revision:
                        for event in await watch.batch():
                            assert event.revision == seen + 1
                            seen = event.revision
                    watch.close()
                    whole += 1
                except CompactedError:
                    refused += 1
                await anyio.sleep(0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(churn)
            tasks.start_soon(read)
        assert refused > 0
        assert whole > 0
