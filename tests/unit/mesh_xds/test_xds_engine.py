"""The protocol, case by case: what is sent, what is not, and in which order."""

from __future__ import annotations

import pytest
from envoy.service.discovery.v3 import discovery_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.mesh.xds import wire
from cloudwright.mesh.xds.cache import Resource, TypeSet, type_set
from cloudwright.mesh.xds.delta import Delta
from cloudwright.mesh.xds.delta import Request as Incremental
from cloudwright.mesh.xds.engine import LARGEST
from cloudwright.mesh.xds.sotw import Request, Sotw
from cloudwright.mesh.xds.state import named_in
from cloudwright.mesh.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.unit.mesh_xds.xds_clients import encoded


def sets(**by_url: TypeSet) -> dict[str, TypeSet]:
    urls = {"cluster": CLUSTER, "endpoint": ENDPOINT, "listener": LISTENER, "route": ROUTE}
    return {urls[key]: found for key, found in by_url.items()}


def some(url: str, *names: str, text: str = "1") -> TypeSet:
    return type_set(encoded(url, name, text) for name in names)


def sotw(engine: Sotw) -> pb.DiscoveryResponse | None:
    found = engine.next(1.0)
    return None if found is None else pb.DiscoveryResponse.FromString(found.payload)


def delta(engine: Delta) -> pb.DeltaDiscoveryResponse | None:
    found = engine.next(1.0)
    return None if found is None else pb.DeltaDiscoveryResponse.FromString(found.payload)


def test_only_what_changed_is_sent_of_endpoints() -> None:
    old = some(ENDPOINT, "a", "b")
    engine = Sotw(sets(endpoint=old), ordered=True)
    engine.request(Request(ENDPOINT, ["a", "b", "missing"]), 0.0)
    first = sotw(engine)
    assert first is not None
    assert len(first.resources) == 2
    assert engine.next(1.0) is None
    heard = engine.request(Request(ENDPOINT, ["a", "b", "missing"], "x", first.nonce), 3.0)
    assert (heard.kind, heard.seconds) == ("ack", 2.0)
    assert engine.next(1.0) is None
    engine.look(sets(endpoint=old.patch({"b": encoded(ENDPOINT, "b", "2")})))
    second = sotw(engine)
    assert second is not None
    assert [one.value for one in second.resources] == [b"b=2"]
    assert second.nonce != first.nonce


def test_a_stale_nonce_is_ignored_and_a_first_one_of_an_old_stream_is_not() -> None:
    engine = Sotw(sets(cluster=some(CLUSTER, "a")), ordered=True)
    assert engine.request(Request(CLUSTER, (), "old", "99"), 0.0).kind == "subscribe"
    first = sotw(engine)
    assert first is not None
    assert engine.request(Request(CLUSTER, ["b"], "", "98"), 0.0).kind == "stale"
    assert engine.types[CLUSTER].wildcard
    assert engine.request(Request(CLUSTER, (), "", first.nonce), 0.0).kind == "ack"


def test_after_a_reconnect_a_client_that_has_all_is_sent_nothing() -> None:
    found = some(CLUSTER, "a", "b")
    engine = Sotw(sets(cluster=found), ordered=True)
    engine.request(Request(CLUSTER, (), found.version), 0.0)
    assert engine.next(1.0) is None
    engine.look(sets(cluster=found.patch({"a": None})))
    gone = sotw(engine)
    assert gone is not None
    assert [one.value for one in gone.resources] == [b"b=1"]
    # named endpoints say nothing by their version: they are sent
    engine = Sotw(sets(endpoint=found), ordered=True)
    engine.request(Request(ENDPOINT, ["a"], found.version), 0.0)
    assert sotw(engine) is not None


