"""Numbers of replicas of custom objects: what is wrong is said as Go's accessors say it."""

from __future__ import annotations

from typing import Any

import pytest

from cloudwright.apiserver import customscale
from cloudwright.apiserver.registry import ScalePaths

PATHS = ScalePaths("spec.size", "status.size", "status.selector")


@pytest.mark.parametrize(
    ("obj", "wrong"),
    [
        ({}, ""),
        ({"spec": None}, ""),
        ({"spec": {"size": 3}, "status": {"size": 0, "selector": "a=b"}}, ""),
        ({"spec": {"size": "5"}}, "5 is of the type string, expected int64"),
        ({"spec": {"size": 2.0}}, "2 is of the type float64, expected int64"),
        ({"spec": {"size": None}}, "<nil> is of the type <nil>, expected int64"),
        ({"spec": []}, "[] is of the type []interface {}, expected map[string]interface{}"),
        ({"spec": {"size": {"a": [1, True]}}}, "map[a:[1 true]] is of the type map[string]"),
        ({"spec": {"size": -1}}, "should be a non-negative integer"),
        ({"spec": {"size": 1 << 31}}, "should be less than or equal to 2147483647"),
        ({"status": {"selector": 1}}, "1 is of the type int64, expected string"),
    ],
)
def test_what_is_wrong_is_told(obj: dict[str, Any], wrong: str) -> None:
    found = [str(error) for error in customscale.errors(obj, PATHS)]
    assert len(found) == bool(wrong)
    assert not found or wrong in found[0]
