"""What is known of policies and pods, when watches and direct reads come in any order."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from cloudwright.network.policy.engine import OPEN, rules_of
from cloudwright.network.policy.state import State

Json = dict[str, Any]
ADDRESSES = {"u": IPv4Address("10.244.0.2")}


def policy(version: int, **spec: Any) -> Json:
    metadata = {"name": "p", "namespace": "n", "uid": "pu", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"podSelector": {}, **spec}}


def pod(version: int, phase: str = "Running", **labels: str) -> Json:
    metadata = {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": str(version)}
    return {
        "metadata": {**metadata, "labels": labels},
        "spec": {"containers": []},
        "status": {"phase": phase},
    }


def known() -> tuple[State, list[str]]:
    told: list[str] = []
    return State(lambda: told.append("x")), told


def test_an_older_revision_changes_nothing() -> None:
    state, _ = known()
    pods, _, policies = state.handlers
    pods.on_add(pod(1))
    state.put_policy(policy(5, policyTypes=["Egress"]))
    policies.on_add(policy(4, policyTypes=["Ingress"]))
    found = rules_of(state.world(ADDRESSES), "u")
    assert found.ingress is None
    assert found.egress == ()


def test_what_was_deleted_during_a_read_does_not_come_back() -> None:
    state, _ = known()
    pods, _, policies = state.handlers
    pods.on_add(pod(1))
    policies.on_add(policy(2))
    with state.reading():
        policies.on_delete(policy(3))
        state.put_policy(policy(2))
    assert rules_of(state.world(ADDRESSES), "u") == OPEN


def test_a_policy_made_again_is_not_taken_away_by_the_old_ones_end() -> None:
    state, _ = known()
    pods, _, policies = state.handlers
    pods.on_add(pod(1))
    again = policy(9)
    again["metadata"]["uid"] = "another"
    state.put_policy(again)
    policies.on_delete(policy(3))
    assert rules_of(state.world(ADDRESSES), "u") != OPEN


def test_a_status_wakes_nobody_until_the_pod_ends() -> None:
    state, told = known()
    pods, _, _ = state.handlers
    pods.on_add(pod(1, a="b"))
    before = len(told)
    pods.on_update(pod(1, a="b"), pod(2, a="b"))
    assert len(told) == before
    pods.on_update(pod(2, a="b"), pod(3, "Succeeded", a="b"))
    assert len(told) == before + 1
    assert state.world(ADDRESSES).addresses == {}


def test_what_cannot_happen_is_noted_once() -> None:
    state, _ = known()
    _, _, policies = state.handlers
    odd = policy(1, ingress=[{"ports": [{"protocol": "UDP", "port": 53}]}])
    policies.on_add(odd)
    policies.on_update(odd, {**odd, "metadata": {**odd["metadata"], "resourceVersion": "2"}})
    assert [reason for _, reason, _ in state.take_notes()] == ["NotCarried"]
    assert state.take_notes() == []
