"""Random sequences of requests, made by hypothesis: what two servers must agree on at every step.

A sequence is about one object: creates, updates, patches of every kind, applies by several
managers, deletes. ``play`` sends it to one server; the recordings are compared as scenarios are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.standards.kubernetes.session import (
    APPLY,
    JSON,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Session,
)

MANAGERS = st.sampled_from(["one", "two", "three"])
KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["1", "2", ""])


@dataclass(frozen=True, slots=True)
class Step:
    """One request on the object."""

    verb: str
    manager: str = ""
    body: Any = None
    kind: str = JSON
    query: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind that sequences are about."""

    plural: str
    group: str
    api_version: str
    kind: str
    whole: st.SearchStrategy[dict[str, Any]]
    """What create, update and apply send beside the metadata."""
    part: st.SearchStrategy[dict[str, Any]]
    """What merge patches send."""
    operations: st.SearchStrategy[list[dict[str, Any]]]
    strategic: st.SearchStrategy[dict[str, Any]] | None = None


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A dictionary that has any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Sometimes null, which removes in patches."""
    return st.one_of(values, values, st.none())


LABELS = st.dictionaries(KEYS, VALUES, max_size=2)
METADATA = optional(labels=LABELS, annotations=st.dictionaries(KEYS, VALUES, max_size=2))
PATCHED_METADATA = optional(
    labels=nullable(st.dictionaries(KEYS, nullable(VALUES), max_size=2)),
    annotations=nullable(st.dictionaries(KEYS, nullable(VALUES), max_size=2)),
    finalizers=st.sampled_from([[], None]),
)
DATA = st.dictionaries(KEYS, VALUES, max_size=3)


def _operation(paths: Sequence[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    where = st.sampled_from(list(paths))
    return st.one_of(
        st.builds(lambda op, path, value: {"op": op, "path": path, "value": value},
                  st.sampled_from(["add", "replace", "test"]), where, values),
        st.builds(lambda path: {"op": "remove", "path": path}, where),
        st.builds(lambda op, one, two: {"op": op, "from": one, "path": two},
                  st.sampled_from(["move", "copy"]), where, where),
    )  # fmt: skip


CONFIG = Resource(
    "configmaps",
    "",
    "v1",
    "ConfigMap",
    st.builds(lambda m, d: {"metadata": m, **d}, METADATA, optional(data=DATA)),
    st.builds(
        lambda m, d: {"metadata": m, **d},
        PATCHED_METADATA,
        optional(data=nullable(st.dictionaries(KEYS, nullable(VALUES), max_size=3))),
    ),
    st.lists(_operation(["/data/a", "/data/b", "/data", "/metadata/labels"],
                        st.one_of(VALUES, DATA)), max_size=3),
)  # fmt: skip

ENV = st.lists(
    st.builds(lambda n, v: {"name": n, "value": v}, KEYS, VALUES), max_size=3,
    unique_by=lambda entry: entry["name"],
)  # fmt: skip
# One container's ports: two with the same port are warned about in words that are a gap of ours.
PORTS = st.lists(
    st.builds(lambda n: {"containerPort": n}, st.sampled_from([80, 81, 82])), max_size=2,
    unique_by=lambda entry: entry["containerPort"],
)  # fmt: skip
CONTAINER = st.builds(
    lambda name, image, more: {"name": name, "image": image, **more},
    st.sampled_from(["web", "side"]),
    st.sampled_from(["i:1", "i:2"]),
    optional(env=ENV, ports=PORTS, args=st.lists(VALUES, max_size=2)),
)


def _apart(containers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for container in containers:
        if container["name"] == "side" and "ports" in container:
            ports = [{"containerPort": 10 + port["containerPort"]} for port in container["ports"]]
            container.update(ports=ports)
    return containers


CONTAINERS = st.lists(CONTAINER, min_size=1, max_size=2, unique_by=lambda entry: entry["name"]).map(
    _apart
)
POD = st.builds(
    lambda containers, more: {"containers": containers, **more},
    CONTAINERS,
    optional(
        nodeSelector=st.dictionaries(KEYS, VALUES, max_size=2),
        tolerations=st.lists(
            st.builds(lambda key: {"key": key, "operator": "Exists"}, KEYS), max_size=2
        ),
        terminationGracePeriodSeconds=st.sampled_from([1, 30]),
    ),
)


def _deployment(metadata: Any, pod: Any, more: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod}
    return {
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template, **more},
    }


PARTIAL_CONTAINER = st.builds(
    lambda name, more: {"name": name, **more},
    st.sampled_from(["web", "side", "new"]),
    optional(
        image=st.sampled_from(["i:3", "i:1"]),
        env=ENV,
        ports=PORTS,
        **{"$patch": st.just("delete")},
    ),
)
DEPLOYMENT = Resource(
    "deployments",
    "apps/v1",
    "apps/v1",
    "Deployment",
    st.builds(
        _deployment, METADATA, POD,
        optional(replicas=st.integers(0, 3), minReadySeconds=st.integers(0, 2)),
    ),
    st.builds(
        lambda m, r: {"metadata": m, "spec": r},
        PATCHED_METADATA,
        optional(replicas=nullable(st.integers(0, 3)), paused=nullable(st.booleans())),
    ),
    st.lists(
        _operation(
            ["/spec/replicas", "/spec/template/spec/containers/0/image", "/spec/paused"],
            st.one_of(st.integers(0, 3), st.sampled_from(["i:4"])),
        ),
        max_size=2,
    ),
    st.builds(
        lambda containers, m: {
            "metadata": m, "spec": {"template": {"spec": {"containers": containers}}}
        },
        st.lists(PARTIAL_CONTAINER, max_size=2, unique_by=lambda entry: entry["name"]),
        PATCHED_METADATA,
    ),
)  # fmt: skip


SERVICE_PORT = st.builds(
    lambda port, protocol, more: {"port": port, "protocol": protocol, **more},
    st.sampled_from([80, 81]),
    st.sampled_from(["TCP", "UDP"]),
    optional(targetPort=st.sampled_from([8080, "web"])),
)


def _named(ports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ports with the names that several of them need."""
    return [{**port, "name": f"p{port['port']}{port['protocol'].lower()}"} for port in ports]


