"""Ports by name, conditions of terminating pods, and stable names."""

from __future__ import annotations

from typing import Any

from cloudwright.operator.engines import endpoints as engine
from tests.unit.operator.builders import pod


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "svc", "labels": {"x": "y"}},
        "spec": {"selector": {"app": "web"}, "ports": list(ports), **spec},
    }


HTTP = {"name": "http", "port": 80, "targetPort": "http", "appProtocol": "kubernetes.io/h2c"}


def test_a_target_port_is_a_number_a_name_or_the_port() -> None:
    one = pod("a")
    assert engine.target_port({"port": 80, "targetPort": 81}, one) == 81
    assert engine.target_port({"port": 80, "targetPort": "http"}, one) == 8080
    assert engine.target_port({"port": 80}, one) == 80
    assert engine.target_port({"port": 80, "targetPort": "nope"}, one) is None
    assert engine.target_port({"port": 80, "targetPort": "http", "protocol": "UDP"}, one) is None


def test_two_versions_with_other_numbers_get_a_slice_each() -> None:
    old, new = pod("old", ip="10.0.0.1"), pod("new", ip="10.0.0.2")
    new["spec"]["containers"][0]["ports"][0]["containerPort"] = 9090
    found = engine.slices(service(HTTP), [old, new])
    assert sorted(s["ports"][0]["port"] for s in found) == [8080, 9090]
    assert all(s["ports"][0]["appProtocol"] == "kubernetes.io/h2c" for s in found)
    assert len({s["metadata"]["name"] for s in found}) == 2
    assert engine.slices(service(HTTP), [new, old]) == found


def test_a_leaving_pod_serves_but_is_not_ready() -> None:
    found = engine.slices(service(HTTP), [pod("a", deleted=True), pod("b", ready=False)])
    conditions = {e["targetRef"]["name"]: e["conditions"] for e in found[0]["endpoints"]}
    assert conditions == {
        "a": {"ready": False, "serving": True, "terminating": True},
        "b": {"ready": False, "serving": False, "terminating": False},
    }
    old = engine.endpoints(service(HTTP), [pod("a", deleted=True), pod("b", ready=False)])
    assert "addresses" not in old["subsets"][0]
    assert [a["targetRef"]["name"] for a in old["subsets"][0]["notReadyAddresses"]] == ["b"]


def test_pods_without_address_or_that_ended_are_no_endpoints() -> None:
    found = engine.slices(service(HTTP), [pod("a", ip=""), pod("b", phase="Succeeded")])
    assert [s["endpoints"] for s in found] == [[]]
    assert "subsets" not in engine.endpoints(service(HTTP), [])


def test_a_service_may_publish_pods_that_are_not_ready() -> None:
    found = engine.slices(service(HTTP, publishNotReadyAddresses=True), [pod("a", ready=False)])
    assert found[0]["endpoints"][0]["conditions"]["ready"] is True


def test_a_hundred_endpoints_fill_a_slice() -> None:
    pods = [pod(f"p{i:03}", ip=f"10.0.{i // 200}.{i % 200 + 1}") for i in range(250)]
    found = engine.slices(service(HTTP), pods)
    assert sorted(len(s["endpoints"]) for s in found) == [50, 100, 100]
