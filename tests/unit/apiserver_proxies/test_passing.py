"""Proxied requests through the face, to backends that behave and to some that do not."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from cloudwright._base.clock import SystemClock
from cloudwright._base.errors import UnreachableError
from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.authn import Authenticator, Peer
from cloudwright.apiserver.authz.chain import ChainAuthorizer
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.face import Face
from cloudwright.apiserver.proxies.door import ProxyDoor
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.store.sqlite import open_store
from cloudwright.client.transport import Reply, Request

pytestmark = pytest.mark.anyio
ADMIN, VIEWER = Peer("root", ("system:masters",)), Peer("ann", ("cloudwright:viewers",))
ROOT = "/api/v1/namespaces/default"
OK = b"HTTP/1.1 200 OK\r\n"
Answers = Callable[[bytes, SocketStream], Awaitable[None]]


class Pods:
    """``PodStreams`` whose every port is one backend, which is given the head of a request."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self.answers: Answers | None = None
        self.asked: list[tuple[str, str, int]] = []
        self.seen = b""
        self._tasks = tasks

    async def connect(self, namespace: str, pod: str, port: int) -> Any:
        self.asked.append((namespace, pod, port))
        if self.answers is None:
            raise UnreachableError("nobody listens")
        ours, theirs = _pair()
        self._tasks.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, link: _End) -> None:
        assert self.answers is not None
        while b"\r\n\r\n" not in self.seen:
            self.seen += await link.receive()
        with suppress(ConnectionResetError):  # the other side may have had enough
            await self.answers(self.seen, link)  # type: ignore[arg-type]
        await link.aclose()


class _End:
    """One end of a stream in memory."""

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def receive(self) -> bytes:
        try:
            return bytes(await self._incoming.receive())
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return b""

    async def send(self, data: bytes) -> None:
        try:
            await self._outgoing.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError from error

    async def send_eof(self) -> None:
        self._outgoing.close()

    async def aclose(self) -> None:
        self._outgoing.close()
        self._incoming.close()


def _pair() -> tuple[_End, _End]:
    one = anyio.create_memory_object_stream[bytes](8)
    two = anyio.create_memory_object_stream[bytes](8)
    return _End(two[1], one[0]), _End(one[1], two[0])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[Face, Pods]]:
    async with (
        open_store(StoreConfig(tmp_path / "store.db"), SystemClock()) as store,
        anyio.create_task_group() as tasks,
    ):
        authorizer = ChainAuthorizer(store)
        core = await bootstrap.start(store, authorizer)
        pods = Pods(tasks)
        face = Face(core, Authenticator(), authorizer, streams=pods)  # type: ignore[arg-type]
        containers = [{"name": "a", "image": "x", "ports": [{"containerPort": 8080}]}]
        await ask(face, f"{ROOT}/pods", "POST", _object("p", {"containers": containers}))
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        await ask(face, f"{ROOT}/services", "POST", _object("web", {"ports": ports}))
        reference = {"kind": "Pod", "name": "p", "namespace": "default"}
        subset = {
            "addresses": [{"ip": "10.0.0.1", "targetRef": reference}],
            "ports": [{"name": "http", "port": 8080}],
        }
        body = {"metadata": {"name": "web"}, "subsets": [subset]}
        await ask(face, f"{ROOT}/endpoints", "POST", body)
        yield face, pods
        tasks.cancel_scope.cancel()


def _object(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec}


async def ask(
    face: Face,
    path: str,
    method: str = "GET",
    body: Any = None,
    peer: Peer = ADMIN,
    query: tuple[tuple[str, str], ...] = (),
    **headers: str,
) -> Reply:
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    found = await face.answer(Request(method, path, query, given, data), peer)
    if isinstance(found, StreamReply):
        parts = [part async for part in found.body]
        await found.close()
        return Reply(found.status, found.headers, b"".join(parts))
    assert isinstance(found, Reply)
    return found


def saying(*parts: bytes) -> Answers:
    async def answer(_head: bytes, link: SocketStream) -> None:
        for part in parts:
            await link.send(part)

    return answer


