"""A served API that is killed under many writers: no acknowledged write and no shown event is
lost, and a watch that resumes sees the rest in order.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright._base.errors import CloudwrightError
from cloudwright.client.client import Client
from cloudwright.model.resources import CONFIG_MAP
from tests.integration.served_process import Server

pytestmark = pytest.mark.anyio
WRITERS, ROUNDS = 16, 3


async def test_what_was_acknowledged_or_shown_is_there_after_kill_9(tmp_path: Path) -> None:
    server = Server(tmp_path / "state")
    acknowledged: dict[str, str] = {}
    shown: list[tuple[str, str]] = []
    await server.start()
    try:
        for turn in range(ROUNDS):
            async with server.client() as client:
                await _until_killed(server, client, turn, acknowledged, shown)
            await server.start()
            async with server.client() as client:
                await _compared(client, acknowledged, shown)
    finally:
        server.end(signal.SIGKILL)


async def _until_killed(
    server: Server,
    client: Client,
    turn: int,
    acknowledged: dict[str, str],
    shown: list[tuple[str, str]],
) -> None:
    enough = anyio.Event()
    start = (await client.list(CONFIG_MAP, "default")).resource_version

    async def write(writer: int) -> None:
        count = 0
        while True:
            name = f"m-{turn}-{writer}-{count}"
            try:
                made = await client.create(CONFIG_MAP, {"metadata": {"name": name}}, "default")
            except (CloudwrightError, OSError):
                assert enough.is_set(), "only the kill may end it"
                return
            acknowledged[name] = made["metadata"]["resourceVersion"]
            count += 1
            if len(acknowledged) >= 300 * (turn + 1):
                enough.set()

    async def follow() -> None:
        try:
            async for event in client.watch(CONFIG_MAP, "default", resource_version=start):
                if event.type == "ADDED":
                    shown.append(_named(event.object))
        except (CloudwrightError, OSError):
            assert enough.is_set(), "only the kill may end it"

    async with anyio.create_task_group() as tasks:
        follower = anyio.CancelScope()

        async def followed() -> None:
            with follower:
                await follow()

        tasks.start_soon(followed)
        for writer in range(WRITERS):
            tasks.start_soon(write, writer)
        with anyio.fail_after(120):
            await enough.wait()
        server.end(signal.SIGKILL)
        follower.cancel()


async def _compared(
    client: Client, acknowledged: dict[str, str], shown: list[tuple[str, str]]
) -> None:
    listed = [_named(one) for one in (await client.list(CONFIG_MAP, "default")).items]
    kept = {name: revision for name, revision in listed if name.startswith("m-")}
    assert acknowledged.items() <= kept.items()
    seen = [(name, revision) for name, revision in shown if name.startswith("m-")]
    assert seen
    assert set(seen) <= set(kept.items())
    revisions = [int(revision) for _, revision in seen]
    assert revisions == sorted(set(revisions))
    # No gap: between the first and the last that a watch was shown there is nothing else.
    for turn in {name.split("-")[1] for name, _ in seen}:
        part = [int(rev) for name, rev in seen if name.split("-")[1] == turn]
        inside = {int(rev) for rev in kept.values() if part[0] <= int(rev) <= part[-1]}
        assert inside == set(part)


def _named(obj: Any) -> tuple[str, str]:
    return obj["metadata"]["name"], obj["metadata"]["resourceVersion"]
