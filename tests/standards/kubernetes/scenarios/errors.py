"""What people are told: invalid objects of the kinds they write most, decoding, conflicts."""

from __future__ import annotations

from typing import Any

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.session import JSON_PATCH, MERGE, STRATEGIC, YAML, Session


def pod(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = list(containers) or [{"name": "c", "image": "i"}]
    return {"metadata": {"name": "p"}, "spec": {"containers": given, **more}}


def template(spec: dict[str, Any] | None = None, **labels: str) -> dict[str, Any]:
    found = labels or {"app": "x"}
    return {"metadata": {"labels": found}, "spec": spec or pod()["spec"]}


def workload(**spec: Any) -> dict[str, Any]:
    base = {"selector": {"matchLabels": {"app": "x"}}, "template": template()}
    return {"metadata": {"name": "w"}, "spec": {**base, **spec}}


@scenario("kinds")
def invalid_pods(s: Session) -> None:
    one = {"name": "c", "image": "i"}
    bodies: dict[str, dict[str, Any]] = {
        "nothing": {"metadata": {"name": "p"}},
        "no-containers": {"metadata": {"name": "p"}, "spec": {"containers": []}},
        "no-name": pod({"image": "i"}),
        "no-image": pod({"name": "c"}),
        "upper-name": pod({"name": "Upper", "image": "i"}),
        "two-names": pod(one, one),
        "policy": pod(restartPolicy="Sometimes"),
        "pull": pod({**one, "imagePullPolicy": "Maybe"}),
        "port": pod({**one, "ports": [{"containerPort": 70000}]}),
        "port-zero": pod({**one, "ports": [{}]}),
        "port-name": pod({**one, "ports": [{"containerPort": 1, "name": "too-long-a-name-it-is"}]}),
        "protocol": pod({**one, "ports": [{"containerPort": 1, "protocol": "ICMP"}]}),
        "env-name": pod({**one, "env": [{"name": "a b", "value": "x"}, {"name": ""}]}),
        "env-both": pod({**one, "env": [{"name": "A", "value": "x", "valueFrom": {
            "fieldRef": {"fieldPath": "metadata.name"}}}]}),
        "field-ref": pod({**one, "env": [{"name": "A", "valueFrom": {
            "fieldRef": {"fieldPath": "spec.nothing"}}}]}),
        "mount": pod({**one, "volumeMounts": [{"name": "v", "mountPath": ""}]}),
        "volume": pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
        "volume-name": pod(volumes=[{"name": "V_"}, {"name": "d"}, {"name": "d"}]),
        "negative": pod({**one, "resources": {"requests": {"cpu": "-1"}}}),
        "over": pod({**one, "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
        "resource": pod({**one, "resources": {"limits": {"gold": "1"}}}),
        "probe": pod({**one, "livenessProbe": {"periodSeconds": -1}}),
        "probes": pod({**one, "readinessProbe": {"httpGet": {"port": 80}, "exec": {}}}),
        "http-get": pod({**one, "livenessProbe": {"httpGet": {"path": "x", "port": "no_port"}}}),
        "life": pod({**one, "lifecycle": {"preStop": {}}}),
        "grace": pod(terminationGracePeriodSeconds=-1),
        "deadline": pod(activeDeadlineSeconds=0),
        "selector": pod(nodeSelector={"a b": "c d"}),
        "toleration": pod(tolerations=[{"operator": "Exists", "value": "x"}, {"effect": "No"}]),
        "affinity": pod(affinity={"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
        "spread": pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": ""}]),
        "host-port": pod({**one, "ports": [{"containerPort": 80, "hostPort": 81}]},
                         hostNetwork=True),
        "user": pod({**one, "securityContext": {"runAsUser": -5}}),
        "privileged": pod({**one, "securityContext": {
            "privileged": True, "allowPrivilegeEscalation": False}}),
        "dns": pod(dnsPolicy="None"),
        "alias": pod(hostAliases=[{"ip": "x", "hostnames": ["A_"]}]),
        "hostname": pod(hostname="Not_Good", subdomain="also.not"),
        "service-account": pod(serviceAccountName="none-such"),
        "priority": pod(priorityClassName="none-such"),
        "many": pod({"name": "", "image": "", "imagePullPolicy": "x"}, restartPolicy="y"),
    }  # fmt: skip
    for step, body in bodies.items():
        s.send(step, "POST", s.path("pods"), body)
    s.ask("POST", s.path("pods"), pod())
    changes: dict[str, Any] = {
        "image": {"spec": {"containers": [{"name": "c", "image": "j"}]}},
        "image-empty": {"spec": {"containers": [{"name": "c", "image": ""}]}},
        "command": {"spec": {"containers": [{"name": "c", "command": ["x"]}]}},
        "added": {"spec": {"containers": [{"name": "d", "image": "i"}]}},
        "node": {"spec": {"nodeName": "n"}},
        "toleration-added": {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}},
        "labels": {"metadata": {"labels": {"bad key": "x", "a": "b c"}}},
        "name": {"metadata": {"name": "other"}},
    }
    for step, change in changes.items():
        s.send(f"change-{step}", "PATCH", s.path("pods", "p"), change, kind=STRATEGIC)


@scenario("kinds")
def invalid_workloads(s: Session) -> None:
    apps, batch = "apps/v1", "batch/v1"
    never = {"containers": pod()["spec"]["containers"], "restartPolicy": "Never"}
    job: dict[str, Any] = {"metadata": {"name": "j"}, "spec": {"template": template(never)}}
    jobs = {"spec": {"template": template(never)}}
    cron: dict[str, Any] = {
        "metadata": {"name": "c"},
        "spec": {"schedule": "* * * * *", "jobTemplate": jobs},
    }
    stateful = workload(serviceName="s")
    bodies: dict[str, tuple[str, str, dict[str, Any]]] = {
        "empty": ("deployments", apps, {"metadata": {"name": "w"}}),
        "no-selector": ("deployments", apps, workload(selector={})),
        "other-labels": ("deployments", apps, workload(template=template(app="y"))),
        "replicas": ("deployments", apps, workload(replicas=-1)),
        "strategy": ("deployments", apps, workload(strategy={"type": "Blue"})),
        "recreate": ("deployments", apps, workload(strategy={
            "type": "Recreate", "rollingUpdate": {"maxSurge": 1}})),
        "surge": ("deployments", apps, workload(strategy={
            "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}})),
        "percent": ("deployments", apps, workload(strategy={
            "rollingUpdate": {"maxSurge": "120", "maxUnavailable": "150%"}})),
        "restart": ("deployments", apps, workload(template=template(never))),
        "min-ready": ("deployments", apps, workload(minReadySeconds=5, progressDeadlineSeconds=3)),
        "expression": ("deployments", apps, workload(selector={
            "matchExpressions": [{"key": "a", "operator": "Near"}]})),
        "pod": ("deployments", apps, workload(template=template({"containers": [{}]}))),
        "set": ("statefulsets", apps, {**stateful, "spec": {
            **stateful["spec"], "podManagementPolicy": "Chaos"}}),
        "claims": ("statefulsets", apps, {**stateful, "spec": {
            **stateful["spec"], "volumeClaimTemplates": [{"metadata": {"name": "d"}}]}}),
        "daemon": ("daemonsets", apps, workload(updateStrategy={"type": "Never"})),
        "job-always": ("jobs", batch, {**job, "spec": {"template": template()}}),
        "job-numbers": ("jobs", batch, {**job, "spec": {
            **job["spec"], "completions": -1, "parallelism": -1, "backoffLimit": -1}}),
        "job-selector": ("jobs", batch, {**job, "spec": {
            **job["spec"], "selector": {"matchLabels": {"a": "b"}}}}),
        "job-indexed": ("jobs", batch, {**job, "spec": {
            **job["spec"], "completionMode": "Indexed"}}),
        "cron": ("cronjobs", batch, {**cron, "spec": {**cron["spec"], "schedule": "often"}}),
        "cron-empty": ("cronjobs", batch, {**cron, "spec": {**cron["spec"], "schedule": ""}}),
        "cron-zone": ("cronjobs", batch, {**cron, "spec": {**cron["spec"], "timeZone": "Moon"}}),
        "cron-policy": ("cronjobs", batch, {**cron, "spec": {
            **cron["spec"], "concurrencyPolicy": "Both", "startingDeadlineSeconds": -1}}),
    }  # fmt: skip
    for step, (plural, group, body) in bodies.items():
        s.send(step, "POST", s.path(plural, group=group), body)
    s.ask("POST", s.path("deployments", group=apps), workload())
    path = s.path("deployments", "w", group=apps)
    for step, change in {
        "selector": {"spec": {"selector": {"matchLabels": {"app": "y"}}}},
        "labels": {"spec": {"template": {"metadata": {"labels": {"app": "y"}}}}},
        "text": {"spec": {"replicas": "two"}},
        "status": {"status": {"replicas": 7}},
    }.items():
        s.send(f"change-{step}", "PATCH", path, change, kind=MERGE)
    s.ask("POST", s.path("jobs", group=batch), job)
    for step, change in {
        "template": {"spec": {"template": {"spec": {"hostNetwork": True}}}},
        "completions": {"spec": {"completions": 4}},
        "suspend": {"spec": {"suspend": True}},
    }.items():
        s.send(f"job-change-{step}", "PATCH", s.path("jobs", "j", group=batch), change, kind=MERGE)


@scenario("kinds")
def invalid_others(s: Session) -> None:
    net, policy, auto = "networking.k8s.io/v1", "policy/v1", "autoscaling/v2"
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    target = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}
    rule = {"host": "h", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {
        "service": {"name": "s", "port": {"number": 80}}}}]}}  # fmt: skip
    bodies: dict[str, tuple[str, str, Any]] = {
        "service-empty": ("services", "", {}),
        "service-type": ("services", "", {"type": "Magic", "ports": [{"port": 80}]}),
        "service-unnamed": ("services", "", {"ports": [{"port": 80}, {"port": 81}]}),
        "service-twice": ("services", "", {"ports": [
            {"port": 80, "name": "a"}, {"port": 80, "name": "a"}]}),
        "service-ip": ("services", "", {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}),
        "service-bad-ip": ("services", "", {"clusterIP": "x", "ports": [{"port": 80}]}),
        "service-node-port": ("services", "", {"type": "NodePort", "ports": [
            {"port": 80, "nodePort": 1}]}),
        "service-external": ("services", "", {"type": "ExternalName"}),
        "service-affinity": ("services", "", {"sessionAffinity": "Often", "ports": [{"port": 1}]}),
        "service-selector": ("services", "", {"selector": {"a b": "c"}, "ports": [{"port": 1}]}),
        "claim-empty": ("persistentvolumeclaims", "", {}),
        "claim-mode": ("persistentvolumeclaims", "", {**claim, "accessModes": ["Sometimes"]}),
        "claim-zero": ("persistentvolumeclaims", "", {**claim, "resources": {
            "requests": {"storage": "0"}}}),
        "claim-class": ("persistentvolumeclaims", "", {**claim, "storageClassName": "A_"}),
        "ingress-empty": ("ingresses", net, {}),
        "ingress-host": ("ingresses", net, {"rules": [{**rule, "host": "Bad_"}]}),
        "ingress-path": ("ingresses", net, {"rules": [{"http": {"paths": [
            {"path": "x", "backend": {}}]}}]}),
        "ingress-tls": ("ingresses", net, {"rules": [rule], "tls": [{"hosts": ["*"]}]}),
        "policy-type": ("networkpolicies", net, {"podSelector": {}, "policyTypes": ["Up"]}),
        "policy-peer": ("networkpolicies", net, {"podSelector": {}, "ingress": [{"from": [
            {"ipBlock": {"cidr": "x"}, "podSelector": {}}]}]}),
        "budget-both": ("poddisruptionbudgets", policy, {"minAvailable": 1, "maxUnavailable": 1}),
        "budget-text": ("poddisruptionbudgets", policy, {"minAvailable": "some"}),
        "hpa-empty": ("horizontalpodautoscalers", auto, {}),
        "hpa-order": ("horizontalpodautoscalers", auto, {
            **target, "minReplicas": 5, "maxReplicas": 2}),
        "hpa-metric": ("horizontalpodautoscalers", auto, {
            **target, "maxReplicas": 2, "metrics": [{"type": "Luck"}]}),
        "quota": ("resourcequotas", "", {"hard": {"cpu": "-1", "Bad_": "1"}}),
        "limits": ("limitranges", "", {"limits": [{"type": "Container", "max": {"cpu": "1"},
                                                   "min": {"cpu": "2"}}]}),
        "lease": ("leases", "coordination.k8s.io/v1", {"leaseDurationSeconds": 0}),
    }  # fmt: skip
    for step, (plural, group, spec) in bodies.items():
        body = {"metadata": {"name": "o"}, "spec": spec}
        s.send(step, "POST", s.path(plural, group=group), body)
    secret = {"metadata": {"name": "s"}, "type": "kubernetes.io/tls", "data": {"a b": "x"}}
    s.send("secret", "POST", s.path("secrets"), secret)
    s.ask("POST", s.path("secrets"), {"metadata": {"name": "t"}, "immutable": True})
    s.send("secret-immutable", "PATCH", s.path("secrets", "t"), {"data": {"a": "YQ=="}}, kind=MERGE)
    s.send("secret-type", "PATCH", s.path("secrets", "t"), {"type": "other"}, kind=MERGE)
    role = {"metadata": {"name": "r"}, "rules": [{"verbs": []}, {"verbs": ["get"]}]}
    s.send("role", "POST", s.path("roles", group="rbac.authorization.k8s.io/v1"), role)
    binding = {"metadata": {"name": "b"}, "roleRef": {"kind": "Chair"}, "subjects": [{}]}
    s.send("binding", "POST", s.path("rolebindings", group="rbac.authorization.k8s.io/v1"), binding)


@scenario("face")
def decoding(s: Session) -> None:
    """Wrong types, unknown and repeated fields, in JSON, YAML and patches."""
    path, pods = s.path("deployments", group="apps/v1"), s.path("pods")
    for step, body in {
        "replicas": '{"metadata":{"name":"a"},"spec":{"replicas":"two"}}',
        "replicas-large": '{"metadata":{"name":"a"},"spec":{"replicas":3000000000}}',
        "containers": '{"metadata":{"name":"a"},"spec":{"template":{"spec":{"containers":{}}}}}',
        "spec": '{"metadata":{"name":"a"},"spec":[]}',
        "labels": '{"metadata":{"name":"a","labels":{"a":{}}},"spec":{}}',
        "two-wrong": '{"spec":{"paused":"no"},"metadata":{"name":1}}',
        "deep": '{"metadata":{"name":"a"},"spec":{"template":{"spec":{"containers":[{"name":"c",'
        '"ports":[{"containerPort":"x"}]}]}}}}',
        "list": '{"kind":"List","apiVersion":"v1","items":[]}',
        "status": '{"kind":"Status","apiVersion":"v1"}',
        "half-kind": '{"kind":"Deployment","metadata":{"name":"a"}}',
    }.items():
        s.send(step, "POST", path, body)
    for mode in ("Strict", "Warn"):
        doubled = (
            '{"metadata":{"name":"d","labels":{"a":"1","a":"2"}},"spec":{"x":1,"containers":'
            '[{"name":"c","name":"c","image":"i","imag":"i"}],"nodeName":"n","nodeName":"n"}}'
        )
        s.send(f"both-{mode}", "POST", f"{pods}?fieldValidation={mode}&dryRun=All", doubled)
        yaml = "metadata:\n  name: d\n  name: d\nspec:\n  x: 1\n  containers:\n  - name: c\n"
        yaml += "    image: i\n    image: i\n"
        s.send(f"yaml-{mode}", "POST", f"{pods}?fieldValidation={mode}&dryRun=All", yaml, kind=YAML)
    for step, body in {
        "tab": "metadata:\n\tname: a\n", "colon": "metadata: a: b\n", "dash": "- a\n- b\n",
        "empty": "", "text": "hello", "unclosed": 'metadata: {name: "a\n',
        "anchor": "metadata: {name: *x}\n", "time": "metadata: {name: 2020-01-01}\n",
        "octal": "metadata: {name: a}\nspec: {replicas: 010}\n",
    }.items():  # fmt: skip
        s.send(f"yaml-{step}", "POST", path, body, kind=YAML)
    s.ask("POST", path, workload())
    one = f"{path}/w"
    for step, kind, patch in (
        ("merge-type", MERGE, {"spec": {"replicas": "x"}}),
        ("merge-unknown", MERGE, {"spec": {"replica": 1}}),
        ("merge-null", MERGE, {"spec": None}),
        ("strategic-type", STRATEGIC, {"spec": {"replicas": "x"}}),
        ("strategic-list", STRATEGIC, {"spec": {"template": {"spec": {"containers": {}}}}}),
        ("strategic-no-key", STRATEGIC, {"spec": {"template": {"spec": {"containers": [{}]}}}}),
        ("json-path", JSON_PATCH, [{"op": "remove", "path": "/spec/nothing"}]),
        ("json-test", JSON_PATCH, [{"op": "test", "path": "/spec/replicas", "value": 9}]),
        ("json-op", JSON_PATCH, [{"op": "jump", "path": "/spec"}]),
        ("json-type", JSON_PATCH, [{"op": "replace", "path": "/spec/replicas", "value": "x"}]),
    ):
        s.send(step, "PATCH", one, patch, kind=kind)


@scenario("ssa")
def preconditions_and_finalizers(s: Session) -> None:
    """Updates, patches and deletions of what changes or goes meanwhile."""
    path = s.path("configmaps")
    held = {"metadata": {"name": "a", "finalizers": ["example.com/x"]}, "data": {"a": "1"}}
    made = s.send("create", "POST", path, held).json
    old = made["metadata"]["resourceVersion"]
    s.ask("PATCH", f"{path}/a", {"data": {"a": "2"}}, kind=MERGE)
    stale = {"metadata": {"resourceVersion": old}, "data": {"a": "3"}}
    s.send("stale-patch", "PATCH", f"{path}/a", stale, kind=MERGE)
    s.send("stale-put", "PUT", f"{path}/a", {**made, "data": {"a": "4"}})
    for name, given in {
        "old-version": {"resourceVersion": old},
        "other-uid": {"uid": "11111111-2222-3333-4444-555555555555"},
        "both": {"uid": made["metadata"]["uid"], "resourceVersion": old},
    }.items():
        s.send(name, "DELETE", f"{path}/a", {"preconditions": given})
    test = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": old},
        {"op": "add", "path": "/data/b", "value": "1"},
    ]
    s.send("stale-test", "PATCH", f"{path}/a", test, kind=JSON_PATCH)
    s.send("delete", "DELETE", f"{path}/a", {"preconditions": {"uid": made["metadata"]["uid"]}})
    s.send("labels", "PATCH", f"{path}/a", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)
    s.send("apply", "PATCH", f"{path}/a?fieldManager=m", {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"z": "1"},
    }, kind="application/apply-patch+yaml")  # fmt: skip
    s.send("dry-release", "PATCH", f"{path}/a?dryRun=All", {"metadata": {"finalizers": []}},
           kind=MERGE)  # fmt: skip
    s.send("there", "GET", f"{path}/a")
    s.send("release", "PATCH", f"{path}/a", {"metadata": {"finalizers": []}}, kind=MERGE)
    s.send("gone", "PATCH", f"{path}/a", {"data": {"a": "9"}}, kind=MERGE)
    s.send("gone-put", "PUT", f"{path}/a", made)
    for step, body in {
        "policy": {"propagationPolicy": "Later"},
        "policies": {"propagationPolicy": "Orphan", "orphanDependents": True},
        "dry": {"dryRun": ["Some"]},
        "grace": {"gracePeriodSeconds": "x"},
        "kind": {"kind": "Pod", "apiVersion": "v1"},
        "unknown": {"nothing": 1},
    }.items():
        s.ask("POST", path, {"metadata": {"name": f"d-{step}"}})
        s.send(f"options-{step}", "DELETE", f"{path}/d-{step}", body)


@scenario("ssa")
def dry_runs(s: Session) -> None:
    """Every verb without an effect."""
    path, dry = s.path("services"), "dryRun=All"
    body = {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}
    s.send("create", "POST", f"{path}?{dry}", body)
    s.send("generate", "POST", f"{path}?{dry}", {
        "metadata": {"generateName": "a-"}, "spec": body["spec"]})  # fmt: skip
    s.send("missing", "GET", f"{path}/a")
    s.send("apply", "PATCH", f"{path}/a?{dry}&fieldManager=m", {
        **body, "apiVersion": "v1", "kind": "Service"},
        kind="application/apply-patch+yaml")  # fmt: skip
    made = s.ask("POST", path, body).json
    s.send("again", "POST", f"{path}?{dry}", body)
    s.send("put", "PUT", f"{path}/a?{dry}", {**made, "metadata": {
        **made["metadata"], "labels": {"a": "b"}}})  # fmt: skip
    s.send("patch", "PATCH", f"{path}/a?{dry}", {"spec": {"type": "NodePort"}}, kind=MERGE)
    s.send("status", "PATCH", f"{path}/a/status?{dry}", {"status": {"loadBalancer": {
        "ingress": [{"ip": "1.2.3.4"}]}}}, kind=MERGE)  # fmt: skip
    s.send("delete", "DELETE", f"{path}/a?{dry}")
    s.send("delete-body", "DELETE", f"{path}/a", {"dryRun": ["All"]})
    s.send("collection", "DELETE", f"{path}?{dry}")
    s.send("there", "GET", f"{path}/a")
    s.send("namespace", "POST", f"/api/v1/namespaces?{dry}", {"metadata": {"name": "d-dry-only"}})
    s.send("bad", "PUT", f"{path}/a?dryRun=Some", made)


@scenario("kinds")
def subresources(s: Session) -> None:
    """Scale, status and eviction."""
    path = s.path("deployments", group="apps/v1")
    s.ask("POST", path, workload(replicas=2))
    s.send("scale", "GET", f"{path}/w/scale")
    scale = s.ask("GET", f"{path}/w/scale").json
    s.send("scale-merge", "PATCH", f"{path}/w/scale", {"spec": {"replicas": 3}}, kind=MERGE)
    s.send("scale-type", "PATCH", f"{path}/w/scale", {"spec": {"replicas": "x"}}, kind=MERGE)
    s.send("scale-stale", "PUT", f"{path}/w/scale", scale)
    s.send("scale-name", "PUT", f"{path}/w/scale", {**scale, "metadata": {"name": "other"}})
    s.send("scale-kind", "PUT", f"{path}/w/scale", {"kind": "Deployment", "apiVersion": "apps/v1"})
    s.send("scale-missing", "GET", f"{path}/none/scale")
    s.send("scale-delete", "DELETE", f"{path}/w/scale")
    s.send("status", "GET", f"{path}/w/status")
    status = {"status": {"replicas": 1, "readyReplicas": 2, "conditions": []}, "spec": {
        "replicas": 9}}  # fmt: skip
    s.send("status-bad", "PATCH", f"{path}/w/status", status, kind=MERGE)
    good = {"status": {"replicas": 1, "observedGeneration": 1}, "spec": {"replicas": 9}}
    s.send("status-merge", "PATCH", f"{path}/w/status", good, kind=MERGE)
    s.send("status-negative", "PATCH", f"{path}/w/status", {"status": {"replicas": -1}}, kind=MERGE)
    s.send("status-post", "POST", f"{path}/w/status", good)
    pods = s.path("pods")
    s.ask("POST", pods, {**pod(), "metadata": {"name": "p", "labels": {"a": "b"}}})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    s.send("evict-name", "POST", f"{pods}/q/eviction", eviction)
    s.send("evict-missing", "POST", f"{pods}/q/eviction", {**eviction, "metadata": {"name": "q"}})
    s.send("evict-kind", "POST", f"{pods}/p/eviction", {"kind": "Pod", "apiVersion": "v1"})
    s.send("evict-dry", "POST", f"{pods}/p/eviction?dryRun=All", eviction)
    budget = {"metadata": {"name": "b"}, "spec": {
        "minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}  # fmt: skip
    s.ask("POST", s.path("poddisruptionbudgets", group="policy/v1"), budget)
    s.send("evict", "POST", f"{pods}/p/eviction", eviction)
    s.send("evicted", "GET", f"{pods}/p")
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    s.send("bind-missing", "POST", f"{pods}/none/binding", binding)
    s.ask("POST", pods, {**pod(), "metadata": {"name": "q"}})
    s.send("bind-empty", "POST", f"{pods}/q/binding", {"metadata": {"name": "q"}})
    s.send("bind", "POST", f"{pods}/q/binding", {**binding, "metadata": {"name": "q"}})
    s.send("bind-again", "POST", f"{pods}/q/binding", {**binding, "metadata": {"name": "q"}})
