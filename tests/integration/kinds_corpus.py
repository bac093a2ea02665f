"""Objects of every kind, good and bad, and changes of them, to be tried on two API servers.

Each case is ``(name, collection path, object, changes)``; a change is a merge patch (``dict``), or
``("status" | "approval" | "put", content)``.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
Case = tuple[str, str, Object, list[Any]]
NAMESPACE = "kinds"
_CORE = f"/api/v1/namespaces/{NAMESPACE}"


def _in(group: str, plural: str) -> str:
    return f"/apis/{group}/namespaces/{NAMESPACE}/{plural}"


APPS = "apps/v1"
LABELS = {"app": "a"}
CONTAINER: Object = {"name": "c", "image": "nginx:1.27"}
FULL_CONTAINER: Object = {
    "name": "c",
    "image": "registry.example.com:5000/a/b",
    "command": ["/bin/sh"],
    "args": ["-c", "true"],
    "workingDir": "/tmp",
    "ports": [{"containerPort": 80}, {"name": "udp", "containerPort": 53, "protocol": "UDP"}],
    "env": [
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}},
        {"name": "D", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "x"}}, {"prefix": "P", "secretRef": {"name": "s"}}],
    "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}, "requests": {"cpu": "0.5"}},
    "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "t", "mountPath": "/t"}],
    "livenessProbe": {"httpGet": {"port": 80}},
    "readinessProbe": {"tcpSocket": {"port": "udp"}, "periodSeconds": 5},
    "startupProbe": {"exec": {"command": ["true"]}, "failureThreshold": 30},
    "lifecycle": {"preStop": {"httpGet": {"port": 80, "path": "/bye"}}},
    "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
}
FULL_POD: Object = {
    "containers": [FULL_CONTAINER],
    "initContainers": [{**CONTAINER, "name": "i"}],
    "volumes": [
        {"name": "v", "configMap": {"name": "x"}},
        {"name": "t"},
        {"name": "s", "secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}},
        {"name": "e", "emptyDir": {"sizeLimit": "1000Ki", "medium": "Memory"}},
        {"name": "d", "downwardAPI": {"items": [
            {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "p", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "x"}}]}},
        {"name": "pvc", "persistentVolumeClaim": {"claimName": "data"}},
    ],
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["h"]}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule",
         "labelSelector": {"matchLabels": LABELS}}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"topologyKey": "h",
                                          "labelSelector": {"matchLabels": LABELS}}}]}},
    "automountServiceAccountToken": False,
}  # fmt: skip
POD: Object = {"containers": [CONTAINER]}
TEMPLATE: Object = {"metadata": {"labels": LABELS}, "spec": POD}
FULL_TEMPLATE: Object = {
    "metadata": {"labels": LABELS, "annotations": {"x": "y"}},
    "spec": FULL_POD,
}
SELECTOR: Object = {"matchLabels": LABELS}
WORKLOAD: Object = {"selector": SELECTOR, "template": TEMPLATE}
JOB: Object = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
CLAIM: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME: Object = {
    "accessModes": ["ReadWriteOnce"],
    "capacity": {"storage": "1Gi"},
    "hostPath": {"path": "/data"},
}
RULE: Object = {
    "operations": ["CREATE"],
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["pods"],
}
HOOK: Object = {
    "name": "a.example.com",
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
    "clientConfig": {"service": {"name": "s", "namespace": "none"}},
    "namespaceSelector": {"matchLabels": {"never": "matches"}},
    "rules": [{**RULE, "resources": ["nothings"]}],
}
MATCH: Object = {
    "resourceRules": [{**RULE, "resources": ["nothings"]}],
    "namespaceSelector": {"matchLabels": {"never": "matches"}},
}

OF = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}


def case(name: str, path: str, spec: Object | None = None, *changes: Any, **more: Any) -> Case:
    """A case whose object has a spec, or other members."""
    body: Object = {"metadata": {"name": name}, **more}
    if spec is not None:
        body["spec"] = spec
    return (name, path, body, list(changes))


def _workloads() -> list[Case]:
    sets, job_path = _in(APPS, "statefulsets"), _in("batch/v1", "jobs")
    daemons, deployments = _in(APPS, "daemonsets"), _in(APPS, "deployments")
    crons = _in("batch/v1", "cronjobs")
    cron = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": JOB}}
    other = {"spec": {"template": {"spec": {"containers": [{**CONTAINER, "image": "b:2"}]}}}}
    return [
        case("dep", deployments, WORKLOAD, other,
             {"spec": {"selector": {"matchLabels": {"b": "c"}}}}),
        case("dep-full", deployments, {**WORKLOAD, "template": FULL_TEMPLATE, "replicas": 0}),
        case("dep-bad", deployments, {**WORKLOAD, "replicas": -1, "minReadySeconds": 700}),
        case("dep-none", deployments, {}),
        case("dep-type", deployments, {**WORKLOAD, "replicas": "3"}),
        case("dep-surge", deployments, {**WORKLOAD, "strategy": {"rollingUpdate": {
            "maxSurge": 0, "maxUnavailable": "0%"}}}),
        case("dep-match", deployments, {**WORKLOAD, "selector": {"matchLabels": {"app": "b"}}}),
        case("rs", _in(APPS, "replicasets"), WORKLOAD, {"spec": {"replicas": 2}}),
        case("rs-bad", _in(APPS, "replicasets"), {**WORKLOAD, "selector": {}}),
        case("sts", sets, {**WORKLOAD, "serviceName": "a"}, {"spec": {"replicas": 3}},
             {"spec": {"serviceName": "b"}}, {"spec": {"podManagementPolicy": "Parallel"}}, other),
        case("sts-full", sets, {**WORKLOAD, "volumeClaimTemplates": [
            {"metadata": {"name": "data"}, "spec": CLAIM}]}),
        case("sts-ondelete", sets, {**WORKLOAD, "updateStrategy": {"type": "OnDelete"}}),
        case("sts-bad", sets, {**WORKLOAD, "updateStrategy": {"type": "X"}, "replicas": -2,
                               "podManagementPolicy": "Y"}),
        case("ds", daemons, WORKLOAD, other, {"spec": {"selector": {"matchLabels": {"z": "z"}}}}),
        case("ds-bad", daemons, {**WORKLOAD, "updateStrategy": {"rollingUpdate": {
            "maxSurge": 1, "maxUnavailable": 1}}}),
        case("ds-none", daemons, {}),
        case("rc", f"{_CORE}/replicationcontrollers", {"template": TEMPLATE}),
        case("rc-bad", f"{_CORE}/replicationcontrollers", {"replicas": -1}),
        case("job", job_path, JOB, {"spec": {"parallelism": 2}}, {"spec": {"completions": 2}},
             {"spec": {"template": {"metadata": {"labels": {"x": "y"}}}}},
             {"spec": {"suspend": True}}),
        case("job-indexed", job_path, {**JOB, "completionMode": "Indexed", "completions": 3,
                                       "backoffLimitPerIndex": 1, "maxFailedIndexes": 2}),
        case("job-bad", job_path, {"template": {"spec": POD}, "backoffLimit": -1}),
        case("job-bad-mode", job_path, {**JOB, "completionMode": "X", "maxFailedIndexes": 2}),
        case("job-policy", job_path, {**JOB, "podFailurePolicy": {"rules": [
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 2]}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}}),
        case("job-policy-bad", job_path, {**JOB, "podFailurePolicy": {"rules": [
            {"action": "Nope", "onExitCodes": {"operator": "In", "values": [0]}},
            {"action": "Count"}]}}),
        case("job-labels", job_path, {"template": {"metadata": {"labels": LABELS},
                                                   "spec": {**POD, "restartPolicy": "OnFailure"}}}),
        case("cron", crons, cron, {"spec": {"suspend": True}}, {"spec": {"schedule": "x"}}),
        case("cron-bad", crons, {**cron, "schedule": "1 2 3", "concurrencyPolicy": "X",
                                 "timeZone": "Nowhere/Never"}),
        case("cron-tz", crons, {**cron, "schedule": "TZ=UTC 0 * * * *"}),
        case("cron-none", crons, {}),
        case("c" * 53, crons, cron),
    ]  # fmt: skip


def _scaling() -> list[Case]:
    two, one = (
        _in("autoscaling/v2", "horizontalpodautoscalers"),
        _in("autoscaling/v1", "horizontalpodautoscalers"),
    )
    budgets = _in("policy/v1", "poddisruptionbudgets")
    metrics = [
        {"type": "Resource", "resource": {"name": "memory", "target": {
            "type": "AverageValue", "averageValue": "1024Mi"}}},
        {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {
            "type": "AverageValue", "averageValue": "10"}}},
        {"type": "External", "external": {"metric": {"name": "e"}, "target": {
            "type": "Value", "value": "5"}}},
        {"type": "Object", "object": {"metric": {"name": "o"}, "describedObject": {
            "apiVersion": "v1", "kind": "Service", "name": "s"},
            "target": {"type": "Value", "value": "1"}}},
    ]  # fmt: skip
    return [
        case("hpa", two, {**OF, "maxReplicas": 3}, {"spec": {"minReplicas": 2}}),
        case("hpa-full", two, {**OF, "maxReplicas": 3, "metrics": metrics,
                               "behavior": {"scaleDown": {"policies": [
                                   {"type": "Pods", "value": 1, "periodSeconds": 60}]}}}),
        case("hpa-bad", two, {"maxReplicas": 0, "minReplicas": 4, "scaleTargetRef": {}}),
        case("hpa-bad-metric", two, {**OF, "maxReplicas": 1, "metrics": [
            {"type": "Resource"}, {"type": "X"}]}),
        case("hpa-one", one, {**OF, "maxReplicas": 3}),
        case("hpa-one-cpu", one, {**OF, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}),
        case("pdb", budgets, {"selector": SELECTOR, "minAvailable": 1}),
        case("pdb-percent", budgets, {"selector": SELECTOR, "maxUnavailable": "30%"}),
        case("pdb-bad", budgets, {"minAvailable": "150%", "maxUnavailable": -1,
                                  "unhealthyPodEvictionPolicy": "X"}),
    ]  # fmt: skip


def _networking() -> list[Case]:
    policies, ingresses = (
        _in("networking.k8s.io/v1", "networkpolicies"),
        _in("networking.k8s.io/v1", "ingresses"),
    )
    root = "/apis/networking.k8s.io/v1"
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return [
        case("np", policies, {"podSelector": {}}),
        case("np-full", policies, {
            "podSelector": SELECTOR,
            "ingress": [{"from": [{"podSelector": {}}, {"ipBlock": {
                "cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80}]}],
            "egress": [{"to": [{"namespaceSelector": {}}], "ports": [
                {"protocol": "UDP", "port": 53}, {"port": 1, "endPort": 9}]}]}),
        case("np-bad", policies, {
            "podSelector": {"matchLabels": {"!": "x"}}, "policyTypes": ["X"],
            "ingress": [{"from": [{}, {"ipBlock": {"cidr": "1.2.3.4"}}],
                         "ports": [{"port": 0}, {"protocol": "X"}]}]}),
        case("ing", ingresses, {"defaultBackend": backend}),
        case("ing-full", ingresses, {
            "ingressClassName": "x", "tls": [{"hosts": ["*.a.b", "c.d"], "secretName": "t"}],
            "rules": [{"host": "a.b", "http": {"paths": [path, {
                **path, "pathType": "Exact", "backend": {"service": {
                    "name": "s", "port": {"name": "http"}}}}]}}]}),
        case("ing-bad", ingresses, {}),
        case("ing-bad-path", ingresses, {"rules": [{"host": "1.2.3.4", "http": {"paths": [
            {"path": "x", "backend": backend}, {"path": "x", "pathType": "Exact", "backend": {}},
            {"path": "/a/../b", "pathType": "Prefix", "backend": {
                "service": {"name": "s", "port": {}}}}]}}]}),
        case("ingclass", f"{root}/ingressclasses", {"controller": "example.com/c"},
             {"spec": {"controller": "example.com/d"}}),
        case("ingclass-full", f"{root}/ingressclasses", {
            "controller": "example.com/c", "parameters": {"kind": "K", "name": "n"}}),
        case("ingclass-bad", f"{root}/ingressclasses", {"controller": "x", "parameters": {}}),
        case("svccidr", f"{root}/servicecidrs", {"cidrs": ["10.99.0.0/24"]}),
        case("svccidr-bad", f"{root}/servicecidrs", {"cidrs": ["x"]}),
        case("10.99.7.7", f"{root}/ipaddresses", {"parentRef": {
            "resource": "services", "name": "x", "namespace": "y"}}),
        case("notanaddress", f"{root}/ipaddresses", {}),
    ]  # fmt: skip


def _storage() -> list[Case]:
    claims, volumes = f"{_CORE}/persistentvolumeclaims", "/api/v1/persistentvolumes"
    root = "/apis/storage.k8s.io/v1"
    return [
        case("pvc", claims, CLAIM, {"spec": {"resources": {"requests": {"storage": "2Gi"}}}},
             {"spec": {"accessModes": ["ReadOnlyMany"]}}),
        case("pvc-full", claims, {**CLAIM, "storageClassName": "fast", "volumeMode": "Block",
                                  "selector": SELECTOR, "volumeName": "x", "dataSource": {
                                      "kind": "PersistentVolumeClaim", "name": "other"}}),
        case("pvc-bad", claims, {"accessModes": ["X"], "volumeMode": "Y"}),
        case("pvc-none", claims, {}),
        case("pv", volumes, VOLUME, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}},
             {"spec": {"volumeMode": "Block"}}),
        case("pv-bad", volumes, {"capacity": {"storage": "0"}, "accessModes": []}),
        case("pv-local", volumes, {**VOLUME, "hostPath": None, "local": {"path": "/x"}}),
        case("pv-csi", volumes, {**VOLUME, "hostPath": None, "storageClassName": "fast",
                                 "csi": {"driver": "d.example.com", "volumeHandle": "h"}}),
        case("sc", f"{root}/storageclasses", provisioner="example.com/p"),
        case("sc-full", f"{root}/storageclasses", None, {"parameters": {"a": "c"}},
             {"reclaimPolicy": "Delete"}, provisioner="example.com/p", parameters={"a": "b"},
             reclaimPolicy="Retain", volumeBindingMode="WaitForFirstConsumer",
             allowVolumeExpansion=True),
        case("sc-bad", f"{root}/storageclasses", reclaimPolicy="X", volumeBindingMode="Y"),
        case("vac", f"{root}/volumeattributesclasses", None, {"parameters": {"a": "c"}},
             driverName="d.example.com", parameters={"a": "b"}),
        case("vac-bad", f"{root}/volumeattributesclasses", driverName=""),
        case("va", f"{root}/volumeattachments", {"attacher": "d.example.com", "nodeName": "n",
                                                 "source": {"persistentVolumeName": "pv"}}),
        case("va-bad", f"{root}/volumeattachments", {"source": {}}),
        case("csid", f"{root}/csidrivers", {}, {"spec": {"attachRequired": False}}),
        case("csid-bad", f"{root}/csidrivers", {"fsGroupPolicy": "X",
                                                "volumeLifecycleModes": ["Y"]}),
        case("csin", f"{root}/csinodes", {"drivers": [{"name": "d.example.com", "nodeID": "n"}]}),
        case("csin-bad", f"{root}/csinodes", {"drivers": [{"name": "", "nodeID": ""}]}),
        case("csic", _in("storage.k8s.io/v1", "csistoragecapacities"), storageClassName="x",
             capacity="1024Mi"),
        case("csic-bad", _in("storage.k8s.io/v1", "csistoragecapacities")),
    ]  # fmt: skip


def _core() -> list[Case]:
    services = f"{_CORE}/services"
    port = {"port": 80}
    return [
        case("pod", f"{_CORE}/pods", {**POD, "automountServiceAccountToken": False},
             {"spec": {"containers": [{**CONTAINER, "image": "b:2"}]}},
             {"spec": {"nodeSelector": {"a": "b"}}}),
        case("pod-full", f"{_CORE}/pods", FULL_POD),
        case("pod-bad", f"{_CORE}/pods", {"containers": [{"name": "A_"}], "restartPolicy": "X"}),
        case("pod-none", f"{_CORE}/pods", {}),
        case("tpl", f"{_CORE}/podtemplates", template=TEMPLATE),
        case("cm", f"{_CORE}/configmaps", None, {"data": {"a": "c"}}, {"immutable": True},
             {"data": {"a": "d"}}, data={"a": "b"}),
        case("cm-bad", f"{_CORE}/configmaps", data={"/": "b"}, binaryData={"x": "!"}),
        case("secret", f"{_CORE}/secrets", None, {"type": "other"}, stringData={"a": "b"}),
        case("secret-tls", f"{_CORE}/secrets", type="kubernetes.io/tls"),
        case("limits", f"{_CORE}/limitranges", {"limits": [
            {"type": "Container", "max": {"cpu": "2000m"}, "min": {"cpu": 0.1}}]}),
        case("limits-bad", f"{_CORE}/limitranges", {"limits": [
            {"type": "Pod", "max": {"cpu": 1}, "min": {"cpu": 2}, "default": {"cpu": 1}}]}),
        case("quota", f"{_CORE}/resourcequotas", {"hard": {"configmaps": 100, "cpu": "200"}},
             {"spec": {"hard": {"configmaps": "101"}}}),
        case("quota-bad", f"{_CORE}/resourcequotas", {"hard": {"pods": -1}, "scopes": ["X"]}),
        case("svc", services, {"ports": [port], "selector": LABELS}),
        case("svc-full", services, {"ports": [
            {**port, "name": "a", "targetPort": "http"},
            {"port": 81, "name": "b", "protocol": "UDP"}],
            "sessionAffinity": "ClientIP", "publishNotReadyAddresses": True}),
        case("svc-none", services, {"clusterIP": "None", "selector": LABELS}),
        case("svc-external", services, {"type": "ExternalName", "externalName": "a.b.c"}),
        case("svc-bad", services, {"ports": [{"port": 0, "protocol": "X"}], "type": "Y",
                                   "sessionAffinity": "Z"}),
        case("svc-empty", services, {}),
        case("svc-node", services, {"type": "NodePort", "ports": [{**port, "nodePort": 30123}]}),
        case("svc-node-bad", services, {"type": "NodePort", "ports": [{**port, "nodePort": 80}]}),
        case("svc-lb", services, {"type": "LoadBalancer", "ports": [{**port, "nodePort": 30124}]},
             {"spec": {"type": "ClusterIP"}}),
        case("sa", f"{_CORE}/serviceaccounts"),
        case("ep", f"{_CORE}/endpoints", subsets=[
            {"addresses": [{"ip": "10.9.9.9"}], "ports": [{"port": 80}]}]),
        case("ep-bad", f"{_CORE}/endpoints", subsets=[
            {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 0}]}]),
        case("eps", _in("discovery.k8s.io/v1", "endpointslices"), addressType="IPv4",
             endpoints=[{"addresses": ["10.9.9.9"]}], ports=[{"port": 80}]),
        case("eps-bad", _in("discovery.k8s.io/v1", "endpointslices"), addressType="X",
             endpoints=[{"addresses": []}]),
        case("lease", _in("coordination.k8s.io/v1", "leases"), {
            "holderIdentity": "me", "leaseDurationSeconds": 15,
            "renewTime": "2026-01-01T00:00:00.000001Z"}),
        case("lease-bad", _in("coordination.k8s.io/v1", "leases"), {"leaseDurationSeconds": 0,
                                                                    "leaseTransitions": -1}),
        case("ev", f"{_CORE}/events", involvedObject={"kind": "Pod", "name": "p",
                                                      "namespace": NAMESPACE},
             reason="R", message="m", type="Normal"),
        case("ev-bad", f"{_CORE}/events", involvedObject={"namespace": "other"}),
        case("ev-new", _in("events.k8s.io/v1", "events"), regarding={
            "kind": "Pod", "name": "p", "namespace": NAMESPACE}, reason="R", note="m",
            type="Normal", action="A", eventTime="2026-01-01T00:00:00.000000Z",
            reportingController="example.com/c", reportingInstance="i"),
        case("ev-new-bad", _in("events.k8s.io/v1", "events"), regarding={"namespace": NAMESPACE}),
        case("rev", _in(APPS, "controllerrevisions"), None, {"data": {"a": 2}}, {"revision": 2},
             data={"a": 1}, revision=1),
        case("rev-bad", _in(APPS, "controllerrevisions"), revision=-1),
    ]  # fmt: skip


def _control() -> list[Case]:
    admission, flow = (
        "/apis/admissionregistration.k8s.io/v1",
        "/apis/flowcontrol.apiserver.k8s.io/v1",
    )
    who = {"kind": "User", "user": {"name": "u"}}
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}
    policy = {"matchConstraints": MATCH, "validations": [{"expression": "true"}]}
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}
    binding = {"policyName": "p", "validationActions": ["Deny"]}
    return [
        case("mwc", f"{admission}/mutatingwebhookconfigurations", webhooks=[HOOK]),
        case("vwc", f"{admission}/validatingwebhookconfigurations", webhooks=[HOOK]),
        case("vwc-bad", f"{admission}/validatingwebhookconfigurations", webhooks=[
            {"name": "x", "clientConfig": {"url": "http://a?b"}, "failurePolicy": "X",
             "timeoutSeconds": 40, "rules": [{"operations": ["*", "CREATE"], "resources": []}]}]),
        case("vap", f"{admission}/validatingadmissionpolicies", policy),
        case("vap-bad", f"{admission}/validatingadmissionpolicies", {"failurePolicy": "X"}),
        case("vapb", f"{admission}/validatingadmissionpolicybindings", binding),
        case("vapb-bad", f"{admission}/validatingadmissionpolicybindings", {
            "validationActions": ["Deny", "Warn"], "paramRef": {}}),
        case("map", f"{admission}/mutatingadmissionpolicies", {
            "matchConstraints": MATCH, "mutations": [mutation], "reinvocationPolicy": "Never"}),
        case("map-bad", f"{admission}/mutatingadmissionpolicies", {"mutations": [{}]}),
        case("mapb", f"{admission}/mutatingadmissionpolicybindings", {"policyName": "p"}),
        case("fs", f"{flow}/flowschemas", {
            "priorityLevelConfiguration": {"name": "global-default"},
            "rules": [{"subjects": [who], "resourceRules": [rule]}]}),
        case("fs-bad", f"{flow}/flowschemas", {"matchingPrecedence": 1, "rules": [
            {"subjects": [{"kind": "User"}], "resourceRules": [{}]}]}),
        case("plc", f"{flow}/prioritylevelconfigurations", {
            "type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}),
        case("plc-bad", f"{flow}/prioritylevelconfigurations", {"type": "Exempt", "limited": {}}),
        case("pc", "/apis/scheduling.k8s.io/v1/priorityclasses", None, {"value": 11},
             {"description": "d"}, value=10),
        case("pc-bad", "/apis/scheduling.k8s.io/v1/priorityclasses", value=2_000_000_000,
             preemptionPolicy="X"),
        case("system-x", "/apis/scheduling.k8s.io/v1/priorityclasses", value=1),
        case("rtc", "/apis/node.k8s.io/v1/runtimeclasses", None, {"handler": "b"}, handler="a"),
        case("rtc-bad", "/apis/node.k8s.io/v1/runtimeclasses"),
        case("role", _in("rbac.authorization.k8s.io/v1", "roles"), rules=[
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
        case("role-none", _in("rbac.authorization.k8s.io/v1", "roles")),
        case("csr-bad", "/apis/certificates.k8s.io/v1/certificatesigningrequests", {
            "request": "eA==", "signerName": "x", "usages": ["nope"], "expirationSeconds": 1}),
        case("claim", _in("resource.k8s.io/v1", "resourceclaims"), {"devices": {"requests": [
            {"name": "r", "exactly": {"deviceClassName": "gpu.example.com"}}]}}),
        case("dev", "/apis/resource.k8s.io/v1/deviceclasses", {}),
    ]  # fmt: skip


CASES: list[Case] = [
    *_workloads(),
    *_scaling(),
    *_networking(),
    *_storage(),
    *_core(),
    *_control(),
]
"""Every case; names are unique in their collection."""