def test_delta_after_a_reconnect_sends_differences_and_removals() -> None:
    found = some(CLUSTER, "same", "changed", "new")
    same = found.resources["same"].version
    engine = Delta(sets(cluster=found), ordered=True)
    initial = {"same": same, "changed": "old", "gone": "old"}
    engine.request(Incremental(CLUSTER, initial=initial), 0.0)
    answer = delta(engine)
    assert answer is not None
    assert sorted(one.name for one in answer.resources) == ["changed", "new"]
    assert list(answer.removed_resources) == ["gone"]


def test_delta_names_what_is_not_there_and_sends_it_when_it_comes() -> None:
    found = some(ENDPOINT, "a")
    engine = Delta(sets(endpoint=found), ordered=True)
    engine.request(Incremental(ENDPOINT, ["a", "b"]), 0.0)
    answer = delta(engine)
    assert answer is not None
    assert list(answer.removed_resources) == ["b"]
    engine.request(Incremental(ENDPOINT, nonce=answer.nonce), 0.0)
    assert engine.next(1.0) is None
    engine.look(sets(endpoint=found.patch({"b": encoded(ENDPOINT, "b", "1")})))
    later = delta(engine)
    assert later is not None
    assert [one.name for one in later.resources] == ["b"]
    # whoever subscribes again may have dropped it
    engine.request(Incremental(ENDPOINT, ["a"], nonce=later.nonce), 0.0)
    again = delta(engine)
    assert again is not None
    assert [one.name for one in again.resources] == ["a"]


def test_a_refused_resource_is_kept_from_the_next_response() -> None:
    found = some(CLUSTER, "a", "b")
    engine = Sotw(sets(cluster=found), ordered=False)
    engine.request(Request(CLUSTER), 0.0)
    first = sotw(engine)
    assert first is not None
    engine.request(Request(CLUSTER, (), "v", first.nonce), 0.0)
    bad = found.patch({n: encoded(CLUSTER, n, "2") for n in ("a", "b")})
    engine.look(sets(cluster=bad))
    second = sotw(engine)
    assert second is not None
    error = "cluster 'a': not good"
    assert engine.request(Request(CLUSTER, (), "v", second.nonce, error), 0.0).kind == "nack"
    rest = sotw(engine)  # b was innocent; a's old version stays
    assert rest is not None
    assert sorted(one.value for one in rest.resources) == [b"a=1", b"b=2"]
    engine.request(Request(CLUSTER, (), "v", rest.nonce), 0.0)
    assert engine.next(1.0) is None
    refusal = engine.types[CLUSTER].refusal
    assert refusal is not None
    assert refusal.message == error
    engine.look(sets(cluster=bad.patch({"a": encoded(CLUSTER, "a", "3")})))
    third = sotw(engine)
    assert third is not None
    assert sorted(one.value for one in third.resources) == [b"a=3", b"b=2"]
    engine.request(Request(CLUSTER, (), "v", third.nonce), 0.0)
    assert engine.types[CLUSTER].refusal is None


def test_clusters_come_first_and_go_last() -> None:
    old = sets(cluster=some(CLUSTER, "old"), listener=some(LISTENER, "l"), route=some(ROUTE, "r"))
    engine = Sotw(old, ordered=True)
    for url, names in ((CLUSTER, ()), (LISTENER, ()), (ROUTE, ("r",))):
        engine.request(Request(url, names), 0.0)
        answer = sotw(engine)
        assert answer is not None
        engine.request(Request(url, names, "v", answer.nonce), 0.0)
    engine.look(
        sets(
            cluster=old[CLUSTER].replace({"new": encoded(CLUSTER, "new", "1")}),
            listener=old[LISTENER],
            route=old[ROUTE].patch({"r": encoded(ROUTE, "r", "2")}),
        )
    )
    both = sotw(engine)
    assert both is not None
    assert sorted(one.value for one in both.resources) == [b"new=1", b"old=1"]
    assert engine.next(1.0) is None
    assert engine.held
    engine.request(Request(CLUSTER, (), "v", both.nonce), 0.0)
    route = sotw(engine)
    assert route is not None
    assert [one.value for one in route.resources] == [b"r=2"]
    # a refused route keeps the cluster that its old version needs
    engine.request(Request(ROUTE, ("r",), "v", route.nonce, "no"), 0.0)
    assert engine.next(1.0) is None
    engine.look({**engine.view, ROUTE: some(ROUTE, "r", text="3")})
    route = sotw(engine)
    assert route is not None
    engine.request(Request(ROUTE, ("r",), "v", route.nonce), 0.0)
    alone = sotw(engine)
    assert alone is not None
    assert [one.value for one in alone.resources] == [b"new=1"]


