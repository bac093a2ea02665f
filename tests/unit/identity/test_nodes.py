"""What a node may do, what it may write, and what pods get of their service account."""

from __future__ import annotations

import pytest

from cloudwright.apiserver.authz.nodes import NodeAuthorizer
from cloudwright.apiserver.config import CoreConfig
from cloudwright.apiserver.identity import Attributes, Rights, User, Verdict
from tests.unit.apiserver_core.kit import PODS, Api, pod, serving

pytestmark = pytest.mark.anyio
NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"


def using(name, node="n1", secret="s", config="c"):
    volumes = [
        {"name": "a", "secret": {"secretName": secret}},
        {"name": "b", "projected": {"sources": [{"configMap": {"name": config}}]}},
    ]
    return pod(name, volumes=volumes, **({"nodeName": node} if node else {}))


class Asked:
    """A node authorizer on a core."""

    def __init__(self, api):
        self.api, self.authorizer = api, NodeAuthorizer(api.core.store)

    async def may(self, verb, resource, name="", namespace="default", **more):
        resource, _, sub = resource.partition("/")
        resource, _, group = resource.partition(".")
        wanted = Attributes(verb, group, resource, sub, namespace, name, **more)
        return await self.authorizer.authorize(NODE, wanted)


@pytest.fixture
async def asked(tmp_path):
    async with serving(tmp_path) as api:
        yield Asked(api)


async def yes(asked, *words, **more):
    return (await asked.may(*words, **more)).allowed


async def test_a_node_reads_what_its_pods_use_as_long_as_they_do(asked):
    assert not await yes(asked, "get", "secrets", "s")
    await asked.api.create(PODS, using("p"))
    for resource, name in (("secrets", "s"), ("configmaps", "c")):
        for verb in ("get", "list", "watch"):
            assert await yes(asked, verb, resource, name)
        assert not await yes(asked, "update", resource, name)
        assert not await yes(asked, "list", resource)
        assert not await yes(asked, "get", resource, "other")
        assert not await yes(asked, "get", resource, name, namespace="kube-system")
    await asked.api.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert (await asked.may("get", "secrets", "s")).reason == (
        "no relationship found between node 'n1' and this object"
    )


async def test_pods_of_other_nodes_and_unbound_ones_do_not_count(asked):
    await asked.api.create(PODS, using("far", node="n2"))
    await asked.api.create(PODS, using("later", node="", secret="t"))
    assert not await yes(asked, "get", "secrets", "s")
    assert not await yes(asked, "get", "secrets", "t")
    binding = {"metadata": {"name": "later"}, "target": {"kind": "Node", "name": "n1"}}
    await asked.api.create(f"{PODS}/later/binding", binding)
    assert await yes(asked, "get", "secrets", "t")
    assert await yes(asked, "get", "pods", "later")
    assert not await yes(asked, "get", "pods", "far")


async def test_two_pods_hold_an_object_until_both_are_gone(asked):
    await asked.api.create(PODS, using("p"))
    await asked.api.create(PODS, using("q"))
    await asked.api.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert await yes(asked, "get", "secrets", "s")
    await asked.api.delete(f"{PODS}/q", {"gracePeriodSeconds": 0})
    assert not await yes(asked, "get", "secrets", "s")


async def test_tokens_only_for_accounts_of_its_pods(asked):
    assert not await yes(asked, "create", "serviceaccounts/token", "default")
    made = using("p")
    made["spec"]["serviceAccountName"] = "default"
    await asked.api.create(PODS, made)
    assert await yes(asked, "create", "serviceaccounts/token", "default")
    assert not await yes(asked, "create", "serviceaccounts/token", "other")
    assert not await yes(asked, "create", "serviceaccounts", "default")


@pytest.mark.parametrize(
    ("verb", "resource", "name", "namespace", "selector", "allowed"),
    [
        ("list", "pods", "", "", "spec.nodeName=n1", True),
        ("watch", "pods", "", "", "spec.nodeName=n1", True),
        ("list", "pods", "", "", "spec.nodeName=n2", False),
        ("list", "pods", "", "", "spec.nodeName!=n1", False),
        ("list", "pods", "", "", "", False),
        ("list", "pods", "", "", "=,(", False),
        ("patch", "pods/status", "p", "default", "", True),
        ("patch", "pods", "p", "default", "", False),
        ("create", "pods/exec", "p", "default", "", False),
        ("create", "nodes", "", "", "", True),
        ("patch", "nodes/status", "n1", "", "", True),
        ("get", "nodes", "n1", "", "", True),
        ("get", "nodes", "n2", "", "", False),
        ("list", "nodes", "", "", "", False),
        ("delete", "nodes", "n1", "", "", False),
        ("update", "leases.coordination.k8s.io", "n1", "kube-node-lease", "", True),
        ("update", "leases.coordination.k8s.io", "n2", "kube-node-lease", "", False),
        ("update", "leases.coordination.k8s.io", "n1", "default", "", False),
        ("list", "leases.coordination.k8s.io", "", "kube-node-lease", "", False),
        ("create", "events", "", "default", "", True),
        ("list", "services", "", "", "", True),
        ("create", "services", "", "default", "", False),
        ("list", "deployments.apps", "", "", "", False),
    ],
)
async def test_the_rest(asked, verb, resource, name, namespace, selector, allowed):
    found = await asked.may(verb, resource, name, namespace, field_selector=selector)
    assert found.allowed is allowed


