"""Backup of a served API while it is written, a crash, a restore: what clients of before see."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from cloudwright.client.client import Client
from cloudwright.client.errors import ApiError, Conflict, Expired, NotFound
from cloudwright.model.resources import CONFIG_MAP
from tests.integration.served_process import ROOT, Server

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    found = Server(tmp_path / "state")
    await found.start()
    try:
        yield found
    finally:
        found.end(signal.SIGKILL)


async def cli(*words: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "cloudwright.cli.main", *words]
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout or done.stderr


async def keep_writing(client: Client, written: list[str]) -> None:
    number = 0
    while True:
        number += 1
        name = f"busy-{number:04}"
        await client.create(CONFIG_MAP, {"metadata": {"name": name}}, "default")
        written.append(name)


async def test_backup_crash_and_restore(server: Server, tmp_path: Path) -> None:
    target, where = str(tmp_path / "one.cwb"), ["--state-dir", str(server.state)]
    written: list[str] = []
    async with server.client() as client:
        body = {"metadata": {"name": "kept"}, "data": {"n": "1"}}
        kept = await client.create(CONFIG_MAP, body, "default")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_writing, client, written)
            while len(written) < 20:
                await anyio.sleep(0.01)
            before = len(written)
            facts = json.loads(await cli("backup", target, *where, "-o", "json"))
            after = len(written)
            tasks.cancel_scope.cancel()
        assert facts["revision"] > int(kept["metadata"]["resourceVersion"])
        newer = await client.patch(CONFIG_MAP, "kept", {"data": {"n": "2"}}, "default")
        await client.create(CONFIG_MAP, {"metadata": {"name": "lost"}}, "default")
        seen = await client.list(CONFIG_MAP, "default")
    assert "in use by another process" in await cli("restore", target, *where, "--yes", code=7)
    server.end(signal.SIGKILL)
    assert "is good" in await cli("restore", "--verify", target)
    assert "restored" in await cli("restore", target, *where, "--yes")

    await server.start()
    async with server.client() as client:
        found = await client.list(CONFIG_MAP, "default")
        names = {item["metadata"]["name"] for item in found.items}
        # Everything that was acknowledged before the backup began, nothing from after its end.
        assert set(written[:before]) <= names
        assert not names & set(written[after + 1 :])
        assert "lost" not in names
        assert int(found.resource_version) > int(seen.resource_version) + 900_000_000
        assert await client.get(CONFIG_MAP, "kept", "default") == kept
        # A client that saw what is gone now: no old version is taken for a new one.
        with pytest.raises(Conflict):
            await client.update(CONFIG_MAP, newer)
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAP, "lost", "default")
        with pytest.raises(Expired), anyio.fail_after(30):
            async for _ in client.watch(
                CONFIG_MAP, "default", resource_version=seen.resource_version
            ):
                pass
        exactly = (
            ("resourceVersion", seen.resource_version), ("resourceVersionMatch", "Exact")
        )  # fmt: skip
        with pytest.raises(ApiError) as exact:
            await client.raw("/api/v1/namespaces/default/configmaps", exactly)
        assert exact.value.http_status == 410
        changed = await client.patch(CONFIG_MAP, "kept", {"data": {"n": "3"}}, "default")
        assert int(changed["metadata"]["resourceVersion"]) > int(found.resource_version)
