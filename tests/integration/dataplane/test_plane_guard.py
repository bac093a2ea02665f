"""Who may send requests and how many; filters in Python on the way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path

import anyio
import pytest

from tests.integration.proxy.proxy_world import binary

from .plane_world import Backend, config, endpoints, forward, free_port, plane

pytestmark = pytest.mark.anyio


async def test_keys_rules_and_rates(tmp_path: Path) -> None:
    port = free_port()
    keys = tmp_path / "keys.json"
    digest = hashlib.sha256(b"secret-of-anna").hexdigest()
    keys.write_text(json.dumps({"keys": [{"name": "anna", "sha256": digest, "tenant": "t1"}]}))
    guard = {
        "authentication": {"providers": [{"api_keys": {"file": str(keys)}}]},
        "rate_limits": [
            {"name": "few", "rate": 3, "burst": 3, "per": "hour", "key": {"tenant": "credential"}}
        ],
    }
    async with Backend("a").running() as a:
        route = {**forward("c"), "guard": guard}
        told = config(port, [route], c={"endpoints": endpoints(a)})
        async with plane(tmp_path, told) as gateway:
            assert (await gateway.get("/"))[0] == 401
            wrong = {"x-api-key": "other"}
            assert (await gateway.get("/", headers=wrong))[0] == 401
            right = {"x-api-key": "secret-of-anna"}
            statuses = [(await gateway.get("/", headers=right))[0] for _ in range(5)]
            assert statuses == [200, 200, 200, 429, 429]
            assert len(a.seen) == 3


async def test_a_key_that_is_taken_away_opens_nothing(tmp_path: Path) -> None:
    port = free_port()
    folder = tmp_path / "keys"
    folder.mkdir()
    keys = folder / "keys.json"

    def write(*names: str) -> None:
        told = [{"name": n, "sha256": hashlib.sha256(n.encode()).hexdigest()} for n in names]
        fresh = keys.with_suffix(".new")
        fresh.write_text(json.dumps({"keys": told}))
        fresh.rename(keys)

    write("anna")
    guard = {"authentication": {"providers": [{"api_keys": {"file": str(keys)}}]}}
    async with Backend("a").running() as a:
        told = config(port, [{**forward("c"), "guard": guard}], c={"endpoints": endpoints(a)})
        async with plane(tmp_path, told) as gateway:
            anna = {"x-api-key": "anna"}
            assert (await gateway.get("/", headers=anna))[0] == 200
            write("bert")
            with anyio.fail_after(60):
                while (await gateway.get("/", headers={"x-api-key": "bert"}))[0] != 200:
                    await anyio.sleep(0.02)
            assert (await gateway.get("/", headers=anna))[0] == 401


async def test_grpc_callers_are_refused_in_their_own_way(tmp_path: Path) -> None:
    port = free_port()
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": []}))
    guard = {"authentication": {"providers": [{"api_keys": {"file": str(keys)}}]}}
    told = config(port, [{**forward("c"), "guard": guard}], c={"endpoints": endpoints(1)})
    async with plane(tmp_path, told) as gateway:
        kind = {"content-type": "application/grpc"}
        async with gateway.session.post(gateway.url + "/a.B/C", headers=kind) as answer:
            assert answer.status == 200
            assert answer.headers["grpc-status"] == "16"


async def test_a_filter_sees_its_requests_and_no_others(tmp_path: Path) -> None:
    port = free_port()
    folder = tmp_path / "filters"
    folder.mkdir()
    (folder / "add.py").write_text(
        "from cloudwright.proxy import Filter, Match, Request, Response\n"
        "class Add(Filter):\n"
        "    match = Match(path='/api/*')\n"
        "    timeout_ms = 20000\n"
        "    def on_request(self, request: Request) -> None:\n"
        "        request.headers['x-added'] = 'yes'\n"
        "    def on_response(self, request: Request, response: Response) -> None:\n"
        "        response.headers['x-seen'] = 'yes'\n"
    )
    async with Backend("a").running() as a:
        told = config(port, [forward("c")], c={"endpoints": endpoints(a)})
        options = ("--filters", str(folder), "--python", sys.executable)
        async with plane(tmp_path, told, *options) as gateway:
            async with gateway.session.get(gateway.url + "/api/x") as answer:
                assert (await answer.json())["headers"]["x-added"] == "yes"
                assert answer.headers["x-seen"] == "yes"
            async with gateway.session.get(gateway.url + "/other") as answer:
                assert "x-added" not in (await answer.json())["headers"]
                assert "x-seen" not in answer.headers


async def test_a_broken_filter_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    folder = tmp_path / "filters"
    folder.mkdir()
    (folder / "broken.py").write_text(
        "from cloudwright.proxy import Filter\nraise ValueError('no')\n"
    )
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps(config(free_port(), [forward("c")], c={"endpoints": endpoints(1)})))
    process = await asyncio.create_subprocess_exec(
        str(binary()), "gateway", "run", "-c", str(file), "--filters", str(folder),
        "--python", sys.executable, stderr=-1,
    )  # fmt: skip
    _, told = await process.communicate()
    assert process.returncode == 1
    assert "broken.py:2" in told.decode()
