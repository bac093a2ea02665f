"""Roles, access reviews, escalation, impersonation, tokens."""

from __future__ import annotations

import json
from typing import Any

from tests.peers.http import Client
from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.session import MERGE, Session

RBAC = "rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
REVIEW = "/apis/authorization.k8s.io/v1"


def role(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def rule(resources: str, verbs: str, group: str = "", **more: Any) -> dict[str, Any]:
    split = {"resources": resources.split(), "verbs": verbs.split(), "apiGroups": [group]}
    return {**split, **more}


def binding(name: str, user: str, of: str, kind: str = "Role") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": of},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": user}],
    }


@scenario("identity")
def roles(s: Session) -> None:
    bea = s.client("bea", ("staff",))
    path = s.path("configmaps")
    s.send("denied", "GET", path, client=bea)
    s.send("denied-create", "POST", path, {"metadata": {"name": "a"}}, client=bea)
    s.send("denied-cluster", "GET", "/api/v1/nodes", client=bea)
    s.send("denied-name", "GET", f"{path}/a", client=bea)
    s.send("denied-sub", "GET", s.path("pods", "p/log"), client=bea)
    s.send("denied-url", "GET", "/metrics", client=bea)
    s.send("denied-unknown", "GET", s.path("things"), client=bea)
    s.send("denied-group", "GET", s.path("deployments", group="apps/v1"), client=bea)
    s.send("denied-no-namespace", "GET", "/api/v1/namespaces/missing/configmaps", client=bea)
    for url in ("/api", "/apis", "/version", "/healthz", "/livez", "/readyz", "/openapi/v3"):
        s.send(f"allowed {url}", "GET", url, client=bea, only=lambda b: type(b).__name__)
    roles_path, bindings = s.path("roles", group=RBAC), s.path("rolebindings", group=RBAC)
    s.ask("POST", roles_path, role("reader", rule("configmaps", "get list", resourceNames=["a"])))
    s.ask("POST", bindings, binding("bea", "bea", "reader"))
    s.ask("POST", path, {"metadata": {"name": "a"}})
    until_allowed(s, bea, f"{path}/a")
    s.send("named", "GET", f"{path}/a", client=bea)
    s.send("other-name", "GET", f"{path}/b", client=bea)
    s.send("list", "GET", path, client=bea)
    s.send("list-named", "GET", f"{path}?fieldSelector=metadata.name%3Da", client=bea)
    s.send("still-denied", "DELETE", f"{path}/a", client=bea)
    s.send("watch-denied", "GET", f"{path}?watch=1", client=bea)
    s.send("no-role", "POST", bindings, binding("loose", "cem", "missing"))
    s.send("change-ref", "PATCH", f"{bindings}/bea", {"roleRef": {"name": "other"}}, kind=MERGE)
    s.send("bad-ref", "POST", bindings, binding("bad", "x", "y", "Chair"))
    horse = {**binding("bad", "x", "y"), "subjects": [{"kind": "Horse", "name": "h"}]}
    s.send("bad-subject", "POST", bindings, horse)
    s.send(
        "no-verbs", "POST", roles_path, role("no-verbs", {"resources": ["x"], "apiGroups": [""]})
    )
    s.send("no-resources", "POST", roles_path, role("no-r", {"verbs": ["get"], "apiGroups": [""]}))
    url = {"nonResourceURLs": ["/x"], "verbs": ["get"]}
    s.send("url-in-role", "POST", roles_path, role("url", url))


def until_allowed(s: Session, client: Client, path: str) -> None:
    """RBAC is eventually consistent: wait until the user may read."""
    for _ in range(500):
        if client.send("GET", path).status != 403:
            return
        s.ask("GET", "/version")
    raise AssertionError(f"never allowed: {path}")


@scenario("identity")
def escalation(s: Session) -> None:
    dot = s.client("dot")
    roles_path, bindings = s.path("roles", group=RBAC), s.path("rolebindings", group=RBAC)
    manage = rule("roles rolebindings", "create update patch get", GROUP)
    s.ask("POST", roles_path, role("manager", manage, rule("configmaps", "get list")))
    s.ask("POST", bindings, binding("dot", "dot", "manager"))
    s.ask("POST", roles_path, role("power", rule("secrets", "*")))
    until_allowed(s, dot, f"{roles_path}/manager")
    s.send("own", "POST", roles_path, role("less", rule("configmaps", "get")), client=dot)
    s.send("more", "POST", roles_path, role("more", rule("secrets", "get list")), client=dot)
    s.send("star", "POST", roles_path, role("star", rule("*", "*", "*")), client=dot)
    grow = {"rules": [rule("pods", "delete")]}
    s.send("grow", "PATCH", f"{roles_path}/less", grow, kind=MERGE, client=dot)
    s.send("bind-own", "POST", bindings, binding("ok", "eve", "less"), client=dot)
    s.send("bind-more", "POST", bindings, binding("power", "dot", "power"), client=dot)
    s.send(
        "bind-cluster", "POST", bindings, binding("c", "dot", "admin", "ClusterRole"), client=dot
    )
    s.send("bind-missing", "POST", bindings, binding("m", "dot", "missing"), client=dot)


