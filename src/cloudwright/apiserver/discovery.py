"""What is served: ``/api``, ``/apis``, group and version lists, and aggregated discovery (v2).

Answers follow the registry at once; they are kept encoded until it changes.
"""

from __future__ import annotations

import base64
import hashlib
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from cloudwright import __version__
from cloudwright.apiserver import priorities
from cloudwright.apiserver.aggregation import documents
from cloudwright.apiserver.registry import Registry
from cloudwright.apiserver.replies import JSON
from cloudwright.apiserver.reviews import REVIEWS
from cloudwright.client.transport import Reply
from cloudwright.model.resources import BINDING, Resource

if TYPE_CHECKING:
    from cloudwright.apiserver.aggregation.aggregator import Foreign

MAJOR, MINOR = "1", "36"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
Others = Mapping[str, Mapping[str, "Foreign"]]
"""Foreign versions by group and version."""
_Sub = tuple[str, str, str, tuple[str, ...]]
_WRITE = ("get", "patch", "update")
_STREAM = ("create", "get")
# subresource → (group, version, kind, verbs); an empty kind is the resource's own
_SUBRESOURCES: dict[str, _Sub] = {
    "status": ("", "", "", _WRITE),
    "scale": ("autoscaling", "v1", "Scale", _WRITE),
    "log": ("", "", "", ("get",)),
    "exec": ("", "v1", "PodExecOptions", _STREAM),
    "attach": ("", "v1", "PodAttachOptions", _STREAM),
    "portforward": ("", "v1", "PodPortForwardOptions", _STREAM),
    "proxy": ("", "", "", ("create", "delete", "get", "patch", "update")),
    "ephemeralcontainers": ("", "", "", _WRITE),
    "resize": ("", "", "", _WRITE),
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "finalize": ("", "", "", ("update",)),
    "approval": ("", "", "", _WRITE),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}
_AGGREGATED = re.compile(
    r"application/json\s*;\s*g=apidiscovery\.k8s\.io\s*;\s*v=(v2)\s*;"
    r"\s*as=APIGroupDiscoveryList"
)


def _about(resource: Resource, name: str) -> _Sub:
    group, version, kind, verbs = _SUBRESOURCES[name]
    return group, version, f"{resource.kind}ProxyOptions" if name == "proxy" else kind, verbs


def version_info() -> dict[str, str]:
    """The answer of ``/version``."""
    machine = platform.machine()
    return {
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": f"v{MAJOR}.{MINOR}.0+cloudwright-{__version__}",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{_ARCHITECTURES.get(machine, machine)}",
    }


def subresources(resource: Resource) -> list[str]:
    """The subresources of a resource that are served, in order."""
    found = set(resource.subresources)
    if resource.group == "" and resource.plural == "namespaces":
        found.add("finalize")
    if resource.group == "" and resource.plural == "serviceaccounts":
        found.add("token")
    return sorted(found & set(_SUBRESOURCES))


