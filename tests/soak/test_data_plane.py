"""A short soak; ``python -m tests.soak.data_plane`` is the long one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.peers.build import Unavailable
from tests.soak.data_plane import Plan, run

pytestmark = pytest.mark.slow
PLAN = Plan(seconds=20, rate=120, rotate=4, flap=2, kill=4)
MEMORY_FACTOR = 3.0
MEMORY_FLOOR = 8.0
"""MiB below which a factor says nothing."""


def test_only_what_died_with_a_backend_is_lost(tmp_path: Path) -> None:
    try:
        tally = run(tmp_path, PLAN)
    except Unavailable as error:
        pytest.skip(str(error))
    report = tally.report()
    text = json.dumps(report, indent=1)
    assert sum(tally.good.values()) > 500, text
    assert all(tally.events[name] >= 2 for name in ("rotations", "flaps", "kills")), text
    classes = [tally.classify(one) for one in tally.failures]
    assert "unexplained" not in classes, text
    assert "retriable" not in classes, text
    for series in tally.memory_report().values():
        assert series["last"] < max(MEMORY_FACTOR * series["first"], MEMORY_FLOOR), text
