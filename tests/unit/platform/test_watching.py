"""Waiting for files without polling."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from cloudwright._base.watching import watching

pytestmark = pytest.mark.anyio


async def test_what_appears_goes_or_was_moved_wakes(tmp_path: Path) -> None:
    with anyio.fail_after(20), watching(tmp_path) as directory:
        (tmp_path / "a").write_text("")
        await directory.changed()
        elsewhere = tmp_path.parent / "elsewhere"
        elsewhere.write_text("")
        elsewhere.rename(tmp_path / "b")
        await directory.changed()
        (tmp_path / "b").unlink()
        await directory.changed()


async def test_it_waits_until_something_happens(tmp_path: Path) -> None:
    woken = anyio.Event()

    async def wait() -> None:
        with watching(tmp_path) as directory:
            begun.set()
            await directory.changed()
            woken.set()

    begun = anyio.Event()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await begun.wait()
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert not woken.is_set()
            (tmp_path / "socket").write_text("")
            await woken.wait()


async def test_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"missing"), watching(tmp_path / "missing"):
        raise AssertionError("it watches nothing")
