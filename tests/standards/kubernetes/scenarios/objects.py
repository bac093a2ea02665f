"""Create, get, update: names, metadata, defaults, dry-run, field validation, preconditions."""

from __future__ import annotations

from typing import Any

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.session import YAML, Session


def config(name: str = "one", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"a": "1"}, **more}


@scenario("ssa")
def create_get_update(s: Session) -> None:
    made = s.send("create", "POST", s.path("configmaps"), config()).json
    s.send("get", "GET", s.path("configmaps", "one"))
    s.send("again", "POST", s.path("configmaps"), config())
    made["data"]["b"] = "2"
    changed = s.send("update", "PUT", s.path("configmaps", "one"), made).json
    s.send("update-stale", "PUT", s.path("configmaps", "one"), {**made, "data": {"c": "3"}})
    s.send("update-same", "PUT", s.path("configmaps", "one"), changed)
    unversioned = config(data={"z": "26"})
    s.send("update-unversioned", "PUT", s.path("configmaps", "one"), unversioned)
    s.send("update-other-name", "PUT", s.path("configmaps", "two"), config())
    s.send("update-missing", "PUT", s.path("configmaps", "two"), config("two"))
    elsewhere = config()
    elsewhere["metadata"]["namespace"] = "elsewhere"
    s.send("update-other-namespace", "PUT", s.path("configmaps", "one"), elsewhere)
    s.send("get-missing", "GET", s.path("configmaps", "none"))
    s.send("delete", "DELETE", s.path("configmaps", "one"))
    s.send("delete-again", "DELETE", s.path("configmaps", "one"))


@scenario("ssa")
def create_metadata(s: Session) -> None:
    path = s.path("configmaps")
    s.send("generate", "POST", path, {"metadata": {"generateName": "gen-"}})
    s.send("both", "POST", path, {"metadata": {"name": "named", "generateName": "gen-"}})
    s.send("neither", "POST", path, {"metadata": {}})
    s.send("no-metadata", "POST", path, {"data": {"a": "b"}})
    s.send("upper", "POST", path, config("Upper"))
    s.send("long", "POST", path, config("x" * 254))
    s.send("dots", "POST", path, config("a..b"))
    s.send("slash", "POST", path, config("a/b"))
    s.send("long-generate", "POST", path, {"metadata": {"generateName": "y" * 250}})
    bad = {"metadata": {"generateName": "Bad_"}}
    s.send("bad-generate", "POST", path, bad, only=lambda b: (b["reason"], b["code"]))
    wrong = config("ns-wrong")
    wrong["metadata"]["namespace"] = "other"
    s.send("other-namespace", "POST", path, wrong)
    s.send("versioned", "POST", path, {"metadata": {"name": "v", "resourceVersion": "7"}})
    set_by_client = {
        "name": "set",
        "uid": "11111111-2222-3333-4444-555555555555",
        "creationTimestamp": "2020-01-01T00:00:00Z",
        "generation": 17,
        "selfLink": "/mine",
        "deletionTimestamp": "2020-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 5,
    }
    s.send("system-fields", "POST", path, {"metadata": set_by_client})
    labels = {"name": "labels", "labels": {"-bad": "x"}, "annotations": {"also bad": "y"}}
    s.send("bad-labels", "POST", path, {"metadata": labels})
    s.send("bad-value", "POST", path, {"metadata": {"name": "v", "labels": {"a": "b c"}}})
    finalizers = {"name": "fin", "finalizers": ["example.com/ok", "not qualified!"]}
    s.send("bad-finalizer", "POST", path, {"metadata": finalizers})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}
    s.send("owner", "POST", path, {"metadata": {"name": "owned", "ownerReferences": [owner]}})
    two = [{**owner, "controller": True}, {**owner, "name": "p", "uid": "v", "controller": True}]
    s.send("two-owners", "POST", path, {"metadata": {"name": "two", "ownerReferences": two}})
    s.send("bad-owner", "POST", path, {"metadata": {"name": "bo", "ownerReferences": [{}]}})
    s.send("no-namespace", "POST", "/api/v1/namespaces/missing-namespace/configmaps", config())
    big = {"metadata": {"name": "big", "annotations": {"a": "x" * 262145}}}
    s.send("annotations-too-long", "POST", path, big, only=lambda b: b.get("message"))