SERVICE_PORTS = st.lists(
    SERVICE_PORT, min_size=1, max_size=3,
    unique_by=lambda port: (port["port"], port["protocol"]),
).map(_named)  # fmt: skip
SERVICE_SPEC = st.builds(
    lambda ports, more: {"ports": ports, **more},
    SERVICE_PORTS,
    optional(
        selector=st.dictionaries(KEYS, VALUES, max_size=2),
        sessionAffinity=st.sampled_from(["None", "ClientIP"]),
    ),
)
SERVICE = Resource(
    "services",
    "",
    "v1",
    "Service",
    st.builds(lambda m, s: {"metadata": m, "spec": s}, METADATA, SERVICE_SPEC),
    st.builds(
        lambda m, s: {"metadata": m, "spec": s},
        PATCHED_METADATA,
        optional(
            selector=nullable(st.dictionaries(KEYS, nullable(VALUES), max_size=2)),
            ports=SERVICE_PORTS,
        ),
    ),
    st.lists(
        _operation(["/spec/selector", "/spec/ports/0/targetPort"], st.sampled_from([8081, "x"])),
        max_size=2,
    ),
    st.builds(
        lambda ports, m: {"metadata": m, "spec": {"ports": ports}},
        st.lists(SERVICE_PORT, max_size=2, unique_by=lambda port: port["port"]).map(_named),
        PATCHED_METADATA,
    ),
)

