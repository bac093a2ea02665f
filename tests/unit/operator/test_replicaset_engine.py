"""Which pods go, who belongs to whom, and that a stale view never makes a pod too many."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright.model.objects import name_of
from cloudwright.operator.engines import ownership
from cloudwright.operator.engines import replicaset as engine
from cloudwright.operator.engines.expectations import GIVE_UP_SECONDS, Expectations
from tests.unit.operator.builders import NOW, pod, stamp, template


def replica_set(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "rs", "namespace": "default", "uid": "rs", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            **spec,
        },
    }


def test_pods_go_in_the_order_of_their_worth() -> None:
    pods = [
        pod("ready-old", created=0),
        pod("ready-new", created=50),
        pod("not-ready", ready=False, created=0),
        pod("pending", ready=False, phase="Pending", created=0),
        pod("unplaced", ready=False, phase="Pending", node="", created=0),
        pod("newest", created=90),
    ]
    random.Random(1).shuffle(pods)
    assert [name_of(p) for p in engine.doomed_first(pods)] == [
        "unplaced",
        "pending",
        "not-ready",
        "newest",
        "ready-new",
        "ready-old",
    ]


def test_a_low_deletion_cost_goes_before_a_shorter_life() -> None:
    cheap, dear = pod("cheap", created=0), pod("dear", created=90)
    cost = "controller.kubernetes.io/pod-deletion-cost"
    cheap["metadata"]["annotations"] = {cost: "-5"}
    assert [name_of(p) for p in engine.doomed_first([dear, cheap])] == ["cheap", "dear"]


def test_finished_and_leaving_pods_are_replaced() -> None:
    owned = [pod("a"), pod("b", phase="Failed"), pod("c", deleted=True)]
    assert engine.change(replica_set(3), owned).create == 2


def test_orphans_are_adopted_strangers_left_and_misfits_released() -> None:
    rs = replica_set()
    orphan = pod("orphan")
    foreign = pod("foreign", owner="other")
    misfit = pod("misfit", owner="rs", labels={"app": "changed"})
    mine = pod("mine", owner="rs")
    leaving = pod("leaving", deleted=True)
    claim = ownership.claim(rs, [orphan, foreign, misfit, mine, leaving])
    assert [name_of(p) for p in claim.mine] == ["mine"]
    assert [name_of(p) for p in claim.adopt] == ["orphan"]
    assert [name_of(p) for p in claim.release] == ["misfit"]
    assert ownership.released(rs, misfit)["metadata"]["ownerReferences"] == []
    assert ownership.claim(rs, [ownership.adopted(rs, orphan)]).mine


def test_a_deleted_owner_adopts_and_releases_nothing() -> None:
    rs = replica_set()
    rs["metadata"]["deletionTimestamp"] = stamp()
    claim = ownership.claim(rs, [pod("orphan"), pod("misfit", owner="rs", labels={})])
    assert not claim.adopt
    assert not claim.release


def test_status_counts_and_names_a_failure() -> None:
    owned = [pod("a", created=-60), pod("b", created=0), pod("c", ready=False)]
    status = engine.status_of(replica_set(5, minReadySeconds=30), owned, NOW, "quota")
    assert (status["replicas"], status["readyReplicas"], status["availableReplicas"]) == (3, 2, 1)
    assert status["conditions"][0]["reason"] == "FailedCreate"
    assert engine.available_in(replica_set(5, minReadySeconds=30), owned, NOW) == 30
    again = {**replica_set(5), "status": status}
    assert "conditions" not in engine.status_of(again, owned, NOW)


class _Server:
    """Pods as they are, and as a view shows them: later, but in order."""

    def __init__(self) -> None:
        self.pods: dict[str, dict[str, Any]] = {}
        self.view: dict[str, dict[str, Any]] = {}
        self.pending: list[tuple[str, dict[str, Any] | None]] = []
        self.count = 0
        self.most = 0

    def create(self) -> str:
        self.count += 1
        name = f"p{self.count}"
        self.pods[name] = pod(name, owner="rs")
        self.pending.append((name, self.pods[name]))
        self.most = max(self.most, len(self.pods))
        return f"uid-{name}"

    def delete(self, name: str) -> None:
        if self.pods.pop(name, None) is not None:
            self.pending.append((name, None))


@given(
    wish=st.integers(0, 6),
    moves=st.lists(
        st.tuples(
            st.sampled_from(["sync", "deliver", "kill", "restart", "lost answer", "scale"]),
            st.integers(0, 6),
        ),
        max_size=60,
    ),
)
@settings(max_examples=300, deadline=None)
def test_never_a_pod_too_many_and_always_enough_in_the_end(
    wish: int, moves: list[tuple[str, int]]
) -> None:
    server, expectations = _Server(), Expectations()
    largest = wish

    def sync(lose_answer: bool = False) -> None:
        nonlocal expectations
        if expectations.pending("rs", 0) is not None:
            return
        if expectations.needs_list("rs"):
            server.view = dict(server.pods)
            server.pending.clear()
            expectations.listed("rs")
        change = engine.change(replica_set(wish), list(server.view.values()))
        for _ in range(change.create):
            uid = server.create()
            if lose_answer:
                expectations.uncertain("rs", 0)
                return
            expectations.created("rs", uid, 0)
        for victim in change.delete:
            expectations.deleting("rs", victim["metadata"]["uid"], 0)
            server.delete(name_of(victim))

    def deliver() -> None:
        name, obj = server.pending.pop(0)
        if obj is None:
            server.view.pop(name, None)
        else:
            server.view[name] = obj
        expectations.saw("rs", f"uid-{name}", gone=obj is None)

    for move, number in moves:
        if move == "sync":
            sync()
        elif move == "lost answer":
            sync(lose_answer=True)
        elif move == "deliver" and server.pending:
            deliver()
        elif move == "kill" and server.pods:
            server.delete(sorted(server.pods)[number % len(server.pods)])
        elif move == "scale":
            wish = number
            largest = max(largest, wish)
        elif move == "restart":
            # A new process lists first.
            expectations = Expectations()
            server.view = dict(server.pods)
            server.pending.clear()
        assert len(server.pods) <= largest
    for _ in range(20):
        sync()
        while server.pending:
            deliver()
    assert len(server.pods) == wish


def test_a_lost_notification_is_asked_for_in_the_end() -> None:
    expectations = Expectations()
    expectations.created("rs", "never-seen", 0)
    assert expectations.pending("rs", 10) == GIVE_UP_SECONDS - 10
    assert expectations.pending("rs", GIVE_UP_SECONDS) is None
    assert expectations.needs_list("rs")


def test_a_pod_that_was_seen_before_the_answer_is_not_waited_for() -> None:
    expectations = Expectations()
    expectations.saw("rs", "fast", gone=False)
    expectations.created("rs", "fast", 0)
    assert expectations.pending("rs", 0) is None
