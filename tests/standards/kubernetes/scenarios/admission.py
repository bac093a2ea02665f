"""Admission: built-in plug-ins, quotas, limits, policies in CEL, webhooks."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.session import MERGE, Session
from tests.standards.kubernetes.webhook import webhook

REGISTRATION = "/apis/admissionregistration.k8s.io/v1"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i"}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def eventually(s: Session, ask: Callable[[], int], wanted: int) -> None:
    """Policies and webhooks work a moment after they were made: ask until they do."""
    for _ in range(2000):
        if ask() == wanted:
            return
    raise AssertionError(f"the answer never became {wanted}")


@scenario("admission")
def limit_ranges(s: Session) -> None:
    limits = [
        {
            "type": "Container",
            "default": {"cpu": "500m", "memory": "1Gi"},
            "defaultRequest": {"cpu": "100m"},
            "max": {"cpu": "1", "memory": "2Gi"},
            "min": {"cpu": "50m"},
            "maxLimitRequestRatio": {"cpu": "8"},
        },
        {"type": "Pod", "max": {"cpu": "2"}},
    ]
    body = {"metadata": {"name": "l"}, "spec": {"limits": limits}}
    s.send("create", "POST", s.path("limitranges"), body)
    path = s.path("pods")

    def limited() -> int:
        made = s.ask("POST", f"{path}?dryRun=All", pod("probe")).json
        return len(made["spec"]["containers"][0].get("resources") or ())

    eventually(s, limited, 2)

    def resources(**given: Any) -> dict[str, Any]:
        return {"containers": [{"name": "c", "image": "i", "resources": given}]}

    s.send("defaults", "POST", path, pod("defaults"))
    s.send("own", "POST", path, pod("own", **resources(limits={"cpu": "800m"})))
    s.send("over", "POST", path, pod("over", **resources(limits={"cpu": "3"})))
    s.send("under", "POST", path, pod("under", **resources(requests={"cpu": "10m"})))
    ratio = resources(limits={"cpu": "900m"}, requests={"cpu": "100m"})
    s.send("ratio", "POST", path, pod("ratio", **ratio))
    three = [{"name": f"c{n}", "image": "i", "resources": {"limits": {"cpu": "1"}}} for n in "123"]
    s.send("sum", "POST", path, pod("sum", containers=three))
    wrong = {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}
    s.send("bad", "POST", s.path("limitranges"), {"metadata": {"name": "b"}, "spec": wrong})


@scenario("admission")
def service_accounts(s: Session) -> None:
    path = s.path("pods")
    s.send("default", "POST", path, pod("default"))
    s.send("missing", "POST", path, pod("missing", serviceAccountName="none"))
    s.send("no-token", "POST", path, pod("no-token", automountServiceAccountToken=False))
    account = {"metadata": {"name": "quiet"}, "automountServiceAccountToken": False,
               "imagePullSecrets": [{"name": "puller"}]}  # fmt: skip
    s.ask("POST", s.path("serviceaccounts"), account)
    s.send("quiet", "POST", path, pod("quiet", serviceAccountName="quiet"))
    s.send("old-name", "POST", path, pod("old", serviceAccount="quiet"))


@scenario("admission")
def priorities(s: Session) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    s.send("create", "POST", classes, {"metadata": {"name": "d-high"}, "value": 100})
    s.send("too-high", "POST", classes, {"metadata": {"name": "d-too"}, "value": 2_000_000_000})
    s.send("system", "POST", classes, {"metadata": {"name": "system-x"}, "value": 1})
    s.send("built-in", "GET", f"{classes}/system-node-critical")
    s.send("change", "PATCH", f"{classes}/d-high", {"value": 7}, kind=MERGE)
    path = s.path("pods")
    s.send("pod", "POST", path, pod("high", priorityClassName="d-high"))
    s.send("missing", "POST", path, pod("missing", priorityClassName="d-none"))
    s.send("critical", "POST", path, pod("critical", priorityClassName="system-cluster-critical"))
    s.send("number", "POST", path, pod("number", priority=5))


@scenario("admission")
def quotas(s: Session) -> None:
    """Without a controller manager the status is written by the test, as that would."""
    hard = {"pods": "2", "configmaps": "3", "count/secrets": "1"}
    path = s.path("resourcequotas")
    s.send("create", "POST", path, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    s.send("bad", "POST", path, {"metadata": {"name": "b"}, "spec": {"hard": {"pods": "-1"}}})
    s.send("bad-name", "POST", path, {"metadata": {"name": "c"}, "spec": {"hard": {"a b": "1"}}})


POLICY = "validatingadmissionpolicies"
BINDING = "validatingadmissionpolicybindings"


@scenario("admission")
def validating_policies(s: Session) -> None:
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["configmaps"],
                }
            ]
        },
        "variables": [{"name": "count", "expression": "size(object.data)"}],
        "validations": [
            {"expression": "variables.count < 3", "message": "too much"},
            {
                "expression": "!('bad' in object.data)",
                "messageExpression": "'bad key in ' + object.metadata.name",
                "reason": "Forbidden",
            },
        ],
    }
    name = "d-few-keys"
    s.send("policy", "POST", f"{REGISTRATION}/{POLICY}", {"metadata": {"name": name}, "spec": spec})
    selector = {"matchLabels": {"kubernetes.io/metadata.name": s.ns}}
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    body = {"metadata": {"name": name}, "spec": binding}
    s.send("binding", "POST", f"{REGISTRATION}/{BINDING}", body)
    path = s.path("configmaps")
    wrong = {"metadata": {"name": "probe"}, "data": dict.fromkeys("abc", "1")}
    eventually(s, lambda: s.ask("POST", f"{path}?dryRun=All", wrong).status, 422)
    s.send("good", "POST", path, {"metadata": {"name": "good"}, "data": {"a": "1"}})
    s.send("denied", "POST", path, wrong)
    s.send("bad", "POST", path, {"metadata": {"name": "n"}, "data": {"bad": "1"}})
    s.send("no-data", "POST", path, {"metadata": {"name": "n"}})
    s.send("update", "PATCH", f"{path}/good", {"data": dict.fromkeys("bcd", "1")}, kind=MERGE)
    s.send("elsewhere", "POST", f"{s.path('secrets')}", {"metadata": {"name": "free"}})
    warn = {"spec": {"validationActions": ["Warn"]}}
    s.send("warn", "PATCH", f"{REGISTRATION}/{BINDING}/{name}", warn, kind=MERGE)
    eventually(s, lambda: s.ask("POST", f"{path}?dryRun=All", wrong).status, 201)
    s.send("warned", "POST", path, wrong)
    broken = {**spec, "validations": [{"expression": "object.nothing +"}]}
    s.send("bad-expression", "POST", f"{REGISTRATION}/{POLICY}",
           {"metadata": {"name": "d-broken"}, "spec": broken})  # fmt: skip
    number = {**spec, "validations": [{"expression": "1 + 1"}]}
    s.send("not-bool", "POST", f"{REGISTRATION}/{POLICY}",
           {"metadata": {"name": "d-number"}, "spec": number})  # fmt: skip
    for kind in (BINDING, POLICY):
        s.ask("DELETE", f"{REGISTRATION}/{kind}/{name}")


def configuration(s: Session, name: str, hook: dict[str, Any]) -> dict[str, Any]:
    """A webhook configuration for ConfigMaps of the scenario's namespace."""
    base = {
        "name": f"{name}.example.com",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": s.ns}},
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE", "DELETE"],
                "resources": ["configmaps"],
            }
        ],
        "timeoutSeconds": 5,
    }
    return {"metadata": {"name": f"d-{name}"}, "webhooks": [{**base, **hook}]}


