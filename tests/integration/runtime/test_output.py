"""Logs on disk: format, rotation, a full disk."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from cloudwright.model.sandbox import ContainerState, LogTarget
from tests.integration.runtime.kit import Kit

pytestmark = [pytest.mark.anyio, pytest.mark.root]

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) [FP] .*")


async def test_lines_are_in_the_cri_format(kit: Kit) -> None:
    await kit.finish("both", "both")
    lines = kit.log("both").read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert sorted(kit.text("both").splitlines()) == [
        "stderr F to stderr",
        "stdout F to stdout",
        "stdout P no newline",
    ]
    assert kit.log("both").stat().st_mode & 0o777 == 0o600


async def test_long_lines_are_parts(kit: Kit) -> None:
    await kit.finish("long", "spam", "2", "40000")
    tags = [line.split()[1] for line in kit.text("long").splitlines()]
    assert tags == ["P", "P", "F"] * 2


async def test_rotation_by_size_and_count_loses_only_the_oldest(kit: Kit) -> None:
    target = LogTarget(str(kit.log("spam")), max_bytes=100_000, max_files=3)
    await kit.finish("spam", "spam", "20000", "50", log=target)
    files = [kit.log("spam").with_name(f"0.log{end}") for end in (".2", ".1", "")]
    assert all(0 < file.stat().st_size <= 100_000 for file in files)
    assert len(list(kit.log("spam").parent.iterdir())) == 3
    lines = "".join(file.read_text() for file in files).splitlines()
    numbers = [int(line.split()[3]) for line in lines]
    assert numbers == list(range(20000 - len(numbers), 20000))


async def test_a_full_disk_drops_lines_and_keeps_the_container(kit: Kit) -> None:
    small = kit.root / "small"
    small.mkdir()
    await kit.sandbox()  # the supervisor must exist before the mount, or see it by propagation
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    await kit.engine.shutdown(grace_seconds=0)  # a new one starts with the mount in sight
    try:
        target = LogTarget(str(small / "0.log"))
        container = await kit.run("full", "spam", "20000", "50", log=target)
        ended = await kit.ended(container)
        assert (ended.state, ended.exit_code) == (ContainerState.EXITED, 0)
        assert "log lines were dropped" in ended.message
        text = (small / "0.log").read_text()
        assert text.endswith("\n")
        assert all(LINE.fullmatch(line) for line in text.splitlines())
    finally:
        await kit.engine.shutdown(grace_seconds=0)
        subprocess.run(["umount", str(small)], check=True)


async def test_without_a_log_the_output_goes_nowhere(kit: Kit) -> None:
    ended = await kit.finish("quiet", "spam", "5000", "100", log=None)
    assert ended.exit_code == 0
    assert not Path(kit.log("quiet")).exists()
