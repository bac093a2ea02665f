"""Routes, rewrites, redirects, header rules, splits, faults and copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from .plane_world import Backend, config, endpoints, forward, free_port, plane

pytestmark = pytest.mark.anyio


def _match(action: dict[str, Any], **match: Any) -> dict[str, Any]:
    return {**action, "match": match}


async def test_the_first_rule_that_matches_counts(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a, Backend("b").running() as b:
        routes = [
            _match({"action": {"respond": {"status": 418, "body": "tea"}}}, path={"exact": "/tea"}),
            _match(forward("b", rewrite={"prefix": "/"}), path={"prefix": "/b"}),
            _match(forward("b"), headers=[{"name": "x-to", "value": {"exact": "b"}}]),
            _match(
                {"action": {"redirect": {"status": 308, "prefix": "/new"}}}, path={"prefix": "/old"}
            ),
            forward("a"),
        ]
        told = config(port, routes, a={"endpoints": endpoints(a)}, b={"endpoints": endpoints(b)})
        async with plane(tmp_path, told) as gateway:
            assert await gateway.get("/tea") == (418, "tea")
            status, seen = await gateway.get("/b/x?q=1")
            assert (status, seen["name"], seen["path"]) == (200, "b", "/x?q=1")
            assert (await gateway.get("/", headers={"x-to": "b"}))[1]["name"] == "b"
            assert (await gateway.get("/bb"))[1]["name"] == "a"
            async with gateway.session.get(
                gateway.url + "/old/x?y=1", allow_redirects=False
            ) as answer:
                assert answer.status == 308
                assert answer.headers["location"].endswith("/new/x?y=1")
            status, seen = await gateway.get("/echo", method="POST", data=b"hello " * 50_000)
            assert (status, len(seen["body"])) == (200, 300_000)
            assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
            assert len(seen["headers"]["x-request-id"]) == 36
            assert (await gateway.get("/a/../b"))[0] in (200, 400)


async def test_header_rules_and_no_route(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a:
        route = {
            **forward("a"),
            "match": {"path": {"prefix": "/a"}},
            "request_headers": {"set": {"x-in": "1"}, "remove": ["x-out"]},
            "response_headers": {"set": {"x-edge": "yes"}},
        }
        told = config(port, [route], a={"endpoints": endpoints(a)})
        async with plane(tmp_path, told) as gateway:
            async with gateway.session.get(gateway.url + "/a", headers={"x-out": "1"}) as answer:
                seen = (await answer.json())["headers"]
                assert answer.headers["x-edge"] == "yes"
            assert seen["x-in"] == "1"
            assert "x-out" not in seen
            status, refused = await gateway.get("/nowhere")
            assert (status, refused["reason"]) == (404, "no_route")


async def test_weights_and_faults(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a, Backend("b").running() as b:
        weights = [{"cluster": "a", "weight": 3}, {"cluster": "b", "weight": 1}]
        routes = [
            _match(
                {**forward("a"), "fault": {"abort_status": 503, "abort_percent": 100.0}},
                path={"prefix": "/fault"},
            ),
            {"action": {"forward": {"clusters": weights}}},
        ]
        told = config(port, routes, a={"endpoints": endpoints(a)}, b={"endpoints": endpoints(b)})
        async with plane(tmp_path, told) as gateway:
            assert (await gateway.get("/fault"))[1]["reason"] == "fault"
            for _ in range(200):
                await gateway.get("/x")
            # Binomial with p = 1/4 and n = 200: five standard deviations.
            assert 20 <= len(b.seen) <= 80
            assert len(a.seen) + len(b.seen) == 200


async def test_a_copy_goes_elsewhere(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a, Backend("b").running() as b:
        told = config(
            port,
            [forward("a", mirrors=[{"cluster": "b"}])],
            a={"endpoints": endpoints(a)},
            b={"endpoints": endpoints(b)},
        )
        async with plane(tmp_path, told) as gateway:
            assert (await gateway.get("/m"))[1]["name"] == "a"
            with anyio.fail_after(30):
                while not b.seen:
                    await anyio.sleep(0.02)
            assert b.seen == [("GET", "/m")]
            # A request with a body is not copied: its copy would be another request.
            assert (await gateway.get("/p", method="POST", data=b"x"))[1]["body"] == "x"
            assert await gateway.metric("mirrored_total") == 1


async def test_websockets_pass_where_the_route_lets_them(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a:
        routes = [
            _match(forward("a", upgrades=True), path={"prefix": "/ws"}),
            forward("a"),
        ]
        told = config(port, routes, a={"endpoints": endpoints(a)})
        async with plane(tmp_path, told) as gateway:
            async with gateway.session.ws_connect(gateway.url + "/ws") as socket:
                await socket.send_str("hello")
                assert (await socket.receive_str(timeout=30)) == "a: hello"
                # The tunnel is something under way, until it ends.
                assert await gateway.metric("requests_active") == 1
            status, _ = await gateway.get(
                "/no", headers={"upgrade": "websocket", "connection": "upgrade"}
            )
            assert status == 200