def test_endpoints_of_a_changed_cluster_are_sent_again() -> None:
    cluster = type_set([encoded(CLUSTER, "c", "1", ("c",))])
    view = sets(cluster=cluster, endpoint=some(ENDPOINT, "c"))
    engine = Delta(view, ordered=True)
    for asked in (Incremental(CLUSTER), Incremental(ENDPOINT, ["c"])):
        engine.request(asked, 0.0)
        answer = delta(engine)
        assert answer is not None
        engine.request(Incremental(asked.url, nonce=answer.nonce), 0.0)
    changed = cluster.patch({"c": encoded(CLUSTER, "c", "2", ("c",))})
    engine.look({**view, CLUSTER: changed})
    urls = []
    while (answer := delta(engine)) is not None:
        urls.append(answer.type_url)
    assert urls == [CLUSTER, ENDPOINT]


def test_what_waits_for_a_client_that_never_asks_can_be_released() -> None:
    view = sets(
        cluster=type_set([encoded(CLUSTER, "c", "1", ("c",))]),
        endpoint=some(ENDPOINT, "c"),
        route=some(ROUTE, "r"),
    )
    engine = Sotw(view, ordered=True)
    engine.request(Request(ROUTE, ("r",)), 0.0)
    route = sotw(engine)
    assert route is not None
    engine.request(Request(ROUTE, ("r",), "v", route.nonce), 0.0)
    engine.request(Request(CLUSTER), 0.0)
    answer = sotw(engine)
    assert answer is not None
    engine.request(Request(CLUSTER, (), "v", answer.nonce), 0.0)
    engine.look({**view, ROUTE: some(ROUTE, "r", text="2")})
    assert engine.next(1.0) is None
    assert engine.held
    engine.release()
    assert sotw(engine) is not None
    assert not engine.held


def test_large_answers_come_in_pieces() -> None:
    big = "x" * (LARGEST // 3)
    found = type_set(encoded(ENDPOINT, name, big) for name in "abcdefg")
    engine = Delta(sets(endpoint=found), ordered=True)
    engine.request(Incremental(ENDPOINT, list("abcdefg")), 0.0)
    names: list[str] = []
    while (answer := delta(engine)) is not None:
        assert answer.ByteSize() < LARGEST + len(big)
        names += [one.name for one in answer.resources]
        engine.request(Incremental(ENDPOINT, nonce=answer.nonce), 0.0)
    assert sorted(names) == list("abcdefg")


def test_many_streams_share_what_they_have() -> None:
    found = some(CLUSTER, *(f"c{n}" for n in range(100)))
    engines = [Delta(sets(cluster=found), ordered=True), Sotw(sets(cluster=found), ordered=True)]
    engines[0].request(Incremental(CLUSTER), 0.0)
    engines[1].request(Request(CLUSTER), 0.0)
    for engine in engines:
        response = engine.next(0.0)
        assert response is not None
        state = engine.types[CLUSTER]
        state.accept()
        assert state.has is found.resources


@given(
    st.text(min_size=1, max_size=300),
    st.text(max_size=20),
    st.lists(st.tuples(st.text(min_size=1, max_size=40), st.binary(max_size=300)), max_size=5),
)
def test_the_wire_format_is_protobufs(
    version: str, nonce: str, resources: list[tuple[str, bytes]]
) -> None:
    from google.protobuf.any_pb2 import Any

    from cloudwright.mesh.xds.cache import delta_body, resource, sotw_body

    values = [Any(type_url=CLUSTER, value=data) for _, data in resources]
    made = [
        resource(name, value.SerializeToString())
        for (name, _), value in zip(resources, values, strict=True)
    ]
    end = wire.tail(CLUSTER, version, nonce)
    whole = pb.DiscoveryResponse.FromString(sotw_body(made) + end)
    assert whole == pb.DiscoveryResponse(
        version_info=version, resources=values, type_url=CLUSTER, nonce=nonce
    )
    names = [name for name, _ in resources]
    piece = pb.DeltaDiscoveryResponse.FromString(delta_body(made) + wire.removed(names) + end)
    assert [(one.name, one.version, one.resource) for one in piece.resources] == [
        (one.name, one.version, value) for one, value in zip(made, values, strict=True)
    ]
    assert list(piece.removed_resources) == names
    assert (piece.system_version_info, piece.nonce) == (version, nonce)


CHANGES = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.none() | st.sampled_from("12")), max_size=12
)