async def test_what_the_backend_is_told(world: tuple[Face, Pods]) -> None:
    face, pods = world
    pods.answers = saying(OK + b"content-length: 2\r\nx-y: z\r\n\r\nok")
    answer = await ask(
        face, f"{ROOT}/pods/p:9090/proxy/a%2Fb", "POST", b"body", query=(("x", "1 2"),),
        authorization="Bearer secret", cookie="a=b", connection="x-hop, keep-alive", x_hop="1",
        impersonate_user="joe", te="trailers", host="api:6443",
    )  # fmt: skip
    # Somebody else than the asker was meant: that is for the API to decide first.
    assert answer.status == 403
    answer = await ask(
        face, f"{ROOT}/pods/p:9090/proxy/a%2Fb", "POST", b"body", query=(("x", "1 2"),),
        cookie="a=b", connection="x-hop, keep-alive", x_hop="1", te="trailers", host="api:6443",
    )  # fmt: skip
    assert (answer.status, answer.body, answer.headers["x-y"]) == (200, b"ok", "z")
    assert pods.asked == [("default", "p", 9090)]
    head, _, body = pods.seen.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a%2Fb?x=1+2 HTTP/1.1"
    assert body == b"body"
    names = {line.split(":")[0].lower() for line in lines[1:]}
    assert names == {
        "host", "cookie", "content-length", "x-forwarded-uri", "x-forwarded-host",
        "x-forwarded-proto",
    }  # fmt: skip
    assert "Host: p.default:9090".lower() in [line.lower() for line in lines]


@pytest.mark.parametrize(
    ("name", "port"),
    [("pods/p", 8080), ("pods/p:1", 1), ("pods/http:p:2", 2), ("services/web:80", 8080),
     ("services/web:http", 8080), ("services/http:web:80", 8080)],
)  # fmt: skip
async def test_which_port_is_meant(world: tuple[Face, Pods], name: str, port: int) -> None:
    face, pods = world
    pods.answers = saying(OK + b"content-length: 0\r\n\r\n")
    assert (await ask(face, f"{ROOT}/{name}/proxy/")).status == 200
    assert pods.asked == [("default", "p", port)]


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("pods/q/proxy/", 404, 'pods "q" not found'),
        ("pods/p:0/proxy/", 400, "invalid pod request"),
        ("pods/p:http/proxy/", 400, "invalid pod request"),
        ("pods/a:b:c:d/proxy/", 400, 'invalid pod request "a:b:c:d"'),
        ("pods/file:p:1/proxy/", 400, 'invalid pod request "file:p:1"'),
        ("services/other/proxy/", 404, 'services "other" not found'),
        ("services/web:8/proxy/", 503, 'no service port 8 found for service "web"'),
        ("services/web/proxy/", 503, 'no endpoints available for service "web"'),
        ("pods/p/proxy/", 503, "error trying to reach service: nobody listens"),
    ],
)
async def test_what_cannot_be_passed_on(
    world: tuple[Face, Pods], path: str, code: int, text: str
) -> None:
    answer = await ask(world[0], f"{ROOT}/{path}")
    said = json.loads(answer.body)
    assert (answer.status, said["kind"], said["code"]) == (code, "Status", code)
    assert text in said["message"]


async def test_addresses_that_are_no_pods_are_not_gone_to(world: tuple[Face, Pods]) -> None:
    face, pods = world
    pods.answers = saying(OK + b"content-length: 0\r\n\r\n")
    subset = {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"name": "http", "port": 80}]}
    body = {"metadata": {"name": "web"}, "subsets": [subset]}
    assert (await ask(face, f"{ROOT}/endpoints/web", "PUT", body)).status == 200
    assert (await ask(face, f"{ROOT}/services/web:http/proxy/")).status == 503
    assert not pods.asked


