"""Retries, balancing, health, ejection, limits, live reload."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.integration.proxy.proxy_world import binary

from .plane_world import Backend, Plane, config, endpoints, forward, free_port, plane

pytestmark = pytest.mark.anyio


async def _names(gateway: Plane, count: int, **options: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(count):
        status, seen = await gateway.get("/", **options)
        found[seen["name"] if status == 200 else str(status)] += 1
    return found


async def test_requests_go_round_and_around_the_dead(tmp_path: Path) -> None:
    port, dead = free_port(), free_port()
    async with Backend("a").running() as a, Backend("b").running() as b:
        told = config(port, [forward("c")], c={"endpoints": endpoints(a, b, dead)})
        async with plane(tmp_path, told) as gateway:
            found = await _names(gateway, 30)
            assert set(found) == {"a", "b"}
            assert min(found.values()) >= 10
            assert await gateway.metric("retries_total") >= 9


async def test_a_hash_sticks(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a, Backend("b").running() as b:
        told = config(
            port,
            [forward("c", hash=[{"header": "x-user"}])],
            c={"endpoints": endpoints(a, b), "load_balancer": {"ring_hash": {}}},
        )
        async with plane(tmp_path, told) as gateway:
            for user in range(8):
                assert len(await _names(gateway, 5, headers={"x-user": str(user)})) == 1
            everybody = [await _names(gateway, 1, headers={"x-user": str(u)}) for u in range(40)]
            assert {name for found in everybody for name in found} == {"a", "b"}


async def test_bad_answers_are_tried_elsewhere_and_eject(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a, Backend("b").running() as b:
        a.status = 503
        told = config(
            port,
            [forward("c", retry={"attempts": 2, "on": ["unavailable"]})],
            c={
                "endpoints": endpoints(a, b),
                "outlier": {"consecutive_errors": 3, "base_ejection": "1h", "max_ejection": "1h"},
            },
        )
        async with plane(tmp_path, told) as gateway:
            assert set(await _names(gateway, 20)) == {"b"}
            # A POST may have been acted on: it is not repeated.
            a.seen.clear()
            (cluster,) = await gateway.admin("/clusters")
            unwell = [one["unwell"] for one in cluster["endpoints"]]
            assert unwell == [["ejected"], []]
            assert a.seen == []


async def test_without_room_for_a_retry_the_answer_is_the_endpoints_own(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a:
        a.status = 503
        told = config(
            port,
            [forward("c", retry={"attempts": 2, "on": ["unavailable"]})],
            c={
                "endpoints": endpoints(a),
                "circuit_breaker": {"retry_budget_percent": None, "max_retries": 0},
            },
        )
        async with plane(tmp_path, told) as gateway:
            status, seen = await gateway.get("/")
            assert (status, seen["name"], len(a.seen)) == (503, "a", 1)


async def test_health_checks_take_out_and_bring_back(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a, Backend("b").running() as b:
        check = {
            "check": {"http": {"path": "/healthz"}},
            "interval": "50ms",
            "timeout": "20s",
            "unhealthy_after": 2,
            "healthy_after": 2,
        }
        told = config(
            port, [forward("c")], c={"endpoints": endpoints(a, b), "health_checks": [check]}
        )
        async with plane(tmp_path, told) as gateway:

            async def until(well: list[bool]) -> None:
                with anyio.fail_after(60):
                    while True:
                        (cluster,) = await gateway.admin("/clusters")
                        if [one["well"] for one in cluster["endpoints"]] == well:
                            return
                        await anyio.sleep(0.02)

            a.status = 500
            await until([False, True])
            assert set(await _names(gateway, 10)) == {"b"}
            a.status = 200
            await until([True, True])
            assert set(await _names(gateway, 10)) == {"a", "b"}


async def test_deadlines_and_hedges(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("slow").running() as slow, Backend("b").running() as b:
        slow.delay = 3600.0
        routes = [
            {**forward("slow", timeout="100ms"), "match": {"path": {"prefix": "/late"}}},
            forward("both", hedge={"delay": "50ms"}),
        ]
        told = config(
            port,
            routes,
            slow={"endpoints": endpoints(slow)},
            both={"endpoints": endpoints(slow, b)},
        )
        async with plane(tmp_path, told) as gateway:
            status, refused = await gateway.get("/late")
            assert (status, refused["reason"]) == (504, "timeout")
            assert set(await _names(gateway, 6)) == {"b"}


async def test_a_cluster_takes_no_more_than_its_rate(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a:
        told = config(port, [forward("c")], c={"endpoints": endpoints(a), "max_rate": 0.001})
        async with plane(tmp_path, told) as gateway:
            assert (await gateway.get("/"))[0] == 200
            async with gateway.session.get(gateway.url) as answer:
                assert answer.status == 429
                assert int(answer.headers["retry-after"]) > 1
            assert len(a.seen) == 1


async def test_a_new_file_is_taken_over_and_a_bad_one_is_not(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a, Backend("b").running() as b:
        told = config(port, [forward("c")], c={"endpoints": endpoints(a)})
        async with plane(tmp_path, told) as gateway:
            assert set(await _names(gateway, 3)) == {"a"}
            await gateway.applied(config(port, [forward("c")], c={"endpoints": endpoints(b)}))
            assert set(await _names(gateway, 3)) == {"b"}
            gateway.write(config(port, [forward("gone")], c={"endpoints": endpoints(a)}))
            with anyio.fail_after(60):
                while await gateway.metric("config_rejected_total") < 1:
                    await anyio.sleep(0.02)
            assert set(await _names(gateway, 3)) == {"b"}
            assert 'there is no cluster "gone"' in gateway.log.read_text()
            # A second listener comes and goes without touching the first.
            more = config(port, [forward("c")], c={"endpoints": endpoints(a)})
            other = free_port()
            second = {"name": "m", "address": f"127.0.0.1:{other}", "routes": "r"}
            more["listeners"].append(second)
            await gateway.applied(more)
            async with gateway.session.get(f"http://127.0.0.1:{other}/") as answer:
                assert answer.status == 200
            # Another name at the same address takes over its socket.
            second["name"] = "renamed"
            await gateway.applied(more)
            async with gateway.session.get(f"http://127.0.0.1:{other}/") as answer:
                assert answer.status == 200
            # A port in use is told, and taken when it is free and the next set comes.
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                busy = taken.getsockname()[1]
                third = {"name": "n", "address": f"127.0.0.1:{busy}", "routes": "r"}
                more["listeners"].append(third)
                refused = await gateway.metric("config_rejected_total")
                gateway.write(more)
                with anyio.fail_after(60):
                    while await gateway.metric("config_rejected_total") <= refused:
                        await anyio.sleep(0.02)
            await gateway.applied(more)
            async with gateway.session.get(f"http://127.0.0.1:{busy}/") as answer:
                assert answer.status == 200


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("listeners: [{name: l}]", "address"),
        ("clusters: [{name: c, endpoints: [{address: nonsense}]}]", "nonsense"),
        ("clusters: [{name: c, load_balancer: {maglev: {size: 10}}}]", "prime"),
        ("clusters: [", "bad.yaml:"),
        ("secrets: [{name: s, certificate: {file: /nonexistent}, key: {file: /no}}]", "/nonexist"),
    ],
)
async def test_a_wrong_file_is_refused_with_its_place(
    tmp_path: Path, text: str, wanted: str
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    for extra in (["--validate"], []):
        process = await asyncio.create_subprocess_exec(
            str(binary()), "gateway", "run", "-c", str(file), *extra, stderr=-1
        )
        _, told = await process.communicate()
        assert process.returncode == 2
        assert wanted in told.decode()
        assert str(file) in told.decode()


async def test_draining_lets_requests_end(tmp_path: Path) -> None:
    port = free_port()
    async with Backend("a").running() as a:
        a.delay = 1.0
        told = config(port, [forward("c")], c={"endpoints": endpoints(a)})
        async with plane(tmp_path, told) as gateway, asyncio.TaskGroup() as tasks:
            running = tasks.create_task(gateway.get("/"))
            with anyio.fail_after(30):
                while not a.seen:
                    await anyio.sleep(0.01)
            assert gateway.process is not None
            gateway.process.terminate()
            assert (await running)[0] == 200
            assert await gateway.process.wait() == 0
