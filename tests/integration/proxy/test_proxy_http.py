"""HTTP through gateway and sidecars: routes, headers, retries, upgrades, gRPC, limits."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest
from aiohttp import web
from yarl import URL

from tests.integration.proxy.proxy_world import World, echo, free_port

pytestmark = pytest.mark.anyio


async def test_gateway_to_sidecar_sets_headers_and_strips_the_prefix(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        side = world.sidecar("web-1", "127.0.0.2", await world.app(echo))
        world.service("web", [side])
        world.route("web", "/web")
        world.publish()
        gateway = world.gateway()
        for proxy in world.proxies:
            await proxy.start()
        base = f"http://{gateway.bootstrap['http'][0]}"
        sent = {"x-mesh-ns": "forged", "x-mesh-sidecar": "forged", "traceparent": "00-a-b-01"}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{base}/web/x?y=1", data=b"z" * 200_000, headers=sent) as got:
                assert got.status == 200, await got.text()
                seen = await got.json()
                assert got.headers["x-mesh-sidecar"] == "web-1"
                assert got.headers["x-mesh-ns"] == "default"
            assert (seen["path"], seen["method"], seen["length"]) == ("/x?y=1", "POST", 200_000)
            headers = seen["headers"]
            assert headers["x-mesh-ns"] == "cloudwright-system"
            assert headers["x-mesh-sidecar"] == "gateway"
            assert headers["traceparent"] == "00-a-b-01"
            assert headers["x-forwarded-proto"] == "http"
            assert headers["x-forwarded-for"] == "127.0.0.1"
            assert len(headers["x-request-id"]) == 36
            async with session.get(f"{base}/web", headers={"x-request-id": "mine-1234"}) as got:
                assert (await got.json())["headers"]["x-request-id"] == "mine-1234"
            for path, status, reason in [
                ("/other", 404, "no_route"),
                ("/webs", 404, "no_route"),
                ("/web/%2e%2e/secret", 400, "bad_path"),
            ]:
                url = URL(base + path, encoded=True)
                async with session.get(url) as got:
                    assert (got.status, (await got.json())["reason"]) == (status, reason)
        await gateway.stop()
        lines = [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]
        assert [line["status"] for line in lines] == [200, 200, 404, 404, 400]
        assert lines[0]["path"] == "/web/x"
        assert lines[0]["service"] == "default/web:80"


async def test_mesh_socket_and_outbound_pick_the_service_by_host(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        one = world.sidecar("a-1", "127.0.0.2", await world.app(echo))
        two = world.sidecar("b-1", "127.0.0.3", await world.app(echo))
        world.service("a", [one])
        world.service("b", [two])
        world.publish()
        gateway = world.gateway()
        for proxy in world.proxies:
            await proxy.start()
        connector = aiohttp.UnixConnector(gateway.bootstrap["mesh_socket"])
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.post("http://b.default/hook", json={"x": 1}) as got:
                assert got.status == 200
                assert got.headers["x-mesh-sidecar"] == "b-1"
            async with session.get("http://nope.default/") as got:
                assert got.status == 502
                assert "nope.default" in (await got.json())["message"]
        out = f"http://127.0.0.2:{one.bootstrap['outbound_port']}/"
        async with (
            aiohttp.ClientSession() as session,
            session.get(out, headers={"host": "b"}) as got,
        ):
            seen = (await got.json())["headers"]
            assert got.headers["x-mesh-sidecar"] == "b-1"
            assert (seen["x-mesh-ns"], seen["x-mesh-sidecar"]) == ("default", "a-1")
        text = (await two.admin("GET", "/metrics"))[1]
        assert 'requests_total{direction="inbound",service="",code="2xx",' in text
        assert 'peer_namespace="cloudwright-system",peer="default"} 1' in text


async def test_what_nobody_processed_is_tried_elsewhere_even_a_post(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        good = world.sidecar("good", "127.0.0.2", await world.app(echo))
        dead_app = world.sidecar("dead-app", "127.0.0.3", free_port())
        no_sidecar = world.sidecar("no-sidecar", "127.0.0.4", free_port())
        world.service("web", [dead_app, no_sidecar, good])
        world.route("web", "/web", load_balancer="round_robin")
        world.publish()
        gateway = world.gateway()
        for proxy in (good, dead_app, gateway):
            await proxy.start()
        async with aiohttp.ClientSession() as session:
            for number in range(12):
                url = f"http://{gateway.bootstrap['http'][0]}/web/{number}"
                async with session.post(url, data=b"body" * 1000) as got:
                    assert got.status == 200, await got.text()
                    assert (await got.json())["length"] == 4000
            world.service("web", [no_sidecar])
            version = world.publish()
            await gateway.admin("GET", f"/wait?version={version}")
            async with session.get(f"http://{gateway.bootstrap['http'][0]}/web/") as got:
                assert got.status == 503
                assert "default/web:80" in (await got.json())["message"]


async def test_a_broken_post_is_not_repeated(tmp_path: Path) -> None:
    calls: list[str] = []

    async def breaks_once(request: web.Request) -> web.StreamResponse:
        calls.append(request.method)
        if calls.count(request.method) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="fine")

    async with World(tmp_path) as world:
        side = world.sidecar("web-1", "127.0.0.2", await world.app(breaks_once))
        world.service("web", [side])
        world.route("web", "/")
        world.publish()
        gateway = world.gateway()
        for proxy in world.proxies:
            await proxy.start()
        url = f"http://{gateway.bootstrap['http'][0]}/"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=b"pay") as got,
        ):
            assert got.status == 502
        assert calls == ["POST"]


async def test_timeout_is_504(tmp_path: Path) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with World(tmp_path) as world:
        side = world.sidecar("web-1", "127.0.0.2", await world.app(slow))
        world.service("web", [side])
        world.route("web", "/", timeout_ms=200)
        world.publish()
        gateway = world.gateway(limits={"max_body_bytes": 1000})
        for proxy in world.proxies:
            await proxy.start()
        url = f"http://{gateway.bootstrap['http'][0]}/"
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as got:
                assert (got.status, (await got.json())["reason"]) == (504, "timeout")
            async with session.post(url, data=b"x" * 1001) as got:
                assert (got.status, (await got.json())["reason"]) == (413, "body_too_long")


async def test_websocket_passes_both_ways(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(request.headers["x-mesh-sidecar"])
        async for message in socket:
            await socket.send_str(f"{request.path}:{message.data}")
        return socket

    async with World(tmp_path) as world:
        side = world.sidecar("web-1", "127.0.0.2", await world.app(handler))
        world.service("web", [side])
        world.route("web", "/ws")
        world.publish()
        gateway = world.gateway()
        for proxy in world.proxies:
            await proxy.start()
        url = f"http://{gateway.bootstrap['http'][0]}/ws/room"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as client:
            assert await client.receive_str() == "gateway"
            for text in ("one", "two", "x" * 100_000):
                await client.send_str(text)
                assert await client.receive_str() == f"/room:{text}"


def _raw(data: bytes) -> bytes:
    return data


async def test_grpc_unary_streams_and_errors(tmp_path: Path) -> None:
    async def unary(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if request == b"fail":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no, ünlikely")
        await context.send_initial_metadata(())
        context.set_trailing_metadata((("x-last", "yes"),))
        return request[::-1]

    async def both(requests: object, context: object) -> object:
        async for request in requests:  # type: ignore[attr-defined]
            yield request * 2

    server = grpc.aio.server()
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary, _raw, _raw),
        "Both": grpc.stream_stream_rpc_method_handler(both, _raw, _raw),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with World(tmp_path) as world:
        side = world.sidecar("pay-1", "127.0.0.2", port)
        world.service("pay", [side], protocol="grpc")
        world.route("pay", "/t.T", strip_prefix=False)
        world.publish()
        gateway = world.gateway()
        for proxy in world.proxies:
            await proxy.start()
        async with grpc.aio.insecure_channel(gateway.bootstrap["http"][0]) as channel:
            call = channel.unary_unary("/t.T/Unary", _raw, _raw)(b"abc")
            assert await call == b"cba"
            assert ("x-last", "yes") in [tuple(pair) for pair in await call.trailing_metadata()]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/t.T/Unary", _raw, _raw)(b"fail")
            assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
            assert caught.value.details() == "no, ünlikely"
            stream = channel.stream_stream("/t.T/Both", _raw, _raw)()
            for number in range(5):
                await stream.write(b"%d" % number)
                assert await stream.read() == b"%d" % number * 2
            await stream.done_writing()
            assert await stream.read() == grpc.aio.EOF
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/nobody/Here", _raw, _raw)(b"")
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    await server.stop(None)


async def test_https_listener_speaks_h2_and_reloads_its_certificate(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        side = world.sidecar("web-1", "127.0.0.2", await world.app(echo))
        world.service("web", [side])
        world.route("web", "/")
        world.publish()
        files = {"https_cert": str(tmp_path / "edge.pem"), "https_key": str(tmp_path / "edge.key")}
        cert, key = world.authority.issue("spiffe://x/y", dns="localhost")
        (tmp_path / "edge.pem").write_bytes(cert)
        (tmp_path / "edge.key").write_bytes(key)
        address = f"127.0.0.1:{free_port()}"
        world.gateway(https=[address], **files)
        for proxy in world.proxies:
            await proxy.start()
        process = await asyncio.create_subprocess_exec(
            "curl",
            "-sk",
            "--http2",
            "-w",
            "%{http_version}",
            "-o",
            str(tmp_path / "body"),
            f"https://{address}/x",
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        assert said == b"2"
        headers = json.loads((tmp_path / "body").read_text())["headers"]
        assert headers["x-forwarded-proto"] == "https"
