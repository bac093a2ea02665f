"""Pods and Services with something wrong in each part of them (see ``kinds_corpus``)."""

from __future__ import annotations

from typing import Any

from tests.integration.kinds_corpus import CONTAINER, NAMESPACE, Case, Object, case

PODS, SERVICES = f"/api/v1/namespaces/{NAMESPACE}/pods", f"/api/v1/namespaces/{NAMESPACE}/services"
PORT: Object = {"port": 80}
FIELD: Object = {"fieldRef": {"fieldPath": "metadata.name"}}
TCP: Object = {"tcpSocket": {"port": 1}}
_IN, _NEEDED = "IgnoredDuringExecution", "requiredDuringScheduling"


def pod(**container: Any) -> Object:
    """A pod's spec with one container."""
    return {"containers": [{**CONTAINER, **container}], "automountServiceAccountToken": False}


CASES: list[Case] = [
    case("p-ports", PODS, pod(ports=[
        {"containerPort": 0}, {"containerPort": 70000, "protocol": "X"},
        {"containerPort": 80, "name": "A_b"}])),
    case("p-env", PODS, pod(env=[
        {"name": ""}, {"name": "a=b"}, {"name": "A", "value": "x", "valueFrom": FIELD},
        {"name": "B", "valueFrom": {}}, {"name": "C", "valueFrom": {"fieldRef": {
            "fieldPath": "nope"}}},
        {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "x", "key": ""}}},
        {"name": "E", "valueFrom": {"secretKeyRef": {"name": "x", "key": "a b"}}}])),
    case("p-envfrom", PODS, pod(envFrom=[
        {}, {"configMapRef": {"name": ""}},
        {"configMapRef": {"name": "a"}, "secretRef": {"name": "b"}}])),
    case("p-mounts", PODS, pod(volumeMounts=[
        {"name": "none", "mountPath": "/a"}, {"name": "", "mountPath": ""},
        {"name": "v", "mountPath": "/a", "subPath": "../x"}])
        | {"volumes": [{"name": "v", "emptyDir": {}}]}),
    case("p-requests", PODS, pod(resources={
        "limits": {"cpu": "1"}, "requests": {"cpu": "2"}})),
    case("p-negative", PODS, pod(resources={"requests": {"memory": "-1"}})),
    case("p-strange", PODS, pod(resources={"requests": {"foo": "1"}})),
    case("p-fraction", PODS, pod(resources={"limits": {"example.com/x": "0.5"}})),
    case("p-probes", PODS, pod(
        livenessProbe={}, readinessProbe={"httpGet": {"port": 1}, "tcpSocket": {"port": 1}},
        startupProbe={"exec": {"command": []}, "successThreshold": 2})),
    case("p-words", PODS, pod(
        imagePullPolicy="X", terminationMessagePolicy="Y",
        securityContext={"runAsUser": -1, "procMount": "Z"})),
    case("p-names", PODS, {**pod(), "containers": [CONTAINER, CONTAINER],
                           "initContainers": [CONTAINER]}),
    case("p-inits", PODS, pod() | {"initContainers": [
        {**CONTAINER, "name": "i", "restartPolicy": "X"},
        {**CONTAINER, "name": "j", "livenessProbe": TCP}]}),
    case("p-lifecycle", PODS, pod(lifecycle={
        "preStop": {}, "postStart": {"exec": {"command": ["a"]}, "httpGet": {"port": 1}}})),
    case("p-devices", PODS, pod(volumeDevices=[{"name": "x", "devicePath": "y"}])),
    case("p-image", PODS, pod(image=" x")),
    case("p-tolerations", PODS, pod() | {"tolerations": [
        {"operator": "X"}, {"key": "a", "operator": "Exists", "value": "b"},
        {"effect": "Y", "key": "z", "operator": "Exists"}, {"operator": "Equal"}]}),
    case("p-affinity", PODS, pod() | {"affinity": {
        "nodeAffinity": {_NEEDED + _IN: {"nodeSelectorTerms": []}},
        "podAffinity": {_NEEDED + _IN: [{"topologyKey": ""}]}}}),
    case("p-spread", PODS, pod() | {"topologySpreadConstraints": [
        {"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "X"}]}),
    case("p-gates", PODS, pod() | {
        "hostAliases": [{"ip": "x", "hostnames": ["A_"]}],
        "readinessGates": [{"conditionType": "!"}]}),
    case("p-security", PODS, pod() | {"securityContext": {
        "runAsNonRoot": True, "sysctls": [{"name": "x!"}], "fsGroupChangePolicy": "X",
        "seccompProfile": {"type": "Y"}, "supplementalGroups": [-1]}}),
    case("s-name", SERVICES, {"type": "ExternalName", "externalName": "A_!"}),
    case("s-address", SERVICES, {"ports": [{**PORT, "targetPort": "A_"}], "clusterIP": "1.2.3.4"}),
    case("s-outside", SERVICES, {
        "ports": [{**PORT, "targetPort": "A_"}], "externalIPs": ["x", "127.0.0.1"]}),
    case("s-policy", SERVICES, {
        "ports": [PORT], "externalTrafficPolicy": "Local", "healthCheckNodePort": 5,
        "loadBalancerClass": "x"}),
    case("s-headless", SERVICES, {"ports": [PORT], "type": "NodePort", "clusterIP": "None"}),
    case("s-six", SERVICES, {"ports": [PORT], "ipFamilies": ["IPv6"]}),
    case("s-dual", SERVICES, {"ports": [PORT], "ipFamilyPolicy": "PreferDualStack"}),
    case("s-both", SERVICES, {"ports": [PORT], "ipFamilyPolicy": "RequireDualStack"}),
    case("s-client", SERVICES, {
        "ports": [PORT], "sessionAffinity": "ClientIP", "selector": {"a b": "c"},
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 100000}}}),
    case("s-traffic", SERVICES, {
        "ports": [{**PORT, "nodePort": 30555}], "internalTrafficPolicy": "Z"}),
    case("s-local", SERVICES, {
        "type": "LoadBalancer", "ports": [{**PORT, "nodePort": 30557}],
        "externalTrafficPolicy": "Local", "healthCheckNodePort": 30556,
        "loadBalancerClass": "example.com/x"}, {"spec": {"type": "NodePort"}},
        {"spec": {"externalTrafficPolicy": "Cluster"}}),
]  # fmt: skip
"""Every case; each has a name of its own."""
