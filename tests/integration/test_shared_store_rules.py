"""Rules written through one API server hold on the other one, and names are given out once."""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright.client.client import Client
from cloudwright.client.errors import ApiError
from cloudwright.model.resources import CONFIG_MAP, SERVICE, Resource
from tests import etcd
from tests.integration.served_process import Server

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
POLICY = Resource(
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy",
    "validatingadmissionpolicies", "", namespaced=False,
)  # fmt: skip
BINDING = Resource(
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings", "", namespaced=False,
)  # fmt: skip
REVIEW = Resource(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", "",
    namespaced=False,
)  # fmt: skip
ROLE = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", False)
ROLE_BINDING = Resource(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", False
)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Client, Client]]:
    with etcd.running(tmp_path) as running:
        store = f"etcd://{running.endpoint}/cluster-{secrets.token_hex(3)}"
        servers = Server(tmp_path / "a", store), Server(tmp_path / "b", store)
        try:
            for server in servers:
                await server.start()
            async with servers[0].client() as one, servers[1].client() as two:
                yield one, two
        finally:
            for server in servers:
                server.end(signal.SIGKILL)


async def soon(holds: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(60):
        while not await holds():
            await anyio.sleep(0.02)


async def refused(client: Client, name: str) -> bool:
    try:
        await client.create(CONFIG_MAP, {"metadata": {"name": name}}, "default", dry_run=True)
    except ApiError as error:
        if "not today" not in error.message:
            raise
        return True
    return False


async def test_a_policy_of_one_server_holds_on_the_other(pair: tuple[Client, Client]) -> None:
    one, two = pair
    assert not await refused(two, "a")
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
              "resources": ["configmaps"]}]  # fmt: skip
    spec = {
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "false", "message": "not today"}],
    }
    await one.create(POLICY, {"metadata": {"name": "never"}, "spec": spec})
    binding = {"policyName": "never", "validationActions": ["Deny"]}
    await one.create(BINDING, {"metadata": {"name": "never"}, "spec": binding})
    await soon(lambda: refused(two, "a"))
    await one.delete(BINDING, "never")

    async def allowed() -> bool:
        return not await refused(two, "a")

    await soon(allowed)


async def test_rights_of_one_server_hold_on_the_other(pair: tuple[Client, Client]) -> None:
    one, two = pair
    asked = {"verb": "get", "resource": "configmaps", "namespace": "default"}
    review = {"spec": {"user": "ann", "resourceAttributes": asked}}

    async def may() -> bool:
        return bool((await two.create(REVIEW, dict(review)))["status"]["allowed"])

    async def may_not() -> bool:
        return not await may()

    assert await may_not()
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    await one.create(ROLE, {"metadata": {"name": "reader"}, "rules": rules})
    subject = {"kind": "User", "name": "ann", "apiGroup": ROLE.group}
    reference = {"kind": "ClusterRole", "name": "reader", "apiGroup": ROLE.group}
    binding = {"metadata": {"name": "ann"}, "roleRef": reference, "subjects": [subject]}
    await one.create(ROLE_BINDING, binding)
    await soon(may)
    await one.delete(ROLE_BINDING, "ann")
    await soon(may_not)


async def test_a_node_port_is_given_once(pair: tuple[Client, Client]) -> None:
    one, two = pair

    def service(name: str) -> dict[str, Any]:
        port = {"port": 80, "nodePort": 30080}
        return {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [port]}}

    await one.create(SERVICE, service("first"), "default")

    async def taken() -> bool:
        try:
            await two.create(SERVICE, service("second"), "default", dry_run=True)
        except ApiError as error:
            if "provided port is already allocated" not in error.message:
                raise
            return True
        return False

    async def free() -> bool:
        return not await taken()

    await soon(taken)
    await one.delete(SERVICE, "first", "default")
    await soon(free)