@scenario("ssa")
def put_creates(s: Session) -> None:
    """Some kinds are created by a PUT on their name."""
    rules: list[Any] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    roles = "rbac.authorization.k8s.io/v1"
    for plural, group, body in (
        ("services", "", {"spec": {"ports": [{"port": 80}]}}),
        ("endpoints", "", {}),
        ("limitranges", "", {"spec": {"limits": []}}),
        ("secrets", "", {}),
        ("leases", "coordination.k8s.io/v1", {"spec": {}}),
        ("roles", roles, {"rules": rules}),
        ("deployments", "apps/v1", {}),
    ):
        path = s.path(plural, "new", group=group)
        s.send(plural, "PUT", path, {"metadata": {"name": "new"}, **body},
               only=lambda b: b.get("reason", b["metadata"].get("name")))  # fmt: skip
    kat = s.client("kat")
    update = [{"apiGroups": [""], "resources": ["services"], "verbs": ["update", "get"]}]
    s.ask("POST", s.path("roles", group=roles), {"metadata": {"name": "up"}, "rules": update})
    binding = {
        "metadata": {"name": "kat"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "up"},
        "subjects": [{"kind": "User", "name": "kat"}],
    }
    s.ask("POST", s.path("rolebindings", group=roles), binding)
    for _ in range(500):
        if kat.send("GET", s.path("services", "new")).status == 200:
            break
    body = {"metadata": {"name": "other"}, "spec": {"ports": [{"port": 80}]}}
    s.send("denied", "PUT", s.path("services", "other"), body, client=kat)


@scenario("ssa")
def update_metadata(s: Session) -> None:
    path = s.path("configmaps", "one")
    made = s.ask("POST", s.path("configmaps"), config()).json

    def put(step: str, **metadata: Any) -> None:
        fresh = s.ask("GET", path).json
        fresh["metadata"].update(metadata)
        s.send(step, "PUT", path, fresh)

    put("uid", uid="11111111-2222-3333-4444-555555555555")
    put("created", creationTimestamp="2020-01-01T00:00:00Z")
    put("deleted", deletionTimestamp="2020-01-01T00:00:00Z")
    put("labels", labels={"a": "b"})
    put("labels-gone", labels=None)
    put("generation", generation=44)
    put("managed-empty", managedFields=[{}])
    put("managed-null", managedFields=None)
    put("finalizer", finalizers=["example.com/a"])
    put("finalizers-gone", finalizers=[])
    s.send("immutable", "PUT", path, {**made, "immutable": True, "metadata": {"name": "one"}})
    s.send("immutable-data", "PUT", path, {"metadata": {"name": "one"}, "data": {"q": "1"}})
    s.send("immutable-off", "PUT", path, {**made, "metadata": {"name": "one"}, "immutable": False})


@scenario("face")
def dry_run(s: Session) -> None:
    path = s.path("configmaps")
    s.send("create", "POST", f"{path}?dryRun=All", config())
    s.send("get", "GET", f"{path}/one")
    s.send("wrong", "POST", f"{path}?dryRun=Some", config())
    s.send("empty", "POST", f"{path}?dryRun=", config())
    s.send("twice", "POST", f"{path}?dryRun=All&dryRun=All", config("twice"))
    s.ask("POST", path, config("kept"))
    s.send("update", "PUT", f"{path}/kept?dryRun=All", config("kept", data={"n": "2"}))
    s.send("delete", "DELETE", f"{path}/kept?dryRun=All")
    s.send("delete-by-body", "DELETE", f"{path}/kept", {"dryRun": ["All"]})
    s.send("collection", "DELETE", f"{path}?dryRun=All&labelSelector=x=y")
    s.send("still", "GET", f"{path}/kept")


