"""A full disk under the API: clear refusals, nothing half-written, recovery unaided."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.apiserver_core import kit

pytestmark = [pytest.mark.anyio, pytest.mark.root]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "cloudwright-test", str(directory)], check=True
    )
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(path: Path) -> None:
    """Take what space is left."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while file.write(os.urandom(size)) == size:
                    pass
            except OSError:
                continue


async def test_writes_fail_clearly_and_work_again_when_there_is_space(small_disk: Path) -> None:
    async with kit.serving(small_disk / "state") as api:
        await api.create(kit.CONFIG_MAPS, kit.config_map("kept", x="1"))
        fill(small_disk / "ballast")
        refused, written = 0, []
        for index in range(40):
            name = f"c{index}"
            reply = await api.raw("POST", kit.CONFIG_MAPS, kit.config_map(name, x="y" * 100_000))
            if reply.status == 201:
                written.append(name)
                continue
            assert reply.status == 507, reply.body
            assert b"no space left on the device" in reply.body
            refused += 1
        assert refused > 0
        names = {one["metadata"]["name"] for one in (await api.get(kit.CONFIG_MAPS))["items"]}
        assert names == {"kept", *written}

        (small_disk / "ballast").unlink()
        await api.create(kit.CONFIG_MAPS, kit.config_map("after", x="y" * 100_000))
    async with kit.serving(small_disk / "state") as api:
        names = {one["metadata"]["name"] for one in (await api.get(kit.CONFIG_MAPS))["items"]}
        assert names == {"kept", "after", *written}
