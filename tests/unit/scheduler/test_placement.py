"""Filters, scores and the sentence that says why a pod fits nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.scheduler.engine import decide
from cloudwright.scheduler.state import NodeState, requests_of


def node(name: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": changes.pop("labels", {})},
        "spec": changes.pop("spec", {}),
        "status": {
            "allocatable": changes.pop("allocatable", {"cpu": "2", "memory": "2Gi", "pods": "10"}),
            "conditions": [{"type": "Ready", "status": changes.pop("ready", "True")}],
        },
    }


def pod(
    name: str = "p", cpu: str = "100m", memory: str = "64Mi", labels: Any = None, **spec: Any
) -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": memory}
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {"containers": [{"name": "app", "resources": {"requests": requests}}], **spec},
    }


def place(wish: dict[str, Any], *nodes: dict[str, Any], pods: list[dict[str, Any]] | None = None):
    return decide(wish, [NodeState.of(n, pods or []) for n in nodes])


ZONE = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "zone"}


@pytest.mark.parametrize(
    ("wish", "there", "message"),
    [
        (pod(memory="3Gi"), node(), "1 Insufficient memory"),
        (pod(cpu="3", memory="3Gi"), node(), "1 Insufficient cpu, 1 Insufficient memory"),
        (pod(), node(allocatable={"cpu": "1", "memory": "1Gi", "pods": "0"}), "1 Too many pods"),
        (pod(), node(spec={"unschedulable": True}), "1 node(s) were unschedulable"),
        (pod(), node(ready="Unknown"), "1 node(s) were not ready"),
        (
            pod(nodeSelector={"disk": "ssd"}),
            node(),
            "1 node(s) didn't match Pod's node affinity/selector",
        ),
        (
            pod(),
            node(spec={"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}),
            "1 node(s) had untolerated taint {gpu: yes}",
        ),
        (
            pod(
                affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [ZONE]}}
            ),
            node(labels={"zone": "1"}),
            "1 node(s) didn't match pod affinity rules",
        ),
    ],
)
def test_every_refusal_has_its_reason(
    wish: dict[str, Any], there: dict[str, Any], message: str
) -> None:
    decision = place(wish, there)
    assert decision.node is None
    assert decision.message == f"0/1 nodes are available: {message}."


def test_no_nodes_at_all() -> None:
    assert decide(pod(), []).message == "no nodes available to schedule pods"


def test_several_nodes_are_counted_by_reason() -> None:
    decision = place(pod(memory="9Gi"), node("a"), node("b"), node("c", ready="False"))
    assert decision.message == (
        "0/3 nodes are available: 1 node(s) were not ready, 2 Insufficient memory."
    )
    assert decision.rejections["c"] == ("node(s) were not ready",)


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "gpu", "operator": "Exists"},
        {"key": "gpu", "value": "yes"},
        {"operator": "Exists"},
        {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
    ],
)
def test_a_toleration_opens_the_node(toleration: dict[str, Any]) -> None:
    tainted = node(spec={"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]})
    assert place(pod(tolerations=[toleration]), tainted).node == "a"


def test_the_emptier_node_wins() -> None:
    busy = pod("other", cpu="1", nodeName="a")
    assert place(pod(), node("a"), node("b"), pods=[busy]).node == "b"


def test_ended_pods_hold_nothing() -> None:
    ended = {**pod("old", memory="2Gi", nodeName="a"), "status": {"phase": "Succeeded"}}
    assert place(pod(memory="2Gi"), node(), pods=[ended]).node == "a"


def test_node_affinity_required_and_preferred() -> None:
    term = {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]}
    rules = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
        }
    }
    small, big = node("small", labels={"cores": "2"}), node("big", labels={"cores": "8"})
    assert place(pod(affinity=rules), small, big).node == "big"
    liked = {"weight": 50, "preference": term}
    rules = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [liked]}}
    assert place(pod(affinity=rules), small, big).node == "big"


def test_pods_that_avoid_each_other_need_two_zones() -> None:
    rules = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [ZONE]}}
    first = pod("db-1", labels={"app": "db"}, affinity=rules, nodeName="a")
    second = pod("db-2", labels={"app": "db"}, affinity=rules)
    one, two = node("a", labels={"zone": "1"}), node("b", labels={"zone": "2"})
    assert place(second, one, pods=[first]).node is None
    assert place(second, one, two, pods=[first]).node == "b"
    plain = pod("db-3", labels={"app": "db"})
    assert "existing pods anti-affinity" in place(plain, one, pods=[first]).message


def test_the_first_of_its_kind_does_not_wait_for_itself() -> None:
    rules = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [ZONE]}}
    wish = pod(labels={"app": "db"}, affinity=rules)
    assert place(wish, node(labels={"zone": "1"})).node == "a"


def test_host_ports_are_taken_once() -> None:
    def with_port(name: str, **spec: Any) -> dict[str, Any]:
        found = pod(name, **spec)
        found["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 80}]
        return found

    decision = place(with_port("b"), node(), pods=[with_port("a", nodeName="a")])
    assert "free ports" in decision.message


def test_init_containers_count_by_their_peak_and_sidecars_always() -> None:
    def wish(cpu: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}}

    spec = {
        "containers": [wish("1")],
        "initContainers": [{**wish("500m"), "restartPolicy": "Always"}, wish("2")],
        "overhead": {"cpu": "100m"},
    }
    assert float(requests_of({"spec": spec})["cpu"]) == 2.6


@given(
    st.lists(st.tuples(st.integers(1, 2500), st.integers(1, 2500)), max_size=40),
    st.lists(st.integers(500, 4000), min_size=1, max_size=4),
)
def test_no_node_is_ever_overcommitted(wishes: list[tuple[int, int]], sizes: list[int]) -> None:
    nodes = [
        NodeState(node(str(i), allocatable={"cpu": f"{s}m", "memory": f"{s}Mi", "pods": "8"}))
        for i, s in enumerate(sizes)
    ]
    for index, (cpu, memory) in enumerate(wishes):
        wish = pod(str(index), cpu=f"{cpu}m", memory=f"{memory}Mi")
        decision = decide(wish, nodes)
        fits = [
            n
            for n in nodes
            if len(n.pods) < 8
            and all(n.allocatable[k] - n.used.get(k, 0) >= v for k, v in requests_of(wish).items())
        ]
        assert (decision.node is not None) == bool(fits)
        if decision.node is not None:
            next(n for n in nodes if n.name == decision.node).add(wish)
    for each in nodes:
        assert all(each.used[k] <= each.allocatable[k] for k in each.used)
        assert len(each.pods) <= 8
