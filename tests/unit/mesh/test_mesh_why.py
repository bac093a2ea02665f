"""Why a Route or a Service does not work."""

from __future__ import annotations

from cloudwright.mesh.why import why_route, why_service
from tests.unit.mesh.mesh_objects import endpoint, piece, pod, route, service


def reasons(findings: object) -> list[str]:
    return [finding.reason for finding in findings]  # type: ignore[attr-defined]


def test_nothing_is_wrong() -> None:
    one = pod("p", "10.244.0.5")
    assert why_service(service("payment"), [piece("payment", endpoint(one))], [one]) == []


def test_a_service_says_which_labels_no_pod_has() -> None:
    found = why_service(service("payment"), [], [pod("p", "10.244.0.5", app="web")])
    assert found[0].message == "no pod has the labels app=payment"
    assert reasons(why_service(service("x", ports=[]), [], [])) == ["NoPorts"]
    assert reasons(why_service(service("x", selector={}), [], [])) == ["NoSelector"]
    assert reasons(why_service(service("x", type="ExternalName"), [], [])) == ["Unsupported"]


def test_each_pod_says_why_it_gets_no_requests() -> None:
    unready = [{"type": "Ready", "status": "False", "message": "readiness probe: HTTP 503"}]
    pods = [
        pod("a", None, phase="Pending", conditions=[]),
        pod("b", "10.244.0.5", conditions=unready),
        pod("c", "10.244.0.6", phase="Failed"),
        pod("d", "10.244.0.7"),
        pod("e", "10.244.0.8", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    ]
    found = why_service(service("payment"), [piece("payment")], pods)
    assert reasons(found) == ["NoAddress", "NotReady", "Failed", "EndpointsBehind", "Terminating"]
    assert found[1].message == "it is not ready: readiness probe: HTTP 503"
    assert found[0].blocking
    assert not found[4].blocking


def test_with_one_good_pod_the_others_do_not_block() -> None:
    good, bad = pod("good", "10.244.0.5"), pod("bad", "10.244.0.6", conditions=[])
    found = why_service(service("payment"), [piece("payment", endpoint(good))], [good, bad])
    assert [(f.reason, f.blocking) for f in found] == [("NotReady", False)]


def test_a_route_is_followed_to_its_service_and_pods() -> None:
    mine = route("mine", pathPrefix="/p", created="2026-02-01T00:00:00Z")
    older = route("older", pathPrefix="/p")
    services = [service("payment")]
    assert reasons(why_route(mine, [mine, older], services, [], [])) == ["Conflicted"]
    assert reasons(why_route(mine, [mine], [], [], [])) == ["BackendNotFound"]
    assert reasons(why_route(mine, [mine], services, [], [])) == ["NoPods"]
    assert reasons(why_route(mine, [older], services, [], [])) == ["NotFound"]
    bad = route("bad", pathPrefix="nope")
    assert "spec.pathPrefix" in why_route(bad, [bad], services, [], [])[0].message
    one = pod("p", "10.244.0.5")
    assert why_route(mine, [mine], services, [piece("payment", endpoint(one))], [one]) == []