@scenario("identity")
def access_reviews(s: Session) -> None:
    fay = s.client("fay", ("staff",))
    roles_path, bindings = s.path("roles", group=RBAC), s.path("rolebindings", group=RBAC)
    s.ask("POST", roles_path, role("reader", rule("configmaps", "get list")))
    s.ask("POST", bindings, binding("fay", "fay", "reader"))
    until_allowed(s, fay, s.path("configmaps"))

    def resource(verb: str, name: str = "configmaps", **more: str) -> dict[str, Any]:
        where = {"namespace": s.ns, "verb": verb, "resource": name, **more}
        return {"spec": {"resourceAttributes": where}}

    own = f"{REVIEW}/selfsubjectaccessreviews"
    s.send("self-yes", "POST", own, resource("get"), client=fay)
    s.send("self-no", "POST", own, resource("delete"), client=fay)
    s.send("self-group", "POST", own, resource("get", group="apps"), client=fay)
    s.send("self-admin", "POST", own, resource("delete"))
    url = {"spec": {"nonResourceAttributes": {"path": "/apis", "verb": "get"}}}
    s.send("self-url", "POST", own, url, client=fay)
    s.send("self-nothing", "POST", own, {"spec": {}}, client=fay)
    s.send("self-both", "POST", own, {"spec": {**url["spec"], **resource("get")["spec"]}})
    s.send("self-unknown", "POST", own, resource("get", "things"), client=fay)
    other = f"{REVIEW}/subjectaccessreviews"
    s.send("other", "POST", other, {"spec": {**resource("get")["spec"], "user": "fay"}})
    s.send("other-no", "POST", other, {"spec": {**resource("patch")["spec"], "user": "fay"}})
    masters = {**resource("patch")["spec"], "user": "x", "groups": ["system:masters"]}
    s.send("other-masters", "POST", other, {"spec": masters})
    s.send("other-nobody", "POST", other, resource("get"))
    s.send("other-denied", "POST", other, {"spec": {**resource("get")["spec"], "user": "x"}},
           client=fay)  # fmt: skip
    local = f"{REVIEW}/namespaces/{s.ns}/localsubjectaccessreviews"
    s.send("local", "POST", local, {"spec": {**resource("get")["spec"], "user": "fay"}})
    elsewhere = {"spec": {**resource("get", namespace="elsewhere")["spec"], "user": "fay"}}
    s.send("local-elsewhere", "POST", local, elsewhere)
    rules = {"spec": {"namespace": s.ns}}
    own_rules = f"{REVIEW}/selfsubjectrulesreviews"
    s.send("rules", "POST", own_rules, rules, client=fay, only=in_order)
    s.send("rules-no-namespace", "POST", f"{REVIEW}/selfsubjectrulesreviews", {"spec": {}})
    who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    s.send("who", "POST", who, {}, client=fay)
    s.send("who-admin", "POST", who, {})


def in_order(body: Any) -> Any:
    """The rules of a review sorted: upstream tells them in the order of its caches."""
    for field in ("resourceRules", "nonResourceRules"):
        body["status"][field].sort(key=lambda rule: json.dumps(rule, sort_keys=True))
    return body


@scenario("identity")
def impersonation(s: Session) -> None:
    who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    s.send("user", "POST", who, {}, headers={"Impersonate-User": "gil"})
    both = {"Impersonate-User": "gil", "Impersonate-Group": "staff"}
    s.send("group", "POST", who, {}, headers=both)
    s.send("only-group", "POST", who, {}, headers={"Impersonate-Group": "staff"})
    extra = {"Impersonate-User": "gil", "Impersonate-Extra-scopes": "x"}
    s.send("extra", "POST", who, {}, headers=extra)
    account = {"Impersonate-User": f"system:serviceaccount:{s.ns}:default"}
    s.send("account", "POST", who, {}, headers=account)
    s.send("as-nobody", "GET", s.path("configmaps"), headers={"Impersonate-User": "gil"})
    hal = s.client("hal")
    s.send("denied", "POST", who, {}, headers={"Impersonate-User": "gil"}, client=hal)
    s.send("denied-group", "POST", who, {}, headers=both, client=hal)
    s.send("anonymous", "POST", who, {}, headers={"Impersonate-User": "system:anonymous"})


