"""Who may reach into pods by the bootstrap roles, as kube-apiserver's policy says."""

from __future__ import annotations

from typing import Any

import pytest

from cloudwright.apiserver.authz.index import Index
from cloudwright.apiserver.identity import User
from tests.unit.identity.kit import ADMIN, NOBODY, binding, bootstrap, can, key, user

STREAMS = ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy")
SCHEDULER = User("system:kube-scheduler", ("system:authenticated",))


def bound(given: dict[str, Any]) -> Index:
    """The bootstrap policy and one binding."""
    index = bootstrap()
    index.put(key(given), given)
    return index


@pytest.mark.parametrize(
    ("role", "reads", "writes"),
    [("view", False, False), ("edit", True, True), ("admin", True, True)],
)
def test_streams_are_for_who_may_write(role: str, reads: bool, writes: bool) -> None:
    index = bound(binding("b", role, user("ann"), namespace="n"))
    who = User("ann", ("system:authenticated",))
    for resource in STREAMS:
        assert can(index, who, "get", resource, namespace="n") is reads, resource
        assert can(index, who, "get", resource, namespace="other") is False
        assert can(index, who, "create", resource, namespace="n") is writes, resource
    for resource in ("pods/ephemeralcontainers", "pods/resize", "bindings"):
        assert can(index, who, "patch", resource, namespace="n") is False
        assert can(index, who, "create", resource, namespace="n") is False


def test_nodes_are_proxied_for_administrators_only() -> None:
    index = bootstrap()
    assert can(index, ADMIN, "get", "nodes/proxy")
    assert not can(index, NOBODY, "get", "nodes/proxy")
    index = bound(binding("b", "system:kubelet-api-admin", user("joe")))
    assert can(index, NOBODY, "create", "nodes/proxy")


def test_the_scheduler_binds_either_way() -> None:
    index = bootstrap()
    assert can(index, SCHEDULER, "create", "bindings")
    assert can(index, SCHEDULER, "create", "pods/binding")
    assert not can(index, SCHEDULER, "create", "pods/ephemeralcontainers")
