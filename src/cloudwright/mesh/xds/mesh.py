"""The mesh as a source: its snapshot and certificates as resources, by a node's role.

Nothing is made before a client asks for it. What is made is kept by Service and made again only
when that Service has changed; all nodes of a role share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import anyio
import orjson
from anyio import to_thread

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError, NotAllowedError
from cloudwright.mesh import vitals
from cloudwright.mesh.controller import MeshControl
from cloudwright.mesh.xds import access, clusters, encode, listeners, vhosts
from cloudwright.mesh.xds.cache import EMPTY, Resource, TypeSet, View, type_set
from cloudwright.mesh.xds.naming import Entry, endpoints, ports
from cloudwright.mesh.xds.secrets import Secrets
from cloudwright.mesh.xds.source import Node, Peer
from cloudwright.mesh.xds.templates import Templates
from cloudwright.mesh.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET

_log = logs.get("mesh.xds")
_PER_POD = ("sidecar", "secrets", "pod clusters", "pod listeners")
_MOST_PROVIDERS = 8
Make = Callable[[Entry], Iterable[Mapping[str, Any]]]


class MeshSource:
    """Serves what a ``MeshControl`` tells its proxies. ``http`` and ``https`` are the addresses
    of a gateway that names none itself.
    """

    def __init__(
        self, control: MeshControl, *, http: Sequence[str] = (), https: Sequence[str] = ()
    ) -> None:
        self._control = control
        self._usual = {"http": tuple(http), "https": tuple(https)}
        self._secrets = Secrets(control.files, control.authority.ca_pem)
        self._lock = anyio.Lock()
        self._generation = 0
        self._views: dict[Any, tuple[int, View]] = {}
        self._sets: dict[Any, TypeSet] = {}
        self._built: dict[Any, Mapping[str, Any]] = {}
        self._memo: dict[Any, tuple[Any, list[Resource]]] = {}
        self._trusted: dict[tuple[str, str], tuple[str, ...]] = {}
        self._templates = Templates()
        self._printed: tuple[Any, dict[tuple[str, str], bytes]] = (None, {})
        self._providers: set[str] = set()
        self._problems: dict[tuple[str, str], str] = {}
        control.changes.listen(self._changed)

    def _changed(self) -> None:
        self._generation += 1

    def admit(self, peer: Peer, node: Node) -> Node:
        """See ``access.admit``."""
        found = access.admit(self._control.config, self._control.files.bootstrap, peer, node)
        for key, usual in self._usual.items():
            access.addresses(found, key, usual)
        if found.role == "grpc":
            self._providers.add(self._instance(found))
            if len(self._providers) > _MOST_PROVIDERS:
                self._providers.discard(self._instance(found))
                text = f"node.metadata.tls: more than {_MOST_PROVIDERS} names are in use"
                raise NotAllowedError(text)
        return found

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """See ``Source.listen``."""
        return self._control.changes.listen(wake)

    async def view(self, node: Node) -> View:
        """What a node is told; made in a worker thread when something has changed."""
        key = self._key(node)
        if (found := self._views.get(key)) and found[0] == self._generation:
            return found[1]
        async with self._lock:
            if (found := self._views.get(key)) and found[0] == self._generation:
                return found[1]
            generation, body = self._generation, self._control.snapshot
            view = await to_thread.run_sync(self._make, node, body)
            self._views[key] = (generation, view)
            vitals.XDS_PROBLEMS.set(len(self._problems))
            return view

    def _key(self, node: Node) -> tuple[Any, ...]:
        if node.role == "gateway":
            return ("gateway", *(access.addresses(node, k, u) for k, u in self._usual.items()))
        if node.role == "grpc":
            return ("grpc", self._instance(node))
        return ("sidecar", node.id)

    @staticmethod
    def _instance(node: Node) -> str:
        """The certificate provider of a gRPC client's bootstrap; empty: no TLS."""
        said = str(node.metadata.get("tls", "default"))
        return "" if said == "none" else said

    # blocking

    def _make(self, node: Node, body: Mapping[str, Any]) -> View:
        if node.role == "sidecar":
            return self._sidecar(node, body)
        view = {SECRET: self._put(("secrets", node.role, ""), self._own(node))}
        view[ENDPOINT] = self._by_service(ENDPOINT, body, ("endpoints",), self._assignments)
        if node.role == "gateway":
            return view | self._gateway(node, body)
        return view | self._grpc(node, body)

    def _own(self, node: Node) -> list[Resource]:
        living = {*self._control.files.ids()}
        self._secrets.forget(living)
        for kept in (self._views, self._sets):
            for key in [k for k in kept if k[0] in _PER_POD and k[-1] and k[-1] not in living]:
                del kept[key]
        return self._encoded(SECRET, self._secrets.of(node))

    def _gateway(self, node: Node, body: Mapping[str, Any]) -> dict[str, TypeSet]:
        http, https = (access.addresses(node, k, u) for k, u in self._usual.items())
        made = self._encoded(LISTENER, listeners.gateway(http, https))
        return {
            CLUSTER: self._envoy_clusters(body),
            LISTENER: self._put(("listeners", http, https), made),
            ROUTE: self._gateway_routes(body),
        }

    def _gateway_routes(self, body: Mapping[str, Any]) -> TypeSet:
        """Made again when a route has changed, or which of its backends are there."""
        key, services = ("gateway routes",), _by_name(body)
        state = orjson.dumps([body["routes"], vhosts.shape(services)])
        digest = blake2b(state, digest_size=16).digest()
        last = self._memo.get(key)
        if last is None or last[0] != digest:
            made = self._encoded(ROUTE, [vhosts.gateway(body["routes"], services)])
            self._memo[key] = last = (digest, made)
        return self._put(key, last[1])

    def _grpc(self, node: Node, body: Mapping[str, Any]) -> dict[str, TypeSet]:
        instance = self._instance(node)

        def make(service: Entry) -> Iterable[Mapping[str, Any]]:
            return clusters.for_grpc(service, self._identities(service), instance)

        made = self._encoder(CLUSTER, make)
        return {
            CLUSTER: self._by_service(CLUSTER, body, ("grpc clusters", instance), made),
            LISTENER: self._by_service(
                LISTENER, body, ("grpc listeners",), self._encoder(LISTENER, listeners.grpc)
            ),
            ROUTE: self._outbound_routes(body),
        }

    def _sidecar(self, node: Node, body: Mapping[str, Any]) -> View:
        bootstrap = self._control.files.bootstrap(node.id)
        if bootstrap is None or bootstrap.get("identity") != node.identity:
            raise NotAllowedError(f"the sidecar {node.id!r} is not enrolled any more")
        config = self._control.config
        mark = {
            "x-mesh-ns": str(bootstrap.get("namespace", "")),
            "x-mesh-sidecar": str(bootstrap.get("pod", "")),
        }
        applications = _applications(body, str(bootstrap.get("ip", "")))
        made = [
            listeners.outbound(
                body["services"],
                config.outbound_port,
                mark=mark,
                egress=bool(bootstrap.get("egress")),
            ),
            listeners.inbound(
                applications, config.inbound_port, trust_domain=config.trust_domain, mark=mark
            ),
        ]
        local = self._encoded(CLUSTER, listeners.local_clusters(applications))
        shared = self._envoy_clusters(body).resources
        return {
            SECRET: self._put(("secrets", "sidecar", node.id), self._own(node)),
            ENDPOINT: self._by_service(ENDPOINT, body, ("endpoints",), self._assignments),
            CLUSTER: self._put(("pod clusters", node.id), [*shared.values(), *local]),
            LISTENER: self._put(("pod listeners", node.id), self._encoded(LISTENER, made)),
            ROUTE: self._outbound_routes(body),
        }

    def _envoy_clusters(self, body: Mapping[str, Any]) -> TypeSet:
        wanted = vhosts.balancers(body["routes"])

        def make(service: Entry) -> Iterable[Mapping[str, Any]]:
            asked = wanted.get((service["namespace"], service["name"]), ())
            return clusters.for_envoy(service, self._identities(service), asked)

        def also(service: Entry) -> Any:
            return sorted(wanted.get((service["namespace"], service["name"]), ()))

        made = self._encoder(CLUSTER, make)
        return self._by_service(CLUSTER, body, ("envoy clusters",), made, also)

    def _outbound_routes(self, body: Mapping[str, Any]) -> TypeSet:
        services = _by_name(body)

        def make(service: Entry) -> Iterable[Mapping[str, Any]]:
            return [
                vhosts.outbound(service, port, services)
                for _, port in ports(service)
                if port["protocol"] != "tcp"
            ]

        def also(service: Entry) -> Any:
            names = [one["service"] for one in service.get("backends") or ()]
            return [bool(s["endpoints"]) for n in names if (s := _other(services, service, n))]

        made = self._encoder(ROUTE, make)
        return self._by_service(ROUTE, body, ("outbound routes",), made, also)

    def _identities(self, service: Entry) -> tuple[str, ...]:
        """Who may answer for a Service. Without endpoints it stays as it was, so that a cluster
        does not change when its pods come and go.
        """
        key = (service["namespace"], service["name"])
        found = tuple(sorted({one["identity"] for one in service["endpoints"]}))
        usual = (self._control.config.identity(service["namespace"], "default"),)
        found = found or self._trusted.get(key, usual)
        self._trusted[key] = found
        return found

    def _assignments(self, service: Entry) -> list[Resource]:
        return [encode.assignment(name, endpoints(service, port)) for name, port in ports(service)]

    def _encoder(self, url: str, make: Make) -> Callable[[Entry], list[Resource]]:
        return lambda service: self._encoded(url, make(service))

    def _encoded(self, url: str, found: Iterable[Mapping[str, Any]]) -> list[Resource]:
        """One that cannot be encoded must not keep the others from the clients."""
        made = []
        for one in found:
            try:
                made.append(self._encode(url, one))
                self._problems.pop((url, str(one.get("name"))), None)
            except CloudwrightError as error:
                self._problems[(url, str(one.get("name")))] = error.message
                _log.error("a resource cannot be made", extra={"why": error.message})
        return made

    def _encode(self, url: str, one: Mapping[str, Any]) -> Resource:
        if url == CLUSTER:
            return self._templates.cluster(one)
        if url == ROUTE:
            return self._templates.routes(one)
        return encode.from_json(one, url)[1]

    def _prints(self, body: Mapping[str, Any]) -> dict[tuple[str, str], bytes]:
        """A digest of each Service, once for each snapshot: old ones need not be kept for a
        comparison.
        """
        if self._printed[0] is not body:
            digests = {
                (one["namespace"], one["name"]): blake2b(orjson.dumps(one), digest_size=16).digest()
                for one in body["services"]
            }
            self._printed = (body, digests)
        return self._printed[1]

    def _by_service(
        self,
        url: str,
        body: Mapping[str, Any],
        key: Any,
        make: Callable[[Entry], list[Resource]],
        also: Callable[[Entry], Any] = lambda service: None,
    ) -> TypeSet:
        """All resources of a kind; those of a Service that is as it was are taken from before.
        ``also`` says on what else than the Service they depend.
        """
        if self._built.get(key) is body:
            return self._sets[key]
        resources: dict[str, Resource] = {}
        seen, prints = set(), self._prints(body)
        for service in body["services"]:
            name = (key, service["namespace"], service["name"])
            seen.add(name)
            state = (prints[name[1:]], also(service))
            last = self._memo.get(name)
            if last is None or last[0] != state:
                last = (state, make(service))
                self._memo[name] = last
            resources.update((one.name, one) for one in last[1])
        for name in [n for n in self._memo if n[0] == key and n not in seen]:
            del self._memo[name]
        self._built[key] = body
        return self._put(key, resources.values())

    def _put(self, key: Any, resources: Iterable[Resource]) -> TypeSet:
        old = self._sets.get(key, EMPTY)
        made = {one.name: one for one in resources}
        self._sets[key] = type_set(made.values()) if old is EMPTY else old.replace(made)
        return self._sets[key]


def _by_name(body: Mapping[str, Any]) -> vhosts.Services:
    return {(one["namespace"], one["name"]): one for one in body["services"]}


def _other(services: vhosts.Services, service: Entry, name: str) -> Entry | None:
    return services.get((service["namespace"], name))


def _applications(body: Mapping[str, Any], ip: str) -> dict[int, str]:
    """The ports of the pod at ``ip``, with their protocols."""
    found: dict[int, str] = {}
    for service in body["services"]:
        protocols = {port["name"]: port["protocol"] for port in service["ports"]}
        for one in service["endpoints"]:
            if one["ip"] == ip:
                found |= {number: protocols[name] for name, number in one["ports"].items()}
    return found
