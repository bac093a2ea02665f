"""Roles as they should be: bootstrap, aggregation, custom kinds, reconciling, escalation."""

from __future__ import annotations

import copy

import anyio
import pytest

from cloudwright.apiserver.authn import impersonation
from cloudwright.apiserver.authz import ChainAuthorizer, policy, reconcile, upkeep
from cloudwright.apiserver.authz.rules import PolicyRule, broken_down, compacted, missing
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.identity import Attributes, Rights, User, Verdict
from tests.unit.apiserver_core.kit import ADMIN, Api, bootstrap, opened
from tests.unit.identity.kit import binding, group, role, rule, user

pytestmark = pytest.mark.anyio
RBAC = "/apis/rbac.authorization.k8s.io/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
EVE = User("eve", ("system:authenticated",))
MADE = policy.everything


@pytest.fixture
async def api(tmp_path):
    async with opened(tmp_path) as store:
        yield Api(await bootstrap.start(store, ChainAuthorizer(store)))


async def test_a_second_start_changes_nothing(api):
    before = api.core.store.revision
    await upkeep.ensure(api.core)
    assert await upkeep.aggregate(api.core) == 0
    assert api.core.store.revision == before


async def test_what_was_taken_away_comes_back_and_what_was_added_stays(api):
    view = await api.get(f"{RBAC}/clusterroles/system:kube-dns")
    extra = {"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]}
    await api.update(f"{RBAC}/clusterroles/system:kube-dns", {**view, "rules": [extra]})
    kept = await api.get(f"{RBAC}/clusterroles/system:kube-scheduler")
    kept["metadata"]["annotations"][policy.AUTOUPDATE] = "false"
    await api.update(f"{RBAC}/clusterroles/system:kube-scheduler", {**kept, "rules": []})
    await api.delete(f"{RBAC}/clusterrolebindings/system:discovery")
    await upkeep.ensure(api.core)
    found = (await api.get(f"{RBAC}/clusterroles/system:kube-dns"))["rules"]
    assert extra in found
    assert not missing([PolicyRule.of(r) for r in found], [PolicyRule.of(r) for r in view["rules"]])
    assert not (await api.get(f"{RBAC}/clusterroles/system:kube-scheduler")).get("rules")
    assert await api.get(f"{RBAC}/clusterrolebindings/system:discovery")


async def test_a_binding_to_another_role_is_made_anew(api):
    path = f"{RBAC}/clusterrolebindings"
    await api.delete(f"{path}/system:basic-user")
    await api.create(path, binding("system:basic-user", "other", group("g")))
    await upkeep.ensure(api.core)
    found = await api.get(f"{path}/system:basic-user")
    assert found["roleRef"]["name"] == "system:basic-user"


async def test_view_gathers_labelled_roles_and_custom_kinds(api):
    names = {"plural": "things", "singular": "thing", "kind": "Thing"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    spec = {"group": "example.org", "names": names, "scope": "Namespaced", "versions": [version]}
    await api.create(DEFINITIONS, {"metadata": {"name": "things.example.org"}, "spec": spec})
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    mine = role("mine", rule("list", "mines", "mine.org"))
    mine["metadata"]["labels"] = label
    await api.create(f"{RBAC}/clusterroles", mine)
    await upkeep.aggregate(api.core)
    await api.create(
        f"{RBAC}/namespaces/default/rolebindings",
        binding("v", "view", user("eve")) | {"kind": "RoleBinding"},
    )
    for name, verb, plural, grp, yes in [
        ("eve", "list", "things", "example.org", True),
        ("eve", "list", "mines", "mine.org", True),
        ("eve", "create", "things", "example.org", False),
    ]:
        wanted = Attributes(verb, grp, plural, namespace="default")
        assert (await api.core.authorizer.authorize(User(name), wanted)).allowed is yes
    await api.delete(f"{RBAC}/clusterroles/mine")
    await api.delete(f"{DEFINITIONS}/things.example.org")
    await upkeep.aggregate(api.core)
    rules = (await api.get(f"{RBAC}/clusterroles/view"))["rules"]
    assert not [one for one in rules if {"example.org", "mine.org"} & set(one["apiGroups"])]


async def test_aggregation_follows_changes_by_itself(api):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upkeep.run, api.core)
        mine = role("mine", rule("list", "mines", "mine.org"))
        mine["metadata"]["labels"] = {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}
        await api.create(f"{RBAC}/clusterroles", mine)
        with anyio.fail_after(30):
            while "mine.org" not in str(await api.get(f"{RBAC}/clusterroles/admin")):
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


async def test_only_who_may_do_everything_gathers(api):
    may = role("writer", rule("*", "clusterroles", "rbac.authorization.k8s.io"))
    may["rules"][0]["verbs"] = ["create", "update", "get"]
    await api.create(f"{RBAC}/clusterroles", may)
    await api.create(f"{RBAC}/clusterrolebindings", binding("w", "writer", user("eve")))
    eve = Api(api.core, EVE)
    selectors = [{"matchLabels": {"a": "b"}}]
    gathering = role("all", aggregationRule={"clusterRoleSelectors": selectors})
    said = await eve.create(f"{RBAC}/clusterroles", gathering, status=403)
    assert "must have cluster-admin privileges to use the aggregationRule" in said["message"]
    said = await eve.create(f"{RBAC}/clusterroles", role("x", rule("get", "pods")), status=403)
    assert said["message"] == (
        'clusterroles.rbac.authorization.k8s.io "x" is forbidden: user "eve" '
        '(groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently '
        'held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'
    )
    # What only the garbage collector changes may change.
    theirs = await api.create(f"{RBAC}/clusterroles", role("theirs", rule("get", "pods")))
    theirs["metadata"]["finalizers"] = ["example.org/x"]
    await eve.update(f"{RBAC}/clusterroles/theirs", theirs)
    await api.create(
        f"{RBAC}/clusterroles",
        role("up", rule("escalate", "clusterroles", "rbac.authorization.k8s.io")),
    )
    await api.create(f"{RBAC}/clusterrolebindings", binding("u", "up", user("eve")))
    await eve.create(f"{RBAC}/clusterroles", role("x", rule("get", "pods")))


def test_rules_are_broken_down_covered_and_compacted():
    whole = PolicyRule(("get", "list"), ("", "apps"), ("pods", "pods/log"))
    assert len(broken_down(whole)) == 8
    assert missing([whole], [whole]) == []
    named = PolicyRule(("get",), ("",), ("pods",), ("a",))
    assert missing([named], [PolicyRule(("get",), ("",), ("pods",))])
    assert missing([PolicyRule(("get",), ("",), ("pods",))], [named]) == []
    star = PolicyRule(("*",), ("*",), ("*/scale",))
    assert missing([star], [PolicyRule(("get",), ("apps",), ("deployments/scale",))]) == []
    assert missing([star], [PolicyRule(("get",), ("apps",), ("deployments",))])
    paths = PolicyRule(("get",), urls=("/a/*",))
    assert missing([paths], [PolicyRule(("get",), urls=("/a/b",))]) == []
    shown = [str(one) for one in compacted(broken_down(PolicyRule(("a", "b"), ("",), ("c",))))]
    assert shown == ['{APIGroups:[""], Resources:["c"], Verbs:["a" "b"]}']


def test_reconciling_keeps_what_was_added():
    wish = role("r", rule("get", "pods"))
    wish["metadata"]["labels"] = {"a": "expected"}
    has = role("r", rule("list", "pods"))
    has["metadata"]["labels"] = {"a": "mine", "b": "c"}
    new = reconcile.reconciled(copy.deepcopy(has), wish)
    assert new is not None
    assert new["metadata"]["labels"] == {"a": "mine", "b": "c"}
    assert len(new["rules"]) == 2
    assert reconcile.reconciled(new, wish) is None


class Only:
    """Allows impersonation of some."""

    def __init__(self, *names: tuple[str, str]) -> None:
        self.names = set(names)

    async def authorize(self, _user: User, wanted: Attributes) -> Verdict:
        return Verdict((wanted.full_resource, wanted.name) in self.names)

    async def rights(self, _user: User, _namespace: str) -> Rights:
        return Rights(())

    async def role_rules(self, *_: str) -> tuple[PolicyRule, ...]:
        return ()


async def test_impersonation_asks_for_every_part():
    headers = {
        "impersonate-user": "bob",
        "impersonate-group": "g1, g2",
        "impersonate-uid": "7",
        "impersonate-extra-scopes%2fmine": "read, write",
    }
    parts = [("users", "bob"), ("groups", "g1"), ("groups", "g2"), ("uids", "7")]
    parts += [("userextras/scopes/mine", "read"), ("userextras/scopes/mine", "write")]
    found = await impersonation.act(ADMIN, headers, Only(*parts))
    extra = (("scopes/mine", ("read", "write")),)
    assert found == User("bob", ("g1", "g2", "system:authenticated"), "7", extra)
    for at in range(len(parts)):
        with pytest.raises(ApiError) as error:
            await impersonation.act(ADMIN, headers, Only(*parts[:at], *parts[at + 1 :]))
        assert error.value.http_status == 403
        assert f'cannot impersonate resource "{parts[at][0]}"' in error.value.message


async def test_impersonating_accounts_and_nobody():
    name = "system:serviceaccount:ns:robot"
    allowed = Only(("serviceaccounts", "robot"), ("users", "system:anonymous"))
    found = await impersonation.act(ADMIN, {"impersonate-user": name}, allowed)
    assert found.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:ns",
        "system:authenticated",
    )
    found = await impersonation.act(ADMIN, {"impersonate-user": "system:anonymous"}, allowed)
    assert found.groups == ("system:unauthenticated",)
    with pytest.raises(ApiError, match="without impersonating a user"):
        await impersonation.act(ADMIN, {"impersonate-group": "g"}, allowed)
