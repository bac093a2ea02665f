"""Garbage collection on graphs of owners: what hangs on the living stays, the rest goes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright.operator.engines.gc import (
    FOREGROUND,
    ORPHAN,
    Owner,
    Verdict,
    judge,
    orphans,
    releases,
    without_finalizer,
    without_owner,
)


def obj(uid: str, *owners: str, blocking: bool = True, finalizers: tuple[str, ...] = ()):
    found: dict[str, Any] = {
        "metadata": {
            "uid": uid,
            "name": uid,
            "ownerReferences": [
                {"uid": o, "kind": "K", "name": o, "blockOwnerDeletion": blocking} for o in owners
            ],
        }
    }
    if finalizers:
        found["metadata"]["finalizers"] = list(finalizers)
        found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return found


def verdict(one: dict[str, Any], states: dict[str, Owner], *, dependents: bool = False) -> Verdict:
    return judge(one, lambda r: states[r["uid"]], has_dependents=dependents).verdict


def test_without_owners_an_object_is_nobodys_business() -> None:
    assert verdict(obj("a"), {}) is Verdict.KEEP


def test_an_unknown_owner_is_no_reason_to_delete() -> None:
    states = {"x": Owner.GONE, "y": Owner.UNKNOWN}
    assert verdict(obj("a", "x", "y"), states) is Verdict.KEEP


def test_a_living_owner_keeps_it_and_dead_ones_are_dropped() -> None:
    judgement = judge(
        obj("a", "x", "y"),
        lambda r: {"x": Owner.GONE, "y": Owner.PRESENT}[r["uid"]],
        has_dependents=False,
    )
    assert judgement.verdict is Verdict.DROP_REFERENCES
    assert [r["uid"] for r in judgement.remaining] == ["y"]


def test_foreground_goes_down_the_tree() -> None:
    states = {"x": Owner.WAITING}
    assert verdict(obj("leaf", "x"), states) is Verdict.DELETE_BACKGROUND
    assert verdict(obj("branch", "x"), states, dependents=True) is Verdict.DELETE_FOREGROUND


def test_a_waiting_owner_goes_after_those_who_block_it() -> None:
    root = obj("root", finalizers=(FOREGROUND,))
    assert not releases(root, [obj("a", "root")])
    assert releases(root, [obj("a", "root", blocking=False)])
    assert releases(root, [])
    assert without_finalizer(root, FOREGROUND) == []


def test_orphans_lose_their_owner_only() -> None:
    assert orphans(obj("root", finalizers=(ORPHAN,)))
    assert [r["uid"] for r in without_owner(obj("a", "root", "other"), "root")] == ["other"]


class _Cluster:
    """Objects that are judged one after another, in any order, until nothing changes."""

    def __init__(self, objects: dict[str, dict[str, Any]]) -> None:
        self.objects = objects

    def state(self, reference: dict[str, Any]) -> Owner:
        owner = self.objects.get(reference["uid"])
        if owner is None:
            return Owner.GONE
        waits = FOREGROUND in (owner["metadata"].get("finalizers") or [])
        return Owner.WAITING if waits else Owner.PRESENT

    def dependents(self, uid: str) -> list[dict[str, Any]]:
        return [
            o
            for o in self.objects.values()
            if any(r["uid"] == uid for r in o["metadata"]["ownerReferences"])
        ]

    def visit(self, uid: str) -> bool:
        one = self.objects.get(uid)
        if one is None:
            return False
        if one["metadata"].get("deletionTimestamp"):
            if releases(one, self.dependents(uid)):
                del self.objects[uid]
                return True
            return False
        judgement = judge(one, self.state, has_dependents=bool(self.dependents(uid)))
        match judgement.verdict:
            case Verdict.DELETE_BACKGROUND:
                del self.objects[uid]
            case Verdict.DELETE_FOREGROUND:
                one["metadata"]["finalizers"] = [FOREGROUND]
                one["metadata"]["deletionTimestamp"] = "now"
            case Verdict.DROP_REFERENCES:
                one["metadata"]["ownerReferences"] = list(judgement.remaining)
            case Verdict.KEEP:
                return False
        return True

    def settle(self, order: list[int]) -> None:
        changed = True
        while changed:
            names = sorted(self.objects)
            rotated = [names[i % len(names)] for i in order if names] + names
            changed = any([self.visit(name) for name in rotated])


@given(
    count=st.integers(1, 8),
    edges=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14),
    removed=st.integers(0, 7),
    foreground=st.booleans(),
    order=st.lists(st.integers(0, 7), max_size=10),
)
@settings(max_examples=300)
def test_exactly_what_hangs_on_nothing_living_goes(
    count: int, edges: set[tuple[int, int]], removed: int, foreground: bool, order: list[int]
) -> None:
    # Owners have smaller numbers: a graph without circles.
    owners = {n: sorted({a for a, b in edges if b == n and a < n}) for n in range(count)}
    objects = {f"{n}": obj(f"{n}", *map(str, owners[n])) for n in range(count)}
    root = removed % count
    living = {n for n in range(count) if n != root}
    changed = True
    while changed:
        gone = {n for n in living if owners[n] and not any(o in living for o in owners[n])}
        living -= gone
        changed = bool(gone)
    cluster = _Cluster(objects)
    if foreground:
        objects[f"{root}"]["metadata"].update(finalizers=[FOREGROUND], deletionTimestamp="now")
    else:
        del objects[f"{root}"]
    cluster.settle(order)
    assert {int(uid) for uid in cluster.objects} == living