@scenario("identity")
def credentials(s: Session) -> None:
    def as_token(token: str | None) -> Client:
        return Client(s.cluster, None, token=token)

    path = s.path("configmaps")
    with as_token(s.cluster.tokens["admin"]) as admin, as_token(s.cluster.tokens["joe"]) as joe:
        s.send("admin", "GET", path, client=admin, only=lambda b: b["kind"])
        s.send("joe", "GET", path, client=joe)
        who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        s.send("joe-is", "POST", who, {}, client=joe)
    with Client(s.cluster, None) as nobody:
        s.send("anonymous", "GET", path, client=nobody)
        s.send("anonymous-version", "GET", "/version", client=nobody, only=lambda b: b["minor"])
        s.send("anonymous-health", "GET", "/healthz", client=nobody)
        s.send("anonymous-api", "GET", "/api", client=nobody)
        s.send("anonymous-openapi", "GET", "/openapi/v2", client=nobody)
        s.send("anonymous-nowhere", "GET", "/nowhere", client=nobody)
        for step, value in {
            "wrong": "Bearer nonsense", "empty": "Bearer ", "basic": "Basic YTpi", "other": "x",
        }.items():  # fmt: skip
            s.send(step, "GET", path, client=nobody, headers={"Authorization": value})
            s.send(f"{step}-version", "GET", "/version", client=nobody,
                   headers={"Authorization": value}, only=lambda b: b.get("message"))  # fmt: skip


@scenario("identity")
def service_account_tokens(s: Session) -> None:
    path = s.path("serviceaccounts", "default/token")
    asked = s.send("token", "POST", path, {"spec": {"expirationSeconds": 3600}}, only=without_token)
    s.send("short", "POST", path, {"spec": {"expirationSeconds": 5}})
    s.send("audience", "POST", path, {"spec": {"audiences": ["me"]}}, only=without_token)
    s.send("missing", "POST", s.path("serviceaccounts", "none/token"), {"spec": {}})
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "none", "uid": "x"}
    s.send("bound-missing", "POST", path, {"spec": {"boundObjectRef": bound}})
    odd = {"kind": "Chair", "apiVersion": "v1", "name": "none"}
    s.send("bound-odd", "POST", path, {"spec": {"boundObjectRef": odd}})
    token = asked.json["status"]["token"] if asked.status == 201 else ""
    with Client(s.cluster, None, token=token or "none") as account:
        who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        s.send("who", "POST", who, {}, client=account)
        s.send("denied", "GET", s.path("configmaps"), client=account)
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    s.send("review", "POST", reviews, {"spec": {"token": token}})
    s.send("review-bad", "POST", reviews, {"spec": {"token": "nonsense"}})
    s.send("review-empty", "POST", reviews, {"spec": {}})
    review = {"spec": {"token": token, "audiences": ["other"]}}
    s.send("review-audience", "POST", reviews, review)
    s.ask("DELETE", s.path("serviceaccounts", "default"))
    s.send("review-deleted", "POST", reviews, {"spec": {"token": token}})


def without_token(body: Any) -> Any:
    """A TokenRequest whose token is only said to be there."""
    if isinstance(body, dict) and body.get("status", {}).get("token"):
        return {**body, "status": {**body["status"], "token": "<token>"}}
    return body


@scenario("identity")
def cluster_roles(s: Session) -> None:
    path = f"/apis/{RBAC}/clusterroles"
    for name in ("cluster-admin", "admin", "edit", "view", "system:discovery",
                 "system:basic-user", "system:public-info-viewer"):  # fmt: skip
        s.send(name, "GET", f"{path}/{name}")
    for name in ("cluster-admin", "system:discovery", "system:basic-user"):
        s.send(f"binding {name}", "GET", f"/apis/{RBAC}/clusterrolebindings/{name}")
    label = {"d.example.com/into": "whole"}
    whole = {
        "metadata": {"name": "d-whole"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": label}]},
    }
    s.send("aggregate", "POST", path, whole)
    s.send("bad-aggregate", "POST", path, {**whole, "aggregationRule": {}})
