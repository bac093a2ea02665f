"""xDS clients by the book, for the engine's tests: they keep what they are told, and answer."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from envoy.service.discovery.v3 import discovery_pb2 as pb
from google.protobuf.any_pb2 import Any

from cloudwright.mesh.xds.cache import Resource, resource
from cloudwright.mesh.xds.delta import Delta
from cloudwright.mesh.xds.delta import Request as DeltaRequest
from cloudwright.mesh.xds.sotw import Request as SotwRequest
from cloudwright.mesh.xds.sotw import Sotw
from cloudwright.mesh.xds.types import CLUSTER, FULL_STATE, LISTENER, WILDCARD


def encoded(url: str, name: str, text: str, refs: tuple[str, ...] = ()) -> Resource:
    """A resource whose content is ``name=text``; a text that begins with ``bad`` is refused."""
    value = Any(type_url=url, value=f"{name}={text}".encode())
    return resource(name, value.SerializeToString(), refs)


def content(found: Any) -> tuple[str, str]:
    name, _, text = found.value.decode().partition("=")
    return name, text


@dataclass
class Client:
    """``whole``: refuses all of a response for one bad resource; ``tells``: names it."""

    whole: bool = True
    tells: bool = True
    has: dict[str, dict[str, str]] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    wildcard: set[str] = field(default_factory=set)
    out: deque[SotwRequest | DeltaRequest] = field(default_factory=deque)
    inbox: deque[bytes] = field(default_factory=deque)
    nacks: int = 0
    received: list[tuple[str, list[str], list[str]]] = field(default_factory=list)

    def error(self, bad: list[str]) -> str | None:
        if not bad:
            return None
        self.nacks += 1
        return f"cannot take {', '.join(bad)}: it is bad" if self.tells else "bad"

    def taken(self, url: str, offered: dict[str, str]) -> tuple[dict[str, str], list[str]]:
        """What is applied of an offer, and what is bad of it."""
        bad = sorted(name for name, text in offered.items() if text.startswith("bad"))
        if bad and self.whole:
            return {}, bad
        return {n: t for n, t in offered.items() if n not in bad}, bad


class SotwClient(Client):
    def start(self) -> Sotw:
        self.version: dict[str, str] = getattr(self, "version", {})
        self.nonce: dict[str, str] = {}
        self.named: set[str] = set()
        self.out.clear()
        self.inbox.clear()
        for url in sorted(self.names.keys() | self.wildcard):
            self._ask(url)
        return Sotw({}, ordered=True)

    def _names(self, url: str) -> list[str]:
        explicit = sorted(self.names.get(url, ()))
        if explicit or url not in self.wildcard:
            self.named.add(url)
        if url in self.wildcard and (url in self.named or url not in FULL_STATE):
            explicit.append(WILDCARD)  # saying nothing means everything only before any name
        return explicit

    def _ask(self, url: str, error: str | None = None) -> None:
        self.out.append(
            SotwRequest(
                url, self._names(url), self.version.get(url, ""), self.nonce.get(url, ""), error
            )
        )

    def subscribe(self, url: str, names: set[str], *, wildcard: bool = False) -> None:
        new_names = self.names.get(url) != names or wildcard != (url in self.wildcard)
        first = url not in self.names
        self.names[url] = set(names)
        (self.wildcard.add if wildcard else self.wildcard.discard)(url)
        if not wildcard:
            mine = self.has.setdefault(url, {})
            self.has[url] = {n: t for n, t in mine.items() if n in names}
        if first or new_names:
            self._ask(url)

    def receive(self, data: bytes) -> None:
        response = pb.DiscoveryResponse.FromString(data)
        url = response.type_url
        offered = dict(content(one) for one in response.resources)
        self.received.append((url, sorted(offered), []))
        if url not in self.wildcard:
            offered = {n: t for n, t in offered.items() if n in self.names[url]}
        good, bad = self.taken(url, offered)
        mine = self.has.setdefault(url, {})
        if not (bad and self.whole):
            if url in FULL_STATE:
                kept = {n: mine[n] for n in bad if n in mine}
                self.has[url] = {**good, **kept}
            else:
                mine.update(good)
        self.nonce[url] = response.nonce
        if not bad:
            self.version[url] = response.version_info
        self._ask(url, self.error(bad))


class DeltaClient(Client):
    def start(self) -> Delta:
        self.versions: dict[str, dict[str, str]] = getattr(self, "versions", {})
        self.out.clear()
        self.inbox.clear()
        for url in sorted(self.names.keys() | self.wildcard):
            explicit = sorted(self.names.get(url, ()))
            if url in self.wildcard and (explicit or url not in FULL_STATE):
                explicit.append(WILDCARD)
            known = dict(self.versions.get(url, {}))
            self.out.append(DeltaRequest(url, explicit, initial=known))
        return Delta({}, ordered=True)

    def subscribe(self, url: str, names: set[str], *, wildcard: bool = False) -> None:
        before = set(self.names.get(url, ()))
        was = url in self.wildcard
        first = url not in self.names
        self.names[url] = set(names)
        (self.wildcard.add if wildcard else self.wildcard.discard)(url)
        add, gone = sorted(names - before), sorted(before - names)
        if wildcard and not was and not (first and not add and url in FULL_STATE):
            add.append(WILDCARD)
        if was and not wildcard:
            gone.append(WILDCARD)
        if not wildcard:
            for kept in (self.has, self.versions):
                kept[url] = {n: t for n, t in kept.get(url, {}).items() if n in names}
        else:
            for name in gone:
                self.has.get(url, {}).pop(name, None)
                self.versions.get(url, {}).pop(name, None)
        if first or add or gone:
            self.out.append(DeltaRequest(url, add, gone))

    def receive(self, data: bytes) -> None:
        response = pb.DeltaDiscoveryResponse.FromString(data)
        url = response.type_url
        offered = {one.name: content(one.resource)[1] for one in response.resources}
        gone = list(response.removed_resources)
        self.received.append((url, sorted(offered), sorted(gone)))
        if url not in self.wildcard:
            offered = {n: t for n, t in offered.items() if n in self.names[url]}
        good, bad = self.taken(url, offered)
        mine = self.has.setdefault(url, {})
        versions = self.versions.setdefault(url, {})
        if not (bad and self.whole):
            mine.update(good)
            for one in response.resources:
                if one.name in good:
                    versions[one.name] = one.version
            for name in gone:
                mine.pop(name, None)
                versions.pop(name, None)
        self.out.append(DeltaRequest(url, nonce=response.nonce, error=self.error(bad)))


@dataclass
class Wire:
    """A client, the server's side of its stream, and what is between them."""

    client: SotwClient | DeltaClient
    view: dict[str, object]
    engine: Sotw | Delta = None  # type: ignore[assignment]
    heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        self.engine = self.client.start()
        self.engine.look(self.view)  # type: ignore[arg-type]

    def look(self, view: dict[str, object]) -> None:
        self.view = view
        self.engine.look(view)  # type: ignore[arg-type]

    def up(self) -> bool:
        """One request reaches the server."""
        if not self.client.out:
            return False
        self.heard.append(self.engine.request(self.client.out.popleft(), 0.0).kind)  # type: ignore[arg-type]
        return True

    def send(self) -> bool:
        """The server sends one response."""
        response = self.engine.next(0.0)
        if response is None:
            return False
        self.client.inbox.append(response.payload)
        return True

    def down(self) -> bool:
        """One response reaches the client."""
        if not self.client.inbox:
            return False
        self.client.receive(self.client.inbox.popleft())
        return True

    def settle(self, limit: int = 2000) -> int:
        """Let everything arrive, and hold nothing back; how many steps it took."""
        for step in range(limit):
            if not (self.up() or self.send() or self.down()):
                if not self.engine.held:
                    return step
                self.engine.release()
        raise AssertionError("the two never come to rest")


__all__ = ["CLUSTER", "LISTENER", "Client", "DeltaClient", "SotwClient", "Wire", "encoded"]
