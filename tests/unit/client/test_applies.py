from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloudwright.client import applies

KEYS = st.sampled_from(["a", "b", "c"])
OBJECTS = st.recursive(
    st.dictionaries(KEYS, st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2), max_size=3),
    lambda inner: st.dictionaries(KEYS, inner | st.integers(0, 3), max_size=3),
    max_leaves=8,
)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, straight from its text."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def covers(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            k in whole and covers(whole[k], part[k]) for k in part
        )
    return bool(whole == part)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_what_is_written_is_there_afterwards(
    original: dict[str, Any], modified: dict[str, Any], current: dict[str, Any]
) -> None:
    before = copy.deepcopy((original, modified, current))
    result = merged(current, applies.three_way_patch(original, modified, current))
    assert covers(result, modified)
    assert (original, modified, current) == before, "its inputs are left alone"
    for key in original:
        if key not in modified:
            assert key not in result, "what is written no more is gone"
    for key in current:
        if key not in original and key not in modified:
            assert result[key] == current[key], "what others wrote stays"


@given(OBJECTS, OBJECTS, OBJECTS)
def test_applying_twice_changes_nothing(
    original: dict[str, Any], modified: dict[str, Any], current: dict[str, Any]
) -> None:
    result = merged(current, applies.three_way_patch(original, modified, current))
    assert applies.three_way_patch(modified, modified, result) == {}


def test_fields_inside_are_removed_and_kept() -> None:
    original = {"spec": {"replicas": 3, "paused": True}, "metadata": {"labels": {"a": "1"}}}
    modified = {"spec": {"replicas": 4}, "metadata": {"labels": {}}}
    current = {
        "spec": {**original["spec"], "other": 1},
        "metadata": {"labels": {"a": "1", "b": "2"}},
    }
    assert applies.three_way_patch(original, modified, current) == {
        "spec": {"replicas": 4, "paused": None},
        "metadata": {"labels": {"a": None}},
    }


def test_an_object_remembers_what_it_was_applied_as() -> None:
    obj = {"metadata": {"name": "x", "annotations": {"mine": "1"}}, "spec": {"a": 1}}
    stamped = applies.annotated(obj)
    assert applies.last_applied(stamped) == obj
    assert applies.annotated(stamped) == stamped, "it does not remember remembering"
    assert stamped["metadata"]["annotations"]["mine"] == "1"
    assert applies.last_applied(obj) == {}
    broken = {"metadata": {"annotations": {applies.LAST_APPLIED: "{"}}}
    assert applies.last_applied(broken) == {}