GADGET = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.gen.example.com"},
    "spec": {
        "group": "gen.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "size": {"type": "integer", "minimum": 0, "default": 1},
                                    "tags": {
                                        "type": "array",
                                        "items": {"type": "string"},
                                        "x-kubernetes-list-type": "set",
                                    },
                                    "plain": {"type": "array", "items": {"type": "string"}},
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["id"],
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "id": {"type": "string"},
                                                "n": {"type": "integer"},
                                            },
                                        },
                                    },
                                    "whole": {
                                        "type": "object",
                                        "x-kubernetes-map-type": "atomic",
                                        "additionalProperties": {"type": "string"},
                                    },
                                    "free": {
                                        "type": "object",
                                        "x-kubernetes-preserve-unknown-fields": True,
                                    },
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}
"""A custom kind with every sort of list and map."""
PART = st.builds(lambda id, more: {"id": id, **more}, KEYS, optional(n=st.sampled_from([0, 1, -2])))
GADGET_SPEC = optional(
    size=st.sampled_from([0, 1, 2]),
    tags=st.lists(VALUES, max_size=3, unique=True),
    plain=st.lists(VALUES, max_size=2),
    parts=st.lists(PART, max_size=3, unique_by=lambda part: part["id"]),
    whole=st.dictionaries(KEYS, VALUES, max_size=2),
    free=st.dictionaries(KEYS, st.one_of(VALUES, st.booleans(), LABELS), max_size=2),
    unknown=VALUES,
)
CUSTOM = Resource(
    "gadgets",
    "gen.example.com/v1",
    "gen.example.com/v1",
    "Gadget",
    st.builds(lambda m, s: {"metadata": m, "spec": s}, METADATA, GADGET_SPEC),
    st.builds(
        lambda m, s: {"metadata": m, "spec": s},
        PATCHED_METADATA,
        optional(
            size=nullable(st.integers(-1, 2)),
            parts=nullable(st.lists(PART, max_size=2)),
            whole=nullable(st.dictionaries(KEYS, nullable(VALUES), max_size=2)),
        ),
    ),
    st.lists(
        _operation(["/spec/size", "/spec/tags/0", "/spec/parts", "/spec/free/a"],
                   st.one_of(st.integers(-1, 3), VALUES)),
        max_size=2,
    ),
)  # fmt: skip


def steps(resource: Resource) -> st.SearchStrategy[list[Step]]:
    """Sequences about one object of the kind."""
    kinds = [
        st.builds(lambda m, b: Step("POST", m, b), MANAGERS, resource.whole),
        st.builds(lambda m, b: Step("PUT", m, b), MANAGERS, resource.whole),
        st.builds(lambda m, b: Step("PATCH", m, b, MERGE), MANAGERS, resource.part),
        st.builds(lambda m, b: Step("PATCH", m, b, JSON_PATCH), MANAGERS, resource.operations),
        st.builds(
            lambda m, b, q: Step("PATCH", m, b, APPLY, q),
            MANAGERS,
            resource.whole,
            st.sampled_from(["", "&force=true"]),
        ),
        st.just(Step("DELETE")),
    ]
    if resource.strategic is not None:
        kinds.append(
            st.builds(lambda m, b: Step("PATCH", m, b, STRATEGIC), MANAGERS, resource.strategic)
        )
    applies = kinds[4]
    return st.lists(st.one_of(*kinds, applies, applies), min_size=2, max_size=7)


def play(session: Session, resource: Resource, name: str, sequence: Sequence[Step]) -> None:
    """Send a sequence; each answer is a step of the session."""
    collection = session.path(resource.plural, group=resource.group)
    for number, step in enumerate(sequence):
        path = collection if step.verb == "POST" else f"{collection}/{name}"
        query = f"?fieldManager={step.manager}{step.query}" if step.manager else ""
        body = step.body
        if isinstance(body, dict) and step.kind in (JSON, APPLY):
            head = {"apiVersion": resource.api_version, "kind": resource.kind}
            body = {**head, **body, "metadata": {**body["metadata"], "name": name}}
        label = {JSON: step.verb, APPLY: "apply"}.get(step.kind, step.kind.split("/")[1][:5])
        data = None if body is None else json.dumps(body)
        session.send(f"{number}-{label}", step.verb, path + query, data, kind=step.kind)
    session.ask("DELETE", f"{collection}/{name}")
