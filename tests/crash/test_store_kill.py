"""``kill -9`` in the middle of writing: no acknowledged write is lost, no revision comes twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.apiserver_store.kit import opened

pytestmark = pytest.mark.anyio

ROUNDS = max(int(os.environ.get("CLOUDWRIGHT_CRASH_POINTS", "300")) // 60, 1)
"""Few: ``test_store_power`` looks at every step; here a real process is killed, at any moment."""
WRITER = Path(__file__).with_name("store_writer.py")


def killed_at(path: Path, run: int, lines_before: int) -> tuple[int, list[tuple[int, str, str]]]:
    """Run the writer, kill it after some acknowledged writes; its first revision, its writes."""
    process = subprocess.Popen(
        [sys.executable, str(WRITER), str(path), str(run)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    ready = process.stdout.readline().split()
    assert ready[:1] == [b"ready"]
    read = [process.stdout.readline() for _ in range(lines_before)]
    os.kill(process.pid, signal.SIGKILL)
    # What is still in the pipe was acknowledged, too; the last line may be cut.
    read += process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    writes = []
    for line in read:
        if line.endswith(b"\n"):
            revision, key, text = line.decode().split()
            writes.append((int(revision), key, text))
    return int(ready[1]), writes


async def test_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    rng = random.Random()
    latest: dict[str, tuple[int, str]] = {}
    highest = 0
    for run in range(ROUNDS):
        first, writes = killed_at(path, run, rng.randrange(1, 1500))
        assert first >= highest, "the store went back"
        revisions = [revision for revision, _, _ in writes]
        assert len(set(revisions)) == len(revisions)
        assert min(revisions) > first, "a revision came twice"
        highest = max(revisions)
        for revision, key, text in sorted(writes):
            latest[key] = (revision, text)
        async with opened(tmp_path) as store:
            assert store.revision >= highest
            for key, (revision, text) in latest.items():
                record = await store.get(key)
                assert record is not None, f"{key} is lost"
                # Only a write that was in flight when the process died may be newer.
                assert record.revision >= revision, f"{key}@{revision} is lost"
                if record.revision == revision:
                    expected = f'{{"rv":"{revision}","text":"{text}"}}'
                    assert record.value == expected.encode()
            highest = max(highest, store.revision)