@scenario("face")
def field_validation(s: Session) -> None:
    path = s.path("configmaps")
    extra = config("extra", unknown=1, datum={"x": {"y": 1}})
    for mode in ("Strict", "Warn", "Ignore", "Other"):
        body = {**extra, "metadata": {"name": f"extra-{mode.lower()}", "lables": {"a": "b"}}}
        s.send(mode, "POST", f"{path}?fieldValidation={mode}", body)
    doubled = '{"metadata":{"name":"doubled"},"data":{"a":"1","a":"2"},"data":{"b":"1"}}'
    s.send("doubled-strict", "POST", f"{path}?fieldValidation=Strict", doubled)
    s.send("doubled-warn", "POST", f"{path}?fieldValidation=Warn", doubled)
    yaml = "metadata:\n  name: yaml-doubled\ndata:\n  a: '1'\n  a: '2'\nwhat: 1\n"
    s.send("yaml-strict", "POST", f"{path}?fieldValidation=Strict", yaml, kind=YAML)
    s.send("yaml-warn", "POST", f"{path}?fieldValidation=Warn", yaml, kind=YAML)
    pod = {
        "metadata": {"name": "p"},
        "spec": {
            "containers": [
                {"name": "a", "image": "i", "imagee": "x", "ports": [{"containerport": 1}]},
                {"name": "b", "image": "i", "securityContext": {"runAsRoot": True}},
            ]
        },
    }
    for mode in ("Strict", "Warn", "Ignore"):
        url = f"{s.path('pods')}?fieldValidation={mode}&dryRun=All"
        s.send(f"pod-{mode}", "POST", url, pod)
    case = {"Metadata": {"name": "case"}, "DATA": {"a": "b"}}
    s.send("case", "POST", f"{path}?fieldValidation=Strict", case)
    s.send("update-strict", "PUT", f"{path}/extra-warn?fieldValidation=Strict", extra)