@given(CHANGES)
def test_sets_know_what_changed(steps: list[dict[str, str | None]]) -> None:
    history = [type_set()]
    for step in steps:
        changes: dict[str, Resource | None] = {
            name: None if text is None else encoded(CLUSTER, name, text)
            for name, text in step.items()
        }
        history.append(history[-1].patch(changes))
    last = history[-1]
    assert last.version == type_set(last.resources.values()).version
    for old in [*history, type_set(history[0].resources.values())]:
        changed = last.changed_since(old)
        differing = {
            name
            for name in last.resources.keys() | old.resources.keys()
            if (a := last.get(name)) is None
            or (b := old.get(name)) is None
            or a.version != b.version
        }
        assert differing <= changed
        assert (last.version == old.version) == (not differing)


LONG = "payment.default.svc.cluster.local:80"


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("Error adding/updating cluster(s) b: bad duration", {"b"}),
        ("resource default/a:80 is bad", set()),
        ("errors: [a, payment.default.svc.cluster.local:80]", {"a", LONG}),
        ("no name at all, abc", set()),
    ],
)
def test_a_message_names_the_guilty(message: str, found: set[str]) -> None:
    names = ["a", "b", LONG, "payment.default.svc"]
    assert named_in(message, names) == found


URLS = st.sampled_from([CLUSTER, ENDPOINT, LISTENER, ROUTE, "unknown"])
NAMES = st.lists(st.sampled_from(["*", "a", "b", ""]), max_size=3)
ERRORS = st.none() | st.sampled_from(["", "a is bad", "b"])
NONCES = st.sampled_from(["", "1", "2", "3", "99"])
VERSIONS = st.sampled_from(["", "x"])


@given(
    st.lists(
        st.builds(Request, URLS, NAMES, VERSIONS, NONCES, ERRORS)
        | st.builds(
            Incremental, URLS, NAMES, NAMES, st.dictionaries(VERSIONS, VERSIONS), NONCES, ERRORS
        )
        | st.integers(0, 3),
        max_size=30,
    )
)
def test_a_client_that_says_anything_neither_breaks_it_nor_keeps_it_busy(
    said: list[Request | Incremental | int],
) -> None:
    views = [
        {url: some(url, *"ab", text=str(n)) for url in (CLUSTER, ENDPOINT, LISTENER, ROUTE)}
        for n in range(4)
    ]
    whole, pieces = Sotw(views[0], ordered=True), Delta(views[0], ordered=True)
    for one in said:
        if isinstance(one, int):
            for engine in (whole, pieces):
                engine.look(views[one])
        elif isinstance(one, Request):
            whole.request(one, 0.0)
        else:
            pieces.request(one, 0.0)
        for engine in (whole, pieces):
            count = 0
            while engine.next(0.0) is not None:
                count += 1
            assert count <= 5  # one of a type is on its way, at most