async def test_only_nodes_are_asked_about():
    for user in (User("system:node:n1"), User("n1", ("system:nodes",))):
        assert NodeAuthorizer.concerns(user) is False
    assert NodeAuthorizer.concerns(NODE) is True


class Anything:
    """An authorizer that lets everybody do everything, so that admission has to say no."""

    async def authorize(self, user, wanted):
        return Verdict(True)

    async def rights(self, user, namespace):
        return Rights(())

    async def role_rules(self, kind, name, namespace):
        return ()


@pytest.fixture
async def apis(tmp_path):
    config = CoreConfig(service_accounts=True)
    async with serving(tmp_path, authorizer=Anything(), config=config) as api:
        await api.create(ACCOUNTS, {"metadata": {"name": "default"}})
        yield api, Api(api.core, NODE)


async def test_a_node_writes_itself_and_no_other(apis):
    _, node = apis
    await node.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    said = await node.create("/api/v1/nodes", {"metadata": {"name": "n2"}}, status=403)
    assert 'node "n1" is not allowed to modify node "n2"' in said["message"]
    status = {"status": {"phase": "Running"}}
    await node.patch("/api/v1/nodes/n1/status", status)
    label = {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}}
    said = await node.patch("/api/v1/nodes/n1", label, status=403)
    assert "is not allowed to modify labels: node-restriction.kubernetes.io/x" in said["message"]
    taint = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
    said = await node.patch("/api/v1/nodes/n1", taint, status=403)
    assert "is not allowed to modify taints" in said["message"]
    said = await node.delete("/api/v1/nodes/n1", status=403)
    assert "is not allowed to delete itself" in said["message"]


async def test_a_node_reports_on_its_own_pods_only(apis):
    admin, node = apis
    for name, bound in (("mine", "n1"), ("far", "n2")):
        await admin.create(PODS, pod(name, nodeName=bound))
    report = {"status": {"phase": "Running"}}
    await node.patch(f"{PODS}/mine/status", report)
    said = await node.patch(f"{PODS}/far/status", report, status=403)
    assert "can only update pod status for pods with spec.nodeName set to itself" in said["message"]
    labels = {"metadata": {"labels": {"app": "other"}}}
    said = await node.patch(f"{PODS}/mine/status", labels, status=403)
    assert "cannot update labels through pod status" in said["message"]
    said = await node.create(PODS, pod("new", nodeName="n1"), status=403)
    assert "can only create mirror pods" in said["message"]
    said = await node.delete(f"{PODS}/far", {"gracePeriodSeconds": 0}, status=403)
    assert "can only delete pods with spec.nodeName set to itself" in said["message"]
    await node.delete(f"{PODS}/mine", {"gracePeriodSeconds": 0})


async def test_a_node_has_only_its_own_lease(apis):
    _, node = apis
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    await node.create(leases, {"metadata": {"name": "n1"}})
    said = await node.create(leases, {"metadata": {"name": "n2"}}, status=403)
    assert "with the same name as the requesting node" in said["message"]


async def test_every_pod_gets_its_token_unless_it_does_not_want_it(apis):
    admin, _ = apis
    made = await admin.create(PODS, pod("p"))
    (volume,) = made["spec"]["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    (mount,) = made["spec"]["containers"][0]["volumeMounts"]
    assert mount == {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    bare = await admin.create(PODS, pod("q", automountServiceAccountToken=False))
    assert "volumes" not in bare["spec"]
    quiet = {"metadata": {"name": "quiet"}, "automountServiceAccountToken": False}
    pulls = {"imagePullSecrets": [{"name": "registry"}]}
    await admin.create(ACCOUNTS, {**quiet, **pulls})
    still = await admin.create(PODS, pod("r", serviceAccountName="quiet"))
    assert "volumes" not in still["spec"]
    assert still["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    wanted = pod("s", serviceAccountName="quiet", automountServiceAccountToken=True)
    assert (await admin.create(PODS, wanted))["spec"]["volumes"]


async def test_a_pod_without_a_known_account_is_refused(apis):
    admin, _ = apis
    said = await admin.create(PODS, pod("p", serviceAccountName="nobody"), status=403)
    assert said["message"] == (
        'pods "p" is forbidden: error looking up service account default/nobody: '
        'serviceaccount "nobody" not found'
    )


async def test_a_pod_waits_for_the_default_account(tmp_path):
    import anyio

    config = CoreConfig(service_accounts=True)
    async with serving(tmp_path, config=config) as api, anyio.create_task_group() as tasks:

        async def later():
            await api.create(ACCOUNTS, {"metadata": {"name": "default"}})

        tasks.start_soon(later)
        await api.create(PODS, pod("p"))
