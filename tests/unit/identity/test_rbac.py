"""RBAC's decisions: the bootstrap policy, wildcards, names, subjects, and a naive model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright.apiserver.authz.index import Index
from cloudwright.apiserver.authz.rules import PolicyRule
from cloudwright.apiserver.identity import Attributes, User
from tests.unit.identity.kit import (
    ADMIN,
    NOBODY,
    STRANGER,
    VIEWER,
    account,
    binding,
    bootstrap,
    can,
    group,
    index_of,
    key,
    role,
    rule,
    urls,
    user,
)

SCHEDULER = User("system:kube-scheduler", ("system:authenticated",))


@pytest.fixture(scope="module")
def everyday() -> Index:
    return bootstrap()


@pytest.mark.parametrize(
    ("who", "verb", "resource", "yes"),
    [
        (ADMIN, "delete", "secrets", True),
        (ADMIN, "create", "pods/exec", True),
        (VIEWER, "watch", "pods", True),
        (VIEWER, "get", "pods/log", True),
        (VIEWER, "get", "nodes", True),
        (VIEWER, "list", "microservices.platform.example.com", True),
        (VIEWER, "list", "clusterroles.rbac.authorization.k8s.io", True),
        (VIEWER, "get", "secrets", False),
        (VIEWER, "get", "pods/exec", False),
        (VIEWER, "get", "pods/portforward", False),
        (VIEWER, "create", "pods", False),
        (VIEWER, "deletecollection", "pods", False),
        (NOBODY, "get", "pods", False),
        (NOBODY, "create", "selfsubjectaccessreviews.authorization.k8s.io", True),
        (STRANGER, "get", "pods", False),
        (SCHEDULER, "create", "pods/binding", True),
        (SCHEDULER, "create", "pods", False),
        (SCHEDULER, "list", "secrets", False),
    ],
)
def test_bootstrap_policy(everyday, who, verb, resource, yes):
    assert can(everyday, who, verb, resource, "x", namespace="default") is yes


@pytest.mark.parametrize(
    ("who", "path", "yes"),
    [
        (ADMIN, "/anything", True),
        (VIEWER, "/metrics", True),
        (NOBODY, "/metrics", False),
        (NOBODY, "/apis/apps/v1", True),
        (NOBODY, "/openapi/v3/apis/apps/v1", True),
        (NOBODY, "/debug", False),
        (STRANGER, "/apis", False),
        (STRANGER, "/healthz", True),
    ],
)
def test_bootstrap_policy_on_paths(everyday, who, path, yes):
    assert everyday.decide(who, Attributes("get", path=path)).allowed is yes


def test_admin_edit_and_view_reach_microservices_and_nobody_else_s_roles(everyday):
    for name, verb, yes in [
        ("admin", "create", True),
        ("edit", "patch", True),
        ("view", "list", True),
        ("view", "create", False),
    ]:
        found = index_of(
            *[everyday_role(everyday, name)], binding("b", name, user("x"), namespace="ns")
        )
        who = User("x")
        microservices = "microservices.platform.example.com"
        assert can(found, who, verb, microservices, namespace="ns") is yes
        assert can(found, who, verb, microservices, namespace="other") is False


def everyday_role(index: Index, name: str) -> dict[str, Any]:
    rules = index.role("ClusterRole", name, "")
    assert rules
    return role(name, *(one.as_object() for one in rules))


def test_reasons_say_which_binding_allows_and_which_role_is_missing():
    found = index_of(
        role("reader", rule("get", "pods"), namespace="ns"),
        binding("b", "reader", user("a"), account("robot"), namespace="ns", kind="Role"),
        binding("lost", "gone", group("g")),
    )
    wanted = Attributes("get", "", "pods", namespace="ns")
    assert found.decide(User("a"), wanted).reason == (
        'RBAC: allowed by RoleBinding "b/ns" of Role "reader" to User "a"'
    )
    robot = User("system:serviceaccount:ns:robot")
    assert found.decide(robot, wanted).reason == (
        'RBAC: allowed by RoleBinding "b/ns" of Role "reader" to ServiceAccount "robot/ns"'
    )
    assert found.decide(User("z", ("g",)), wanted).reason == (
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    )


def test_subresources_need_their_own_word():
    found = index_of(
        role("r", rule("get", "pods */scale deployments/status", "*")), binding("b", "r", user("a"))
    )
    who = User("a")
    assert can(found, who, "get", "pods")
    assert not can(found, who, "get", "pods/log")
    assert can(found, who, "get", "anything.apps/scale")
    assert can(found, who, "get", "deployments/scale")
    assert can(found, who, "get", "deployments/status")
    assert not can(found, who, "get", "deployments")


def test_names_narrow_a_rule_and_another_rule_may_widen_it():
    found = index_of(
        role("r", rule("get delete", "pods", names="a b"), rule("list", "pods")),
        binding("b", "r", user("u")),
    )
    who = User("u")
    assert can(found, who, "get", "pods", "a")
    assert not can(found, who, "get", "pods", "c")
    assert not can(found, who, "get", "pods", "")
    assert can(found, who, "list", "pods")


def test_what_is_removed_no_longer_counts():
    reader, bound = role("r", rule("get", "pods")), binding("b", "r", user("u"))
    found = index_of(reader, bound)
    who = User("u")
    assert can(found, who, "get", "pods")
    found.drop(key(bound))
    assert not can(found, who, "get", "pods")
    found.put(key(bound), bound)
    assert can(found, who, "get", "pods")
    found.put(key(reader), role("r", rule("list", "pods")))
    assert not can(found, who, "get", "pods")
    found.drop(key(reader))
    assert not can(found, who, "list", "pods")


def test_paths():
    found = index_of(role("r", urls("get", "/a", "/b/*")), binding("b", "r", group("g")))
    who = User("u", ("g",))

    def may(verb: str, path: str) -> bool:
        return found.decide(who, Attributes(verb, path=path)).allowed

    assert [may("get", p) for p in ("/a", "/a/c", "/b/", "/b/c", "/b")] == [
        True, False, True, True, False,
    ]  # fmt: skip
    assert not may("post", "/a")


# A model that goes through everything anew for each question, as the API's documentation says it.

VERBS = ("get", "list", "create", "*")
GROUPS = ("", "apps", "*")
RESOURCES = ("pods", "pods/log", "deployments", "*/log", "*/scale", "*")
NAMES = ("a", "b")
SPACES = ("", "one", "two")
PEOPLE = ("ann", "bob", "system:serviceaccount:one:robot")
TEAMS = ("g", "h")
some = lambda values, least=0: st.lists(st.sampled_from(values), min_size=least, max_size=2)  # noqa: E731
rules = st.builds(
    lambda v, g, r, n: {"verbs": v, "apiGroups": g, "resources": r, "resourceNames": n},
    some(VERBS, 1), some(GROUPS, 1), some(RESOURCES, 1), some(NAMES),
)  # fmt: skip
roles = st.builds(
    lambda name, space, found: role(name, *found, namespace=space),
    st.sampled_from(("r", "s")), st.sampled_from(SPACES), st.lists(rules, max_size=3),
)  # fmt: skip
subjects = st.one_of(
    st.sampled_from(PEOPLE).map(user),
    st.sampled_from(TEAMS).map(group),
    st.builds(account, st.just("robot"), st.sampled_from(SPACES)),
)
bindings = st.builds(
    lambda name, to, space, found, kind: binding(
        name, to, *found, namespace=space, kind=kind if space else "ClusterRole"
    ),
    st.sampled_from(("x", "y", "z")), st.sampled_from(("r", "s", "none")),
    st.sampled_from(SPACES), st.lists(subjects, max_size=3),
    st.sampled_from(("Role", "ClusterRole")),
)  # fmt: skip
questions = st.builds(
    lambda verb, grp, res, sub, space, name: Attributes(verb, grp, res, sub, space, name),
    st.sampled_from(("get", "list", "create", "watch")), st.sampled_from(("", "apps", "batch")),
    st.sampled_from(("pods", "deployments", "jobs")), st.sampled_from(("", "log", "scale")),
    st.sampled_from(SPACES), st.sampled_from(("", *NAMES, "c")),
)  # fmt: skip


def naive(objects: dict[str, dict[str, Any]], who: User, wanted: Attributes) -> bool:
    for obj in objects.values():
        if "roleRef" not in obj:
            continue
        space = obj["metadata"].get("namespace", "")
        if space and space != wanted.namespace:
            continue
        if not any(_is(subject, who, space) for subject in obj["subjects"]):
            continue
        kind, name = obj["roleRef"]["kind"], obj["roleRef"]["name"]
        found = [
            one
            for one in objects.values()
            if one["kind"] == kind
            and one["metadata"]["name"] == name
            and (kind == "ClusterRole" or one["metadata"]["namespace"] == space)
        ]
        if any(PolicyRule.of(r).allows(wanted) for one in found for r in one["rules"]):
            return True
    return False


def _is(subject: dict[str, str], who: User, space: str) -> bool:
    if subject["kind"] == "Group":
        return subject["name"] in who.groups
    if subject["kind"] == "ServiceAccount":
        space = subject.get("namespace") or space
        return bool(space) and who.name == f"system:serviceaccount:{space}:{subject['name']}"
    return subject["name"] == who.name


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.booleans(), st.one_of(roles, bindings)), max_size=12),
    st.lists(
        st.tuples(st.sampled_from(PEOPLE), st.lists(st.sampled_from(TEAMS)), questions), max_size=8
    ),
)
def test_decisions_equal_those_of_a_naive_model(changes, asked):
    index, objects = Index(), {}
    for kept, obj in changes:
        if kept:
            index.put(key(obj), obj)
            objects[key(obj)] = obj
        elif key(obj) in objects:
            index.drop(key(obj))
            del objects[key(obj)]
        for name, teams, wanted in asked:
            who = User(name, tuple(teams))
            assert index.decide(who, wanted).allowed is naive(objects, who, wanted)


def test_memory_of_answers_is_bounded(monkeypatch):
    from cloudwright.apiserver.authz import index as module

    monkeypatch.setattr(module, "_GRANTS_MAX", 3)
    monkeypatch.setattr(module, "_ANSWERS_MAX", 3)
    found = index_of(role("r", rule("get", "*")), binding("b", "r", group("g")))
    for number in range(20):
        who = User(f"u{number}", ("g",))
        for resource in range(20):
            assert can(found, who, "get", f"r{resource}")
    inside = SimpleNamespace(grants=found._grants)
    assert len(inside.grants) <= 3
    assert all(len(grants.answers) <= 3 for grants in inside.grants.values())
