"""Roles, tokens and rights as foreign clients use them: kubectl create role/token, auth can-i …"""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests import foreign

pytestmark = pytest.mark.foreign
ROOT = Path(__file__).parents[2]


class Api:
    """A running server and how to reach it."""

    def __init__(self, ready: dict[str, str]) -> None:
        self.url, self.ca, self.kubeconfig = ready["url"], ready["ca"], ready["kubeconfig"]
        self.viewer, self.nobody = ready["viewer"], ready["nobody"]

    def get(self, path: str, token: str | None = None, *, body=None):
        """``(status, JSON)`` of a request without a client certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        request = urllib.request.Request(self.url + path, method="GET" if body is None else "POST")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, context=context) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    state = tmp_path_factory.mktemp("identity")
    command = [foreign.python(), "-m", "tests.integration.served_api", str(state)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the server did not start"
        yield Api(json.loads(line))
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.fixture(scope="module")
def kubectl(api, tmp_path_factory):
    """Runs kubectl and returns what it wrote; ``ok=False`` expects failure."""
    found = foreign.kubectl_on_path()
    if found is None:
        pytest.skip("no kubectl on this machine, and none can be fetched")
    cache = tmp_path_factory.mktemp("kubectl")

    def run(*arguments, stdin=None, ok=True):
        command = [found, f"--kubeconfig={api.kubeconfig}", f"--cache-dir={cache}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) is ok, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def team(kubectl):
    """A namespace in which ``robot`` may read config maps and nothing else."""
    kubectl("create", "namespace", "team")
    kubectl("create", "serviceaccount", "robot", "-n", "team")
    kubectl("create", "role", "reader", "-n", "team", "--verb=get,list", "--resource=configmaps")
    kubectl(
        *("create", "rolebinding", "robots", "-n", "team"),
        *("--role=reader", "--serviceaccount=team:robot"),
    )
    return "team"


def test_a_token_may_what_its_role_says_and_only_there(api, kubectl, team):
    token = kubectl("create", "token", "robot", "-n", team).strip()
    path = "/api/v1/namespaces/{}/configmaps"
    assert api.get(path.format(team), token)[0] == 200
    code, answer = api.get(path.format("default"), token)
    assert (code, answer["reason"]) == (403, "Forbidden")
    assert answer["message"] == (
        'configmaps is forbidden: User "system:serviceaccount:team:robot" cannot list resource '
        '"configmaps" in API group "" in the namespace "default"'
    )
    code, answer = api.get("/api/v1/nodes", token)
    assert (code, answer["message"]) == (
        403,
        'nodes is forbidden: User "system:serviceaccount:team:robot" cannot list resource "nodes" '
        'in API group "" at the cluster scope',
    )
    code, answer = api.get("/metrics", token)
    assert (code, answer["message"]) == (
        403,
        'forbidden: User "system:serviceaccount:team:robot" cannot get path "/metrics"',
    )


def test_a_revoked_right_is_gone_at_once(api, kubectl, team):
    token = kubectl("create", "token", "robot", "-n", team).strip()
    path = f"/api/v1/namespaces/{team}/secrets"
    assert api.get(path, token)[0] == 403
    kubectl("create", "role", "more", "-n", team, "--verb=list", "--resource=secrets")
    more = ("--role=more", f"--serviceaccount={team}:robot")
    kubectl("create", "rolebinding", "more", "-n", team, *more)
    assert api.get(path, token)[0] == 200
    kubectl("delete", "rolebinding", "more", "-n", team)
    assert api.get(path, token)[0] == 403


def test_a_bound_token_ends_with_its_pod(api, kubectl, team):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": team},
        "spec": {
            "serviceAccountName": "robot",
            "containers": [{"name": "app", "image": "app"}],
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(pod))
    bound = ("--bound-object-kind=Pod", "--bound-object-name=p")
    token = kubectl("create", "token", "robot", "-n", team, *bound).strip()
    path = f"/api/v1/namespaces/{team}/configmaps"
    assert api.get(path, token)[0] == 200
    kubectl("delete", "pod", "p", "-n", team, "--force", "--grace-period=0")
    code, answer = api.get(path, token)
    assert (code, answer["reason"], answer["message"]) == (401, "Unauthorized", "Unauthorized")


def test_can_i(kubectl, team):
    robot = f"--as=system:serviceaccount:{team}:robot"

    def can(*words, ok=True):
        return kubectl("auth", "can-i", *words, ok=ok).splitlines()[-1]

    assert can("list", "configmaps", "-n", team, robot) == "yes"
    assert can("delete", "configmaps", "-n", team, robot, ok=False).startswith("no")
    assert can("list", "configmaps", "-n", "default", robot, ok=False).startswith("no")
    assert can("create", "deployments.apps") == "yes"
    listed = kubectl("auth", "can-i", "--list", "-n", team, robot)
    assert "configmaps" in listed
    assert "[get list]" in listed
    assert "selfsubjectaccessreviews.authorization.k8s.io" in listed
    who = kubectl("auth", "whoami", "--as=ann", "--as-group=g", "--as-uid=u1", "-o", "json")
    info = json.loads(who)["status"]["userInfo"]
    assert info["username"] == "ann"
    assert info["uid"] == "u1"
    assert info["groups"] == ["g", "system:authenticated"]


def test_impersonation_has_to_be_allowed(kubectl, team):
    robot = f"--as=system:serviceaccount:{team}:robot"
    said = kubectl("get", "pods", "--as=ann", ok=False)
    assert 'User "ann" cannot list resource "pods" in API group "" in the namespace "default"' in (
        said
    )
    kubectl("get", "configmaps", "-n", team, robot)


def test_nobody_grants_what_he_does_not_have(kubectl, team):
    kubectl(
        *("create", "clusterrole", "role-writer", "--verb=create,update,get,patch,list"),
        "--resource=roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io",
    )
    kubectl(
        "create", "clusterrolebinding", "role-writer", "--clusterrole=role-writer", "--user=eve"
    )
    said = kubectl(
        *("create", "role", "thief", "-n", team, "--verb=get", "--resource=secrets"),
        "--as=eve",
        ok=False,
    )
    assert (
        'roles.rbac.authorization.k8s.io "thief" is forbidden: user "eve" '
        '(groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently '
        "held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    ) in said
    said = kubectl(
        *("create", "rolebinding", "thief", "-n", team, "--clusterrole=cluster-admin"),
        *("--user=eve", "--as=eve"),
        ok=False,
    )
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in said
    # Who may `bind` it does.
    kubectl(
        *("create", "clusterrole", "binder", "--verb=bind", "--resource-name=reader"),
        "--resource=roles.rbac.authorization.k8s.io",
    )
    kubectl("create", "clusterrolebinding", "binder", "--clusterrole=binder", "--user=eve")
    mine = ("--role=reader", "--user=eve", "--as=eve")
    kubectl("create", "rolebinding", "mine", "-n", team, *mine)
    # And what he holds by now he may pass on.
    passed = ("--verb=get", "--resource=configmaps", "--as=eve")
    kubectl("create", "role", "passed-on", "-n", team, *passed)


def test_the_role_of_a_binding_cannot_change(kubectl, team):
    change = json.dumps({"roleRef": {"kind": "Role", "name": "other"}})
    said = kubectl(
        *("patch", "rolebinding", "robots", "-n", team, "--type=merge", "-p", change), ok=False
    )
    assert "cannot change roleRef" in said


def test_reconcile_adds_what_is_missing(kubectl, team):
    wish = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": team},
        "rules": [{"apiGroups": [""], "resources": ["events"], "verbs": ["list"]}],
    }
    kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(wish))
    robot = f"--as=system:serviceaccount:{team}:robot"
    for resource in ("configmaps", "events"):
        assert kubectl("auth", "can-i", "list", resource, "-n", team, robot).strip() == "yes"


def test_bootstrap_roles_are_there_and_gather(kubectl):
    roles = json.loads(kubectl("get", "clusterroles", "-o", "json"))["items"]
    names = {role["metadata"]["name"] for role in roles}
    assert {"cluster-admin", "admin", "edit", "view", "system:node", "system:discovery"} <= names
    more = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": "more-view",
            "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
        },
        "rules": [{"apiGroups": ["example.org"], "resources": ["things"], "verbs": ["list"]}],
    }
    kubectl("create", "-f", "-", stdin=json.dumps(more))
    kubectl("create", "rolebinding", "sue", "--clusterrole=view", "--user=sue", "-n", "default")
    _until(lambda: kubectl("get", "clusterrole", "edit", "-o", "yaml").count("example.org") == 1)
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    asked = {
        "kind": "SubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "spec": {
            "user": "sue",
            "resourceAttributes": {
                "verb": "list",
                "group": "example.org",
                "resource": "things",
                "namespace": "default",
            },
        },
    }
    answer = json.loads(kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(asked)))
    assert answer["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "sue/default" of ClusterRole "view" to User "sue"',
    }


def test_a_token_secret_is_filled_and_goes_with_its_account(api, kubectl, team):
    kubectl("create", "serviceaccount", "old", "-n", team)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "old-token",
            "namespace": team,
            "annotations": {"kubernetes.io/service-account.name": "old"},
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(secret))
    words = (
        "get",
        "secret",
        "old-token",
        "-n",
        team,
        "-o",
        "go-template={{.data.token|base64decode}}",
    )
    _until(lambda: "no value" not in kubectl(*words) and len(kubectl(*words)) > 100)
    token = kubectl(*words)
    code, answer = api.get(
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        token,
        body={"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"},
    )
    assert code == 201
    assert answer["status"]["userInfo"]["username"] == f"system:serviceaccount:{team}:old"
    kubectl("delete", "serviceaccount", "old", "-n", team)
    assert api.get("/api", token)[0] == 401
    _until(lambda: "NotFound" in _said(kubectl, "get", "secret", "old-token", "-n", team))


def test_the_root_certificate_is_in_every_namespace(api, kubectl, team):
    words = ("get", "configmap", "kube-root-ca.crt", "-n", team, "-o", "json")
    _until(lambda: "NotFound" not in _said(kubectl, *words))
    held = json.loads(kubectl(*words))["data"]["ca.crt"]
    assert held.strip() == Path(api.ca).read_text().strip()
    kubectl("delete", "configmap", "kube-root-ca.crt", "-n", team)
    _until(lambda: "NotFound" not in _said(kubectl, *words))


def test_who_checks_tokens_finds_the_keys(api, kubectl, team):
    token = kubectl("create", "token", "robot", "-n", team).strip()
    code, found = api.get("/.well-known/openid-configuration", token)
    assert code == 200
    assert found["jwks_uri"].startswith(api.url)
    code, keys = api.get("/openid/v1/jwks", token)
    assert code == 200
    import jwt

    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    content = jwt.decode(
        token, key.key, algorithms=["ES256"], audience=found["issuer"], issuer=found["issuer"]
    )
    assert content["sub"] == f"system:serviceaccount:{team}:robot"
    assert api.get("/openid/v1/jwks", api.nobody)[0] == 403


def _said(kubectl, *words) -> str:
    try:
        return str(kubectl(*words))
    except AssertionError as error:
        return str(error)


def _until(holds, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.1)


def test_a_server_that_audits(tmp_path):
    found = foreign.kubectl_on_path()
    if found is None:
        pytest.skip("no kubectl on this machine, and none can be fetched")
    log = tmp_path / "audit" / "audit.log"
    command = [foreign.python(), "-m", "cloudwright.apiserver", "--state-dir", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--port", "0", "--audit-policy", "default"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        kubeconfig = tmp_path / "user" / "kubeconfig"
        words = [found, f"--kubeconfig={kubeconfig}", f"--cache-dir={tmp_path}/cache"]
        try:
            _until(kubeconfig.exists)
            _until(lambda: subprocess.run([*words, "version"], capture_output=True).returncode == 0)
            for what in (
                ("create", "secret", "generic", "keys", "--from-literal=password=hunter2"),
                ("create", "role", "reader", "--verb=get", "--resource=pods"),
                ("get", "secrets", "--as=eve"),
            ):
                subprocess.run([*words, *what], capture_output=True)
            _until(lambda: log.exists() and log.read_text().count("\n") >= 2)
        finally:
            process.terminate()
            assert process.wait(20) == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    by_resource = {event["objectRef"]["resource"]: event for event in events}
    assert "requestObject" not in by_resource["secrets"]
    assert "hunter2" not in log.read_text()
    made = by_resource["roles"]
    assert made["requestObject"]["rules"][0]["resources"] == ["pods"]
    assert made["user"]["username"] == "cloudwright-admin"
    assert made["responseStatus"]["code"] == 201