@scenario("admission")
def webhooks(s: Session) -> None:
    def decide(request: dict[str, Any]) -> dict[str, Any]:
        name = request["name"]
        if name == "denied":
            status = {"code": 418, "message": "no tea", "reason": "Teapot"}
            return {"allowed": False, "status": status}
        if name == "silent":
            return {"allowed": False}
        return {"allowed": True, "warnings": ["mind the gap"]}

    path = s.path("configmaps")

    def body(name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "data": {"a": "1"}}

    plural = f"{REGISTRATION}/validatingwebhookconfigurations"
    with webhook(s.cluster, decide) as hook:
        made = configuration(s, "checker", {"clientConfig": hook.client()})
        s.ask("POST", plural, made)
        eventually(s, lambda: s.ask("POST", f"{path}?dryRun=All", body("denied")).status, 418)
        s.send("allowed", "POST", path, body("allowed"))
        s.send("denied", "POST", path, body("denied"))
        s.send("silent", "POST", path, body("silent"))
        s.send("update", "PATCH", f"{path}/allowed", {"data": {"b": "2"}}, kind=MERGE)
        s.send("delete", "DELETE", f"{path}/allowed")
        s.note("requests", [seen(request) for request in hook.seen if request["name"] == "allowed"])
    s.send("unreachable", "POST", path, body("late"), only=lambda b: (b["reason"], b["code"]))
    ignore = {"webhooks": [{**made["webhooks"][0], "failurePolicy": "Ignore"}]}
    s.ask("PATCH", f"{plural}/d-checker", ignore, kind=MERGE)
    eventually(s, lambda: s.ask("POST", f"{path}?dryRun=All", body("free")).status, 201)
    s.send("ignored", "POST", path, body("ignored"))
    s.ask("DELETE", f"{plural}/d-checker")


