"""EndpointSlices of Endpoints that people write."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model.objects import Object, labels_of, name_of
from cloudwright.operator.engines import mirroring as engine


def endpoints(*subsets: Object, **metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "db", "namespace": "d", "uid": "e", **metadata},
        "subsets": list(subsets),
    }


SERVICE: Object = {"metadata": {"name": "db"}, "spec": {}}


def test_whose_are_mirrored() -> None:
    assert engine.mirrored(endpoints(), SERVICE)
    assert not engine.mirrored(endpoints(), None)
    assert not engine.mirrored(endpoints(), {"spec": {"selector": {"a": "b"}}})
    assert not engine.mirrored(endpoints(labels={engine.SKIP: "true"}), SERVICE)
    ours = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert not engine.mirrored(endpoints(labels=ours), SERVICE)
    leader = {"control-plane.alpha.kubernetes.io/leader": "x"}
    assert not engine.mirrored(endpoints(annotations=leader), SERVICE)


def test_families_and_readiness() -> None:
    subset: Object = {
        "addresses": [{"ip": "192.0.2.1", "hostname": "one"}, {"ip": "2001:db8::1"}],
        "notReadyAddresses": [{"ip": "192.0.2.2"}],
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
    }
    four, six = engine.slices(endpoints(subset, labels={"app": "db"}))
    assert (four["addressType"], six["addressType"]) == ("IPv4", "IPv6")
    assert four["endpoints"] == [
        {"addresses": ["192.0.2.1"], "conditions": {"ready": True}, "hostname": "one"},
        {"addresses": ["192.0.2.2"], "conditions": {"ready": False}},
    ]
    assert four["ports"] == subset["ports"]
    assert labels_of(four) == {
        "app": "db",
        "kubernetes.io/service-name": "db",
        "endpointslice.kubernetes.io/managed-by": engine.MANAGER,
    }


@given(st.lists(st.integers(1, 250), max_size=4))
def test_every_address_once_in_slices_of_a_hundred(sizes: list[int]) -> None:
    subsets: list[Object] = [
        {
            "addresses": [{"ip": f"10.{place}.{n // 250}.{n % 250}"} for n in range(size)],
            "ports": [{"port": 80 + place}],
        }
        for place, size in enumerate(sizes)
    ]
    found = engine.slices(endpoints(*subsets))
    assert len({name_of(one) for one in found}) == len(found)
    assert all(len(one["endpoints"]) <= 100 for one in found)
    addresses = [e["addresses"][0] for one in found for e in one["endpoints"]]
    assert sorted(addresses) == sorted(a["ip"] for s in subsets for a in s["addresses"])
