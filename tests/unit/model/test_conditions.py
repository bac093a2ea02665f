from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.clock import rfc3339
from cloudwright.model import conditions

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = st.lists(
    st.tuples(st.sampled_from(["Ready", "Progressing"]), st.sampled_from(["True", "False"])),
    max_size=20,
)


@given(STEPS)
def test_the_transition_time_is_that_of_the_last_change(steps: list[tuple[str, Any]]) -> None:
    found: list[dict[str, Any]] = []
    expected: dict[str, tuple[str, str]] = {}
    for index, (kind, status) in enumerate(steps):
        now = START + timedelta(seconds=index)
        before = [dict(entry) for entry in found]
        changed = conditions.set_condition(found, kind, status, f"R{index}", "m", now, index)
        assert found == before, "the old list is left alone"
        found = changed
        if expected.get(kind, ("", ""))[0] != status:
            expected[kind] = (status, rfc3339(now))
        assert (conditions.find(found, kind) or {})["reason"] == f"R{index}"
        assert (conditions.find(found, kind) or {})["observedGeneration"] == index
    seen = {c["type"]: (c["status"], c["lastTransitionTime"]) for c in found}
    assert seen == expected
    assert len(found) == len(expected), "one entry for each type"


def test_other_keys_and_the_order_are_kept() -> None:
    old = [{"type": "A", "status": "True", "lastProbeTime": "x"}, {"type": "B", "status": "True"}]
    new = conditions.set_condition(old, "A", "False", "R", "m", START)
    assert [entry["type"] for entry in new] == ["A", "B"]
    assert new[0]["lastProbeTime"] == "x"
    assert "observedGeneration" not in new[0]
    assert conditions.is_true(new, "B")
    assert not conditions.is_true(new, "A")
    assert not conditions.is_true(None, "A")
    assert conditions.remove_condition(new, "A") == [old[1]]
