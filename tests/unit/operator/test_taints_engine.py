"""Taints by conditions, patience of pods, and pods that nobody else would end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.clock import rfc3339
from cloudwright.model.objects import Object
from cloudwright.operator.engines import podgc, taints
from tests.unit.operator.builders import NOW


def node(conditions: dict[str, str], *marks: tuple[str, str], **spec: Any) -> Object:
    entries = [{"type": kind, "status": status} for kind, status in conditions.items()]
    known = [{"key": key, "effect": effect} for key, effect in marks]
    return {
        "metadata": {"name": "n"},
        "spec": {"taints": known, **spec},
        "status": {"conditions": entries},
    }


def kinds(found: list[Object] | None) -> set[tuple[str, str]] | None:
    return None if found is None else {(one["key"], one["effect"]) for one in found}


DISK = ("node.kubernetes.io/disk-pressure", "NoSchedule")
BAD = {(taints.NOT_READY, "NoSchedule"), (taints.NOT_READY, "NoExecute")}
GONE = {(taints.UNREACHABLE, "NoSchedule"), (taints.UNREACHABLE, "NoExecute")}


def test_a_ready_node_has_none() -> None:
    assert taints.wanted(node({"Ready": "True", "DiskPressure": "False"}), NOW) is None


@pytest.mark.parametrize(
    ("conditions", "marks", "expected"),
    [
        ({"Ready": "False"}, [], BAD),
        ({"Ready": "Unknown"}, [*BAD], GONE),
        ({"Ready": "True"}, [*GONE], set()),
        ({"Ready": "True", "DiskPressure": "True"}, [], {DISK}),
        ({"Ready": "True"}, [DISK, ("mine", "NoExecute")], {("mine", "NoExecute")}),
        ({"Ready": "False"}, [(taints.NOT_READY, "NoSchedule")], BAD),
    ],
)
def test_conditions_are_taints(
    conditions: dict[str, str], marks: list[tuple[str, str]], expected: set[tuple[str, str]]
) -> None:
    found = taints.wanted(node(conditions, *marks), NOW)
    assert kinds(found) == expected
    assert found is not None
    again = {**node(conditions), "spec": {"taints": found}}
    assert taints.wanted(again, NOW) is None


def test_a_cordoned_node_and_what_people_set() -> None:
    found = taints.wanted(node({"Ready": "True"}, unschedulable=True), NOW)
    assert kinds(found) == {("node.kubernetes.io/unschedulable", "NoSchedule")}
    people = ("node.kubernetes.io/disk-pressure", "NoExecute")
    assert taints.wanted(node({"Ready": "True"}, people), NOW) is None


def taint(key: str) -> Object:
    return {"key": key, "effect": "NoExecute", "timeAdded": rfc3339(NOW)}


def stay(key: str, seconds: int | None = None) -> Object:
    found: Object = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    return found if seconds is None else {**found, "tolerationSeconds": seconds}


@pytest.mark.parametrize(
    ("marks", "tolerations", "expected"),
    [
        ([], [], None),
        (["a"], [], 0.0),
        (["a"], [stay("b", 5)], 0.0),
        (["a"], [stay("a")], None),
        (["a"], [stay("a", 300)], 300.0),
        (["a", "b"], [stay("a", 300), stay("b", 30)], 30.0),
        (["a", "b"], [stay("a", 300), stay("b")], 300.0),
        (["a"], [stay("a", -1)], 0.0),
        (["a"], [stay("a", 9), stay("a", 1)], 9.0),  # the first that fits counts
        (["a"], [{"operator": "Exists"}], None),
    ],
)
def test_patience(marks: list[str], tolerations: list[Object], expected: float | None) -> None:
    assert taints.patience([taint(key) for key in marks], tolerations) == expected


def pod(name: str = "p", phase: str = "Running", on: str = "n", *, deleted: bool = False) -> Object:
    metadata = {"name": name, "creationTimestamp": rfc3339(NOW)}
    if deleted:
        metadata["deletionTimestamp"] = rfc3339(NOW)
    return {"metadata": metadata, "spec": {"nodeName": on}, "status": {"phase": phase}}


def test_who_is_lost() -> None:
    well = node({"Ready": "True"})
    assert podgc.lost(pod(), well) == ""
    assert podgc.lost(pod(), None) == podgc.ORPHANED
    assert podgc.lost(pod(on=""), None) == ""
    assert podgc.lost(pod(on="", deleted=True), None) == podgc.UNSCHEDULED
    away = node({"Ready": "Unknown"}, (taints.OUT_OF_SERVICE, "NoExecute"))
    assert podgc.lost(pod(), away) == ""
    assert podgc.lost(pod(deleted=True), away) == podgc.OUT_OF_SERVICE
    assert podgc.lost(pod(deleted=True), well) == ""


def test_an_orphan_has_failed_and_says_why() -> None:
    status = podgc.failed(pod(), podgc.ORPHANED, NOW)
    assert status is not None
    assert status["phase"] == "Failed"
    (entry,) = status["conditions"]
    assert (entry["type"], entry["reason"]) == ("DisruptionTarget", "DeletionByPodGC")
    assert podgc.failed(pod(phase="Succeeded"), podgc.ORPHANED, NOW) is None


@given(st.lists(st.sampled_from(["Running", "Failed", "Succeeded"]), max_size=20))
def test_only_ended_pods_are_too_many(phases: list[str]) -> None:
    every = [pod(f"p{number:02}", phase) for number, phase in enumerate(phases)]
    found = podgc.surplus(every, 3)
    ended = [one for one in every if one["status"]["phase"] != "Running"]
    assert found == ended[: max(len(ended) - 3, 0)]