@scenario("ssa")
def preconditions(s: Session) -> None:
    path = s.path("configmaps")
    made = s.ask("POST", path, config()).json
    wrong_uid = {"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}}
    s.send("wrong-uid", "DELETE", f"{path}/one", wrong_uid)
    s.send("wrong-version", "DELETE", f"{path}/one", {"preconditions": {"resourceVersion": "1"}})
    s.send("unknown-field", "DELETE", f"{path}/one", {"preconditionz": 1})
    s.send("wrong-kind", "DELETE", f"{path}/one", {"kind": "Pod", "apiVersion": "v1"})
    s.send("policy", "DELETE", f"{path}/one", {"propagationPolicy": "Sideways"})
    both = {"propagationPolicy": "Orphan", "orphanDependents": True}
    s.send("policy-and-orphan", "DELETE", f"{path}/one", both)
    s.send("grace", "DELETE", f"{path}/one", {"gracePeriodSeconds": -5})
    metadata = made["metadata"]
    right = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    s.send("right", "DELETE", f"{path}/one", {"preconditions": right})


@scenario("kinds")
def defaults(s: Session) -> None:
    pod = {"containers": [{"name": "a", "image": "nginx"}]}
    labels = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    selector = {"matchLabels": {"a": "b"}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    bodies: dict[str, tuple[str, dict[str, Any]]] = {
        "pods": ("", {"spec": pod}),
        "services": ("", {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}),
        "secrets": ("", {"stringData": {"a": "b"}, "data": {"c": "ZA=="}}),
        "replicationcontrollers": ("", {"spec": {"template": labels}}),
        "persistentvolumeclaims": ("", {"spec": claim}),
        "limitranges": ("", {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}),
        "resourcequotas": ("", {"spec": {"hard": {"pods": "100"}}}),
        "endpoints": (
            "",
            {"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 1}]}]},
        ),
        "podtemplates": ("", {"template": labels}),
        "serviceaccounts": ("", {}),
        "deployments": ("apps/v1", {"spec": {"selector": selector, "template": labels}}),
        "replicasets": ("apps/v1", {"spec": {"selector": selector, "template": labels}}),
        "daemonsets": ("apps/v1", {"spec": {"selector": selector, "template": labels}}),
        "statefulsets": (
            "apps/v1",
            {
                "spec": {
                    "selector": selector,
                    "template": labels,
                    "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
                }
            },
        ),
        "controllerrevisions": ("apps/v1", {"revision": 1, "data": {"a": "b"}}),
        "jobs": ("batch/v1", {"spec": {"template": {"spec": {**pod, "restartPolicy": "Never"}}}}),
        "cronjobs": (
            "batch/v1",
            {
                "spec": {
                    "schedule": "* * * * *",
                    "jobTemplate": {
                        "spec": {"template": {"spec": {**pod, "restartPolicy": "OnFailure"}}}
                    },
                }
            },
        ),
        "horizontalpodautoscalers": (
            "autoscaling/v2",
            {
                "spec": {
                    "maxReplicas": 3,
                    "scaleTargetRef": {"kind": "Deployment", "name": "x", "apiVersion": "apps/v1"},
                }
            },
        ),
        "poddisruptionbudgets": ("policy/v1", {"spec": {"minAvailable": 1, "selector": selector}}),
        "networkpolicies": (
            "networking.k8s.io/v1",
            {"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}},
        ),
        "ingresses": (
            "networking.k8s.io/v1",
            {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
        ),
        "leases": ("coordination.k8s.io/v1", {"spec": {"holderIdentity": "me"}}),
        "endpointslices": (
            "discovery.k8s.io/v1",
            {
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["1.2.3.4"]}],
                "ports": [{"port": 80}],
            },
        ),
        "roles": (
            "rbac.authorization.k8s.io/v1",
            {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        ),
        "rolebindings": (
            "rbac.authorization.k8s.io/v1",
            {
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
                "subjects": [{"kind": "User", "name": "ann"}],
            },
        ),
        "events": (
            "",
            {"involvedObject": {"namespace": s.ns, "kind": "Pod", "name": "p"}, "reason": "R"},
        ),
    }
    for plural, (group, body) in bodies.items():
        made = {"metadata": {"name": "default-values"}, **body}
        s.send(plural, "POST", s.path(plural, group=group), made)
        s.send(f"{plural}-get", "GET", s.path(plural, "default-values", group=group))


@scenario("kinds")
def cluster_kinds(s: Session) -> None:
    bodies: dict[str, tuple[str, dict[str, Any]]] = {
        "persistentvolumes": (
            "/api/v1",
            {
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "hostPath": {"path": "/tmp/x"},
                }
            },
        ),
        "nodes": ("/api/v1", {}),
        "storageclasses": ("/apis/storage.k8s.io/v1", {"provisioner": "example.com/p"}),
        "csidrivers": ("/apis/storage.k8s.io/v1", {"spec": {}}),
        "csinodes": ("/apis/storage.k8s.io/v1", {"spec": {"drivers": []}}),
        "volumeattachments": (
            "/apis/storage.k8s.io/v1",
            {
                "spec": {
                    "attacher": "a",
                    "nodeName": "n",
                    "source": {"persistentVolumeName": "v"},
                }
            },
        ),
        "priorityclasses": ("/apis/scheduling.k8s.io/v1", {"value": 5}),
        "runtimeclasses": ("/apis/node.k8s.io/v1", {"handler": "crun"}),
        "clusterroles": (
            "/apis/rbac.authorization.k8s.io/v1",
            {"rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}]},
        ),
        "ingressclasses": ("/apis/networking.k8s.io/v1", {"spec": {"controller": "e.com/c"}}),
        "namespaces": ("/api/v1", {}),
        "validatingwebhookconfigurations": (
            "/apis/admissionregistration.k8s.io/v1",
            {
                "webhooks": [
                    {
                        "name": "a.example.com",
                        "clientConfig": {"url": "https://127.0.0.1:1/x"},
                        "sideEffects": "None",
                        "admissionReviewVersions": ["v1"],
                        "rules": [
                            {
                                "apiGroups": ["none.example.com"],
                                "apiVersions": ["v1"],
                                "operations": ["CREATE"],
                                "resources": ["things"],
                            }
                        ],
                    }
                ]
            },
        ),
    }
    for plural, (group, body) in bodies.items():
        made = {"metadata": {"name": "cluster-wide"}, **body}
        s.send(plural, "POST", f"{group}/{plural}", made)
        s.send(f"{plural}-delete", "DELETE", f"{group}/{plural}/cluster-wide")