async def test_who_may_not_is_refused_before_anybody_is_asked(world: tuple[Face, Pods]) -> None:
    face, pods = world
    for path in ("pods/p:1", "services/web:http"):
        for method, verb in (("GET", "get"), ("POST", "create"), ("DELETE", "delete")):
            answer = await ask(face, f"{ROOT}/{path}/proxy/x", method, peer=VIEWER)
            said = json.loads(answer.body)
            assert (answer.status, said["reason"]) == (403, "Forbidden")
            plural = path.split("/")[0]
            assert f'cannot {verb} resource "{plural}/proxy"' in said["message"]
    answer = await ask(face, "/api/v1/nodes/n/proxy/pods", peer=VIEWER)
    assert answer.status == 403
    assert not pods.asked


@pytest.mark.parametrize(
    "parts",
    [
        [b"\x16\x03\x01\x02\x00"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"],
        [b"HTTP/1.1 999999 OK\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nx: ", *[b"y" * 65536] * 8],
        [OK],
        [],
        [OK + b"content-length: 10\r\n\r\nabc"],
    ],
)
async def test_a_backend_that_speaks_no_http(world: tuple[Face, Pods], parts: list[bytes]) -> None:
    face, pods = world
    pods.answers = saying(*parts)
    answer = await ask(face, f"{ROOT}/pods/p/proxy/")
    assert answer.status == 503
    assert "error trying to reach service" in json.loads(answer.body)["message"]


async def test_a_long_answer_comes_as_it_comes(world: tuple[Face, Pods]) -> None:
    face, pods = world
    go_on = anyio.Event()

    async def slowly(_head: bytes, link: SocketStream) -> None:
        await link.send(OK + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        await link.send(b"3\r\ntwo\r\n0\r\n\r\n")

    pods.answers = slowly
    found = await face.answer(Request("GET", f"{ROOT}/pods/p/proxy/"), ADMIN)
    assert isinstance(found, StreamReply)
    assert await anext(found.body) == b"one"
    go_on.set()
    assert [part async for part in found.body] == [b"two"]
    assert "transfer-encoding" not in found.headers


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(
    world: tuple[Face, Pods],
) -> None:
    face, pods = world
    pods.answers = saying(OK + b"content-length: 1000000\r\n\r\n", b"half")
    found = await face.answer(Request("GET", f"{ROOT}/pods/p/proxy/"), ADMIN)
    assert isinstance(found, StreamReply)
    with pytest.raises(ConnectionError):
        [part async for part in found.body]


async def test_packed_pages_are_rewritten_too(world: tuple[Face, Pods]) -> None:
    face, pods = world
    body = gzip.compress(b'<a href="/x">\xff</a>')
    head = b"content-type: text/html; charset=latin-1\r\ncontent-encoding: gzip\r\n"
    length = b"content-length: %d\r\n\r\n" % len(body)
    pods.answers = saying(OK + head + length + body)
    answer = await ask(face, f"{ROOT}/pods/p/proxy/", accept="text/html")
    assert answer.body == f'<a href="{ROOT}/pods/p/proxy/x">'.encode() + b"\xff</a>"
    assert "content-encoding" not in answer.headers


async def test_an_upgrade_needs_the_connection(world: tuple[Face, Pods]) -> None:
    face, pods = world
    request = Request(
        "GET",
        f"{ROOT}/pods/p/proxy",
        headers={"connection": "keep-alive, Upgrade", "upgrade": "websocket"},
    )
    assert isinstance(await face.answer(request, ADMIN), ProxyDoor)
    assert not pods.asked
    answer = await face.answer(request, VIEWER)
    assert isinstance(answer, Reply)
    assert answer.status == 403


async def test_a_path_without_an_end_is_moved(world: tuple[Face, Pods]) -> None:
    answer = await ask(world[0], f"{ROOT}/pods/p/proxy", query=(("a", "b"),))
    assert (answer.status, answer.headers["location"]) == (301, f"{ROOT}/pods/p/proxy/?a=b")


async def test_what_is_below_other_subresources_is_nothing(world: tuple[Face, Pods]) -> None:
    for path in ("pods/p/status/x", "configmaps/p/proxy/x", "pods/p/log/proxy"):
        assert (await ask(world[0], f"{ROOT}/{path}")).status == 404