class Discovery:
    """Answers discovery requests about a registry."""

    def __init__(
        self, registry: Registry, foreign: Callable[[], Sequence[Foreign]] = tuple
    ) -> None:
        self._registry = registry
        self._foreign = foreign
        self._generation = -1
        self._answers: dict[tuple[str, str], Reply] = {}

    def answer(self, path: str, accept: str) -> Reply | None:
        """The answer to ``GET path``; ``None`` when it is no path of discovery (or not served)."""
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._answers = self._build()
        path = path.rstrip("/") or "/"
        match = _AGGREGATED.search(accept)
        if match and _first(accept, match.start()):
            found = self._answers.get((path, match[1]))
            if found is not None:
                return found
        return self._answers.get((path, ""))

    def _resources(self) -> list[Resource]:
        return [*(entry.resource for entry in self._registry.all()), *REVIEWS, BINDING]

    def _stored_as(self, resource: Resource) -> str:
        found = self._registry.find(resource.group, resource.version, resource.plural)
        group, _, version = (found.storage_version if found else "").rpartition("/")
        return f"{group}/{version}/{resource.kind}"

    def _build(self) -> dict[tuple[str, str], Reply]:
        found: dict[str, dict[str, list[Resource]]] = {}
        for resource in sorted(self._resources(), key=lambda one: one.plural):
            versions = found.setdefault(resource.group, {})
            versions.setdefault(resource.version, []).append(resource)
        others: dict[str, dict[str, Foreign]] = {}
        for one in self._foreign():
            others.setdefault(one.group, {})[one.version] = one
            found.setdefault(one.group, {}).setdefault(one.version, [])
        order = _order(others)
        groups = {name: found[name] for name in sorted(found, key=order)}
        answers: dict[tuple[str, str], Reply] = {}
        core = {"": groups.pop("", {})}
        answers["/api", ""] = _json(
            {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        )
        shown = [_group(name, versions, others) for name, versions in groups.items()]
        answers["/apis", ""] = _json({"kind": "APIGroupList", "apiVersion": "v1", "groups": shown})
        for group in shown:
            single = {"kind": "APIGroup", "apiVersion": "v1", **group}
            answers[f"/apis/{group['name']}", ""] = _json(single)
        for name, versions in (core | groups).items():
            for version, resources in versions.items():
                prefix = f"/apis/{name}/{version}" if name else f"/api/{version}"
                answers[prefix, ""] = _json(
                    _resource_list(name, version, resources, self._stored_as)
                )
        answers["/api", "v2"] = _aggregated(core, "v2", others)
        answers["/apis", "v2"] = _aggregated(groups, "v2", others)
        paths = sorted({path for path, _ in answers} | {"/healthz", "/livez", "/readyz"})
        more = ["/metrics", "/openapi/v2", "/openapi/v3", "/version"]
        answers["/", ""] = _json({"paths": [*paths, *more]})
        return answers


def _first(accept: str, at: int) -> bool:
    """Whether nothing plainer stands before the aggregated form in the Accept header."""
    before = [part.strip() for part in accept[:at].split(",")]
    return not any(part in ("application/json", "*/*") for part in before)


def _order(others: Others) -> Callable[[str], tuple[int, str]]:
    """Sorts groups: the foreign ones by what their APIServices say."""

    def key(group: str) -> tuple[int, str]:
        minima = [documents.priority(one)[0] for one in others.get(group, {}).values()]
        own = priorities.by_group(group)
        return (min(own[0], -max(minima)), group) if minima else own

    return key


def _sorted(name: str, versions: Iterable[str], others: Others) -> list[str]:
    foreign = others.get(name, {})

    def key(version: str) -> tuple[int, tuple[int, int, int]]:
        one = foreign.get(version)
        first = documents.priority(one)[1] if one else 0
        return -first, priorities.by_version(version)

    return sorted(versions, key=key)


def _group(name: str, versions: Iterable[str], others: Others) -> dict[str, Any]:
    sorted_versions = _sorted(name, versions, others)
    entries = [{"groupVersion": f"{name}/{v}", "version": v} for v in sorted_versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _resource_list(
    group: str, version: str, resources: list[Resource], stored_as: Callable[[Resource], str]
) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for resource in resources:
        entries.append(_entry(resource, stored_as(resource)))
        for name in subresources(resource):
            sub_group, sub_version, kind, verbs = _about(resource, name)
            entry: dict[str, Any] = {
                "name": f"{resource.plural}/{name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": kind or resource.kind,
                "verbs": list(verbs),
            }
            if sub_group and kind:
                entry |= {"group": sub_group, "version": sub_version}
            entries.append(entry)
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),  # as upstream
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": entries,
    }


def _verbs(resource: Resource) -> list[str]:
    return ["create"] if resource in REVIEWS else list(resource.verbs)


def _entry(resource: Resource, stored_as: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _verbs(resource),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "watch" in resource.verbs and resource not in REVIEWS:
        entry["storageVersionHash"] = storage_version_hash(stored_as)
    return entry


def storage_version_hash(stored_as: str) -> str:
    """A short name for ``group/version/Kind``, by which clients see that the storage changed."""
    return base64.b64encode(hashlib.sha256(stored_as.encode()).digest()[:8]).decode()


def _aggregated(groups: dict[str, dict[str, list[Resource]]], api: str, others: Others) -> Reply:
    items = []
    for name, versions in groups.items():
        foreign = others.get(name, {})
        shown = [
            documents.aggregated(foreign[version])
            if version in foreign
            else {
                "version": version,
                "resources": [_aggregated_resource(r) for r in versions[version]],
                "freshness": "Current",
            }
            for version in _sorted(name, versions, others)
        ]
        metadata = {"name": name} if name else {}
        items.append({"metadata": metadata, "versions": shown})
    body = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{api}",
        "metadata": {},
        "items": items,
    }
    return _json(body, f"{JSON};g=apidiscovery.k8s.io;v={api};as=APIGroupDiscoveryList")


def _aggregated_resource(resource: Resource) -> dict[str, Any]:
    scope = "Namespaced" if resource.namespaced else "Cluster"
    shown: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _kind("", "", resource.kind),
        "scope": scope,
        "singularResource": resource.singular,
        "verbs": _verbs(resource),
    }
    if resource.short_names:
        shown["shortNames"] = list(resource.short_names)
    if resource.categories:
        shown["categories"] = list(resource.categories)
    subs = []
    for name in subresources(resource):
        group, version, kind, verbs = _about(resource, name)
        response = (
            _kind(group, version, kind) if kind and group else _kind("", "", kind or resource.kind)
        )
        subs.append({"subresource": name, "responseKind": response, "verbs": list(verbs)})
    if subs:
        shown["subresources"] = subs
    return shown


def _kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}


def _json(value: Any, content_type: str = JSON) -> Reply:
    body = orjson.dumps(value)
    tag = f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
    return Reply(200, {"content-type": content_type, "vary": "Accept", "etag": tag}, body)
