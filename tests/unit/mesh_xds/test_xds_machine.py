"""Any interleaving of subscriptions, updates, ACKs, NACKs and reconnects ends with a client that
has what the server has; and with ADS no route ever stands without its clusters.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloudwright.mesh.xds.cache import TypeSet, type_set
from cloudwright.mesh.xds.types import CLUSTER, ENDPOINT, FULL_STATE, LISTENER, ROUTE, SECRET
from tests.unit.mesh_xds.xds_clients import DeltaClient, SotwClient, Wire, encoded

URLS = (CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET)
NAMES = ("a", "b", "c", "d")
urls, names = st.sampled_from(URLS), st.sampled_from(NAMES)
texts = st.sampled_from(("1", "2", "3", "bad-1", "bad-2"))


class Convergence(RuleBasedStateMachine):
    make: type[SotwClient] | type[DeltaClient]
    whole = True
    tells = True

    def __init__(self) -> None:
        super().__init__()
        self.sets: dict[str, TypeSet] = {url: type_set() for url in URLS}
        self.wire = Wire(self.make(self.whole, self.tells), dict(self.sets))

    def _tell(self) -> None:
        self.wire.look(dict(self.sets))

    @rule(url=urls, name=names, text=texts, refs=st.sets(names, max_size=2))
    def put(self, url: str, name: str, text: str, refs: set[str]) -> None:
        new = encoded(url, name, text, tuple(sorted(refs)))
        self.sets[url] = self.sets[url].patch({name: new})
        self._tell()

    @rule(url=urls, name=names)
    def remove(self, url: str, name: str) -> None:
        if self.sets[url].get(name):
            self.sets[url] = self.sets[url].patch({name: None})
            self._tell()

    @rule(url=urls)
    def forget_history(self, url: str) -> None:
        self.sets[url] = type_set(self.sets[url].resources.values())
        self._tell()

    @rule(url=urls, wanted=st.sets(names), wildcard=st.booleans())
    def subscribe(self, url: str, wanted: set[str], wildcard: bool) -> None:
        if wildcard or wanted or url in self.wire.client.names:
            self.wire.client.subscribe(url, wanted, wildcard=wildcard)

    @rule()
    def up(self) -> None:
        self.wire.up()

    @rule()
    def send(self) -> None:
        self.wire.send()

    @rule()
    def down(self) -> None:
        self.wire.down()

    @rule()
    def release(self) -> None:
        self.wire.engine.release()

    @rule()
    def reconnect(self) -> None:
        self.wire.connect()

    @rule()
    def rest(self) -> None:
        """A client that refuses is left alone once it has said so."""
        before = self.wire.client.nacks
        self.wire.settle()
        assert self.wire.client.nacks - before <= len(URLS) * (2 * len(NAMES) + 2)
        assert self.wire.settle() == 0

    def teardown(self) -> None:
        for url, found in self.sets.items():
            bad = [n for n, r in found.resources.items() if b"=bad" in r.any]
            self.sets[url] = found.patch({n: encoded(url, n, "good") for n in bad})
        self._tell()
        self.wire.settle()
        for url, found in self.sets.items():
            self._compare(url, found)

    def _compare(self, url: str, found: TypeSet) -> None:
        client = self.wire.client
        if url not in client.names:
            return
        wanted = {
            name: one.any.split(b"=")[1].decode()
            for name, one in found.resources.items()
            if url in client.wildcard or name in client.names[url]
        }
        has = client.has.get(url, {})
        if self.make is SotwClient and url not in FULL_STATE:  # cannot be told of removals
            has = {name: text for name, text in has.items() if name in wanted}
        assert has == wanted, url


def machine(kind: type[SotwClient] | type[DeltaClient], whole: bool, tells: bool) -> type:
    name = f"{kind.__name__}{'Whole' if whole else 'Partial'}{'Telling' if tells else 'Silent'}"
    return type(name, (Convergence,), {"make": kind, "whole": whole, "tells": tells})


LIMITS = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("kind", [SotwClient, DeltaClient])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("tells", [True, False])
def test_a_client_ends_with_what_the_server_has(
    kind: type[SotwClient] | type[DeltaClient], whole: bool, tells: bool
) -> None:
    case = machine(kind, whole, tells).TestCase  # type: ignore[attr-defined]
    case.settings = LIMITS
    case().runTest()


class MakeBeforeBreak(RuleBasedStateMachine):
    """A client as Envoy is one: everything that is there of clusters and listeners, the endpoints
    of its clusters, the routes of its listeners; it never refuses.
    """

    make: type[SotwClient] | type[DeltaClient]

    def __init__(self) -> None:
        super().__init__()
        self.sets: dict[str, TypeSet] = {url: type_set() for url in URLS}
        self.clusters: set[str] = set()
        self.wire = Wire(self.make(), dict(self.sets))
        self._world({"a"}, "a", "1")
        self.wire.client.subscribe(CLUSTER, set(), wildcard=True)
        self.wire.settle()
        self._follow()
        self.wire.settle()
        self.wire.client.subscribe(LISTENER, set(), wildcard=True)
        self.wire.settle()
        self._follow()
        self.wire.settle()

    def _world(self, clusters: set[str], used: str, text: str) -> None:
        new = {
            CLUSTER: [encoded(CLUSTER, name, text, (name,)) for name in sorted(clusters)],
            ENDPOINT: [encoded(ENDPOINT, name, text) for name in sorted(clusters)],
            LISTENER: [encoded(LISTENER, "main", text, ("routes",))],
            ROUTE: [encoded(ROUTE, "routes", used)],
            SECRET: [],
        }
        for url, resources in new.items():
            self.sets[url] = self.sets[url].replace({r.name: r for r in resources})
        self.wire.look(dict(self.sets))

    def _follow(self) -> None:
        """What Envoy asks for because of what it was told."""
        has = self.wire.client.has
        for above, below, names in (
            (CLUSTER, ENDPOINT, set(has.get(CLUSTER, ()))),
            (LISTENER, ROUTE, {"routes"} if has.get(LISTENER) else set()),
        ):
            if has.get(above) and names != self.wire.client.names.get(below):
                self.wire.client.subscribe(below, names)

    @rule(clusters=st.sets(names, min_size=1), data=st.data(), text=texts.filter(len))
    def change(self, clusters: set[str], data: st.DataObject, text: str) -> None:
        text = text.removeprefix("bad-")
        self._world(clusters, data.draw(st.sampled_from(sorted(clusters))), text)

    @rule()
    def up(self) -> None:
        self.wire.up()

    @rule()
    def send(self) -> None:
        self.wire.send()

    @precondition(lambda self: self.wire.client.inbox)
    @rule()
    def down(self) -> None:
        self.wire.down()
        self._follow()

    @invariant()
    def every_route_leads_somewhere(self) -> None:
        has = self.wire.client.has
        for used in has.get(ROUTE, {}).values():
            assert used in has[CLUSTER]
            assert used in has[ENDPOINT]

    def teardown(self) -> None:
        self._follow()
        self.wire.settle()
        self._follow()
        self.wire.settle()
        has = self.wire.client.has
        assert has[CLUSTER].keys() == self.sets[CLUSTER].resources.keys()
        assert has[ROUTE]["routes"].encode() in self.sets[ROUTE].resources["routes"].any
        self.every_route_leads_somewhere()


@pytest.mark.parametrize("kind", [SotwClient, DeltaClient])
def test_no_route_stands_without_its_cluster(
    kind: type[SotwClient] | type[DeltaClient],
) -> None:
    made = type(f"MakeBeforeBreak{kind.__name__}", (MakeBeforeBreak,), {"make": kind})
    case = made.TestCase  # type: ignore[attr-defined]
    case.settings = LIMITS
    case().runTest()
