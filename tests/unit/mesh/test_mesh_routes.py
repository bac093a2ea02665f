"""Routes: reading them, and who wins when two want the same requests."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.clock import ManualClock
from cloudwright.mesh.routes import DEFAULT_RETRIES, judge, read
from cloudwright.mesh.watch import route_status
from tests.unit.mesh.mesh_objects import route

PORTS = {("default", "payment"): [80, 9090]}


def test_defaults() -> None:
    entry, problems = read(route("r"))
    assert problems == []
    assert entry["hosts"] == ["*"]
    assert entry["path_prefix"] == "/"
    assert entry["port"] == 80
    assert entry["timeout_ms"] == 15_000
    assert entry["retries"] == DEFAULT_RETRIES
    assert entry["load_balancer"] == "round_robin"


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"service": ""}, "spec.service: Required value"),
        ({"port": 0x10000}, "spec.port: Invalid value: 65536"),
        ({"pathPrefix": "x"}, "spec.pathPrefix"),
        ({"pathPrefix": "/a?b"}, "spec.pathPrefix"),
        ({"hosts": ["ok.example", "not ok"]}, "spec.hosts[1]"),
        ({"hosts": ["a.*.b"]}, "spec.hosts[0]"),
        ({"timeout": "soon"}, "spec.timeout"),
        ({"timeout": "-1s"}, "spec.timeout"),
        ({"retries": {"attempts": 11}}, "spec.retries.attempts"),
        ({"retries": {"on": ["reset", "5xx"]}}, "spec.retries.on[1]"),
        ({"retries": {"perTryTimeout": "x"}}, "spec.retries.perTryTimeout"),
        ({"loadBalancer": "random"}, "spec.loadBalancer"),
    ],
)
def test_a_bad_field_is_named_and_the_route_not_served(spec: dict[str, Any], place: str) -> None:
    judged = judge([route("bad", **spec), route("good", pathPrefix="/good")], PORTS)
    verdict = judged.verdicts["default/bad"]
    assert not verdict.accepted
    assert verdict.reason == "Invalid"
    assert place in verdict.message
    assert [entry["name"] for entry in judged.served] == ["good"]


def test_the_older_route_wins_and_the_younger_names_it() -> None:
    older = route("older", pathPrefix="/pay", created="2026-01-01T00:00:00Z")
    younger = route(
        "a-younger", namespace="shop", pathPrefix="/pay/", created="2026-01-02T00:00:00Z"
    )
    judged = judge([younger, older], PORTS)
    assert [entry["name"] for entry in judged.served] == ["older"]
    verdict = judged.verdicts["shop/a-younger"]
    assert (verdict.accepted, verdict.reason) == (False, "Conflicted")
    assert verdict.message == "host * and path /pay belong to the older Route default/older"
    status = route_status(younger, verdict, ManualClock())
    assert status["conditions"][0]["type"] == "Accepted"
    assert status["conditions"][0]["status"] == "False"
    assert "default/older" in status["conditions"][0]["message"]


def test_other_hosts_or_paths_do_not_conflict() -> None:
    routes = [
        route("a", hosts=["A.example"], pathPrefix="/"),
        route("b", hosts=["b.example"], pathPrefix="/"),
        route("c", hosts=["a.example"], pathPrefix="/c"),
        route("d"),
    ]
    judged = judge(routes, PORTS)
    assert all(verdict.accepted for verdict in judged.verdicts.values())
    assert len(judged.served) == 4


def test_a_disabled_route_frees_its_path() -> None:
    off = route("off", pathPrefix="/x", disabled=True)
    on = route("on", pathPrefix="/x", created="2026-05-01T00:00:00Z")
    judged = judge([off, on], PORTS)
    assert judged.verdicts["default/off"].reason == "Disabled"
    assert judged.verdicts["default/on"].accepted


def test_a_missing_service_or_port_is_told_but_the_path_is_kept() -> None:
    judged = judge([route("a", service="gone"), route("b", pathPrefix="/b", port=81)], PORTS)
    first, second = judged.verdicts["default/a"], judged.verdicts["default/b"]
    assert first.accepted
    assert not first.resolved
    assert first.resolved_message == "Service default/gone does not exist"
    assert second.resolved_message == "Service default/payment has no port 81 (it has: 80, 9090)"
    assert len(judged.served) == 2


def test_a_status_that_is_right_stays_as_it_is() -> None:
    clock = ManualClock()
    one = route("a")
    verdict = judge([one], PORTS).verdicts["default/a"]
    first = route_status(one, verdict, clock)
    assert [c["status"] for c in first["conditions"]] == ["True", "True"]
    clock.advance(100)
    assert route_status({**one, "status": first}, verdict, clock) == first


hosts = st.lists(st.sampled_from(["*", "a.example", "b.example"]), min_size=1, max_size=2)
specs = st.tuples(hosts, st.sampled_from(["/", "/p", "/p/q"]), st.integers(1, 9), st.booleans())


@given(specs=st.lists(specs, max_size=8), seed=st.integers())
def test_each_host_and_path_is_served_once_by_the_oldest(
    specs: list[tuple[list[str], str, int, bool]], seed: int
) -> None:
    routes = [
        route(f"r{i}", hosts=h, pathPrefix=p, created=f"2026-01-0{day}T00:00:00Z", disabled=off)
        for i, (h, p, day, off) in enumerate(specs)
    ]
    judged = judge(routes, PORTS)
    pairs = [(h, entry["path_prefix"]) for entry in judged.served for h in entry["hosts"]]
    assert len(pairs) == len(set(pairs))
    ages = {f"r{i}": (day, f"default/r{i}") for i, (_, _, day, _) in enumerate(specs)}
    served = {entry["name"]: entry for entry in judged.served}
    for key, verdict in judged.verdicts.items():
        if verdict.reason == "Conflicted":
            winner = verdict.message.rsplit("/", 1)[1]
            assert winner in served
            assert ages[winner] < ages[key.removeprefix("default/")]
    assert set(judged.verdicts) == {f"default/r{i}" for i in range(len(specs))}
    random.Random(seed).shuffle(routes)
    assert judge(routes, PORTS).served == judged.served


def test_an_exact_path_is_another_match_than_a_prefix() -> None:
    both = [
        route("a", pathPrefix="/pay", service="payment"),
        route("b", pathPrefix="/pay", exact=True, service="payment"),
        route("c", pathPrefix="/pay", exact=True, service="other"),
        route("d", pathPrefix="/slash/", exact=True, service="payment"),
    ]
    found = judge(both, {})
    served = [(one["name"], one["path_prefix"], one.get("exact", False)) for one in found.served]
    assert served == [("a", "/pay", False), ("b", "/pay", True), ("d", "/slash/", True)]
    assert found.verdicts["default/c"].reason == "Conflicted"