def seen(request: dict[str, Any]) -> dict[str, Any]:
    """What of an admission request both servers must send alike."""
    return {name: value for name, value in request.items() if name not in ("uid", "userInfo")}


@scenario("admission")
def mutating_webhooks(s: Session) -> None:
    def decide(request: dict[str, Any]) -> dict[str, Any]:
        if request["name"] == "nonsense":
            return {"allowed": True, "patchType": "JSONPatch", "patch": "bm9uc2Vuc2U="}
        patch = [{"op": "add", "path": "/data/added", "value": request["operation"]}]
        text = base64.b64encode(json.dumps(patch).encode()).decode()
        return {"allowed": True, "patchType": "JSONPatch", "patch": text}

    path = s.path("configmaps")
    plural = f"{REGISTRATION}/mutatingwebhookconfigurations"
    body = {"metadata": {"name": "one"}, "data": {"a": "1"}}
    with webhook(s.cluster, decide) as hook:
        made = configuration(s, "changer", {"clientConfig": hook.client()})
        made["webhooks"][0]["rules"][0]["operations"] = ["CREATE", "UPDATE"]
        s.ask("POST", plural, made)

        def changed() -> int:
            answer = s.ask("POST", f"{path}?dryRun=All", body)
            return len(answer.json.get("data", ()))

        eventually(s, changed, 2)
        s.send("create", "POST", path, body)
        s.send("update", "PATCH", f"{path}/one", {"data": {"b": "2"}}, kind=MERGE)
        s.send("nonsense", "POST", path, {**body, "metadata": {"name": "nonsense"}},
               only=lambda b: (b["reason"], b["code"]))  # fmt: skip
    s.ask("DELETE", f"{plural}/d-changer")


@scenario("admission")
def registrations(s: Session) -> None:
    """What configurations of webhooks may not say."""
    plural = f"{REGISTRATION}/validatingwebhookconfigurations"
    good = {"clientConfig": {"url": "https://127.0.0.1:1/x"}}

    def create(step: str, **change: Any) -> None:
        s.send(step, "POST", f"{plural}?dryRun=All", configuration(s, step, {**good, **change}))

    create("good")
    create("plain", clientConfig={"url": "http://127.0.0.1:1/x"})
    create("both", clientConfig={"url": "https://a/x", "service": {"name": "a", "namespace": "b"}})
    create("neither", clientConfig={})
    create("name", name="short")
    create("effects", sideEffects="Some")
    create("versions", admissionReviewVersions=[])
    create("old-version", admissionReviewVersions=["v0"])
    create("timeout", timeoutSeconds=60)
    create("policy", failurePolicy="Maybe")
    create("scope", rules=[{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"],
                            "resources": ["pods", "*"]}])  # fmt: skip
    create("condition", matchConditions=[{"name": "c", "expression": "object.metadata.name +"}])


@scenario("admission")
def mutating_policies(s: Session) -> None:
    root = REGISTRATION
    spec = {
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["configmaps"],
                }
            ]
        },
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [
            {
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {
                    "expression": "Object{metadata: Object.metadata{labels: "
                    "Object.metadata.labels{by: 'policy'}}}"
                },
            },
            {
                "patchType": "JSONPatch",
                "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/data/n', value: 'x'}]"},
            },
        ],
    }
    policy = {"metadata": {"name": "d-labels"}, "spec": spec}
    s.send("policy", "POST", f"{root}/mutatingadmissionpolicies", policy)
    selector = {"matchLabels": {"kubernetes.io/metadata.name": s.ns}}
    binding = {"policyName": "d-labels", "matchResources": {"namespaceSelector": selector}}
    body = {"metadata": {"name": "d-labels"}, "spec": binding}
    s.send("binding", "POST", f"{root}/mutatingadmissionpolicybindings", body)
    path = s.path("configmaps")
    plain = {"metadata": {"name": "one"}, "data": {"a": "1"}}

    def labelled() -> int:
        made = s.ask("POST", f"{path}?dryRun=All", plain).json
        return len(made["metadata"].get("labels", ()))

    eventually(s, labelled, 1)
    s.send("create", "POST", path, plain)
    s.send("keeps", "POST", path, {**plain, "metadata": {"name": "two", "labels": {"x": "y"}}})
    for kind in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
        s.ask("DELETE", f"{root}/{kind}/d-labels")
