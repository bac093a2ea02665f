"""Answers in JSON, YAML and protobuf: who gets which, and that they say the same."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from cloudwright._base.clock import SystemClock
from cloudwright.apiserver import bootstrap, negotiation
from cloudwright.apiserver.authn import Authenticator, Peer
from cloudwright.apiserver.authz import ChainAuthorizer
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.face import Face
from cloudwright.apiserver.negotiation import PROTOBUF, YAML
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.store.sqlite import open_store
from cloudwright.client.transport import Reply, Request
from cloudwright.model import golang, protobuf

pytestmark = pytest.mark.anyio
ADMIN = Peer("root", ("system:masters",))
MAPS = "/api/v1/namespaces/default/configmaps"
BOTH = f"{PROTOBUF},application/json"
PARTIAL = "as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    async with open_store(StoreConfig(tmp_path / "store.db"), SystemClock()) as store:
        authorizer = ChainAuthorizer(store)
        core = await bootstrap.start(store, authorizer)
        yield Face(core, Authenticator(), authorizer)


async def ask(
    face: Face, method: str, path: str, body: bytes = b"", query: Any = (), **headers: str
) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await face.answer(Request(method, path, query, named, body), ADMIN)


def config_map(name: str) -> bytes:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}
    return json.dumps(body).encode()


async def test_a_client_that_speaks_only_protobuf_is_at_home(face: Face) -> None:
    sent = golang.encode(config_map("a"))
    made: Reply = await ask(face, "POST", MAPS, sent, content_type=PROTOBUF, accept=PROTOBUF)
    assert (made.status, made.headers["content-type"]) == (201, PROTOBUF)
    obj = protobuf.decode(made.body)
    assert (obj["kind"], obj["metadata"]["name"], obj["data"]) == ("ConfigMap", "a", {"a": "b"})
    listed = protobuf.decode((await ask(face, "GET", MAPS, accept=BOTH)).body)
    assert listed["kind"] == "ConfigMapList"
    assert "a" in [item["metadata"]["name"] for item in listed["items"]]
    missing: Reply = await ask(face, "GET", f"{MAPS}/none", accept=PROTOBUF)
    status = protobuf.decode(missing.body)
    assert (missing.status, status["kind"], status["reason"]) == (404, "Status", "NotFound")


async def test_what_has_no_protobuf_is_json_or_refused(face: Face) -> None:
    path = "/apis/platform.example.com/v1/namespaces/default/microservices"
    found: Reply = await ask(face, "GET", path, accept=BOTH)
    assert (found.status, found.headers["content-type"]) == (200, "application/json")
    refused: Reply = await ask(face, "GET", path, accept=PROTOBUF)
    assert (refused.status, json.loads(refused.body)["reason"]) == (406, "NotAcceptable")
    table = f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1"
    shown: Reply = await ask(face, "GET", MAPS, accept=table)
    assert json.loads(shown.body)["kind"] == "Table"


async def test_other_encodings_are_refused_before_anything_is_done(face: Face) -> None:
    refused: Reply = await ask(face, "POST", MAPS, config_map("b"), accept="application/cbor")
    assert refused.status == 406
    assert (await ask(face, "GET", f"{MAPS}/b")).status == 404
    unknown: Reply = await ask(face, "POST", MAPS, b"\xa0", content_type="application/cbor")
    assert (unknown.status, json.loads(unknown.body)["reason"]) == (415, "UnsupportedMediaType")


async def test_yaml_says_the_same(face: Face) -> None:
    await ask(face, "POST", MAPS, config_map("c"))
    plain = json.loads((await ask(face, "GET", f"{MAPS}/c")).body)
    found: Reply = await ask(face, "GET", f"{MAPS}/c", accept=YAML)
    assert found.headers["content-type"] == YAML
    assert yaml.safe_load(found.body) == plain


async def test_metadata_alone_has_protobuf_for_every_kind(face: Face) -> None:
    path = "/apis/platform.example.com/v1/namespaces/default/microservices"
    body = json.dumps({"metadata": {"name": "m"}, "spec": {"version": "1.0.0"}}).encode()
    assert (await ask(face, "POST", path, body)).status == 201
    found = await ask(face, "GET", f"{path}/m", accept=f"{PROTOBUF};{PARTIAL}")
    obj = protobuf.decode(found.body)
    assert (obj["kind"], obj["metadata"]["name"]) == ("PartialObjectMetadata", "m")


async def test_a_watch_comes_in_frames(face: Face) -> None:
    await ask(face, "POST", MAPS, config_map("d"))
    query = (("watch", "1"), ("fieldSelector", "metadata.name=d"))
    found: StreamReply = await ask(face, "GET", MAPS, query=query, accept=BOTH)
    assert found.headers["content-type"] == f"{PROTOBUF};stream=watch"
    with anyio.fail_after(10):
        chunk = await anext(aiter(found.body))
    await found.close()
    (length,) = struct.unpack(">I", chunk[:4])
    assert length == len(chunk) - 4
    event = chunk[4:]
    assert event.startswith(b"\x0a\x05ADDED\x12")
    assert protobuf.decode(event[event.index(b"k8s\0") :])["metadata"]["name"] == "d"


@pytest.mark.parametrize(
    ("accept", "order"),
    [
        ("", ("json",)),
        ("*/*", ("json",)),
        (BOTH, ("protobuf", "json")),
        ("application/json;q=0.5, application/yaml", ("yaml", "json")),
        ("text/html, application/json;q=0", ()),
        (f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1", ()),
    ],
)
def test_what_an_accept_header_takes(accept: str, order: tuple[str, ...]) -> None:
    assert negotiation.wanted(accept).order == order
