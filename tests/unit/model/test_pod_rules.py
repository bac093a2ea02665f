from __future__ import annotations

import copy
from typing import Any

import pytest

from cloudwright.model.resources import POD
from tests.unit.model.kinds_kit import created, errors, pod, schema_errors


def test_defaults_are_upstreams() -> None:
    given = pod(
        ports=[{"containerPort": 80}],
        readinessProbe={"httpGet": {"port": 80}},
        resources={"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
    )
    given["spec"]["volumes"] = [{"name": "v"}, {"name": "c", "configMap": {"name": "c"}}]
    made = created(POD, given)
    spec, container = made["spec"], made["spec"]["containers"][0]
    assert spec["restartPolicy"] == "Always"
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert "serviceAccountName" not in spec  # an admission plug-in's business
    assert spec["volumes"] == [
        {"name": "v", "emptyDir": {}},
        {"name": "c", "configMap": {"name": "c", "defaultMode": 420}},
    ]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert made["status"] == {"phase": "Pending", "qosClass": "Burstable"}
    assert schema_errors(POD, made) == []


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("app", "Always"),
        ("app:latest", "Always"),
        ("reg:5000/app", "Always"),
        ("app:1", "IfNotPresent"),
        ("app@sha256:00", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    made = created(POD, pod(image=image))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_creator_cannot_set_the_status() -> None:
    assert created(POD, {**pod(), "status": {"phase": "Running"}})["status"]["phase"] == "Pending"


def test_defaults_do_not_change_twice() -> None:
    once = created(POD, pod(livenessProbe={"tcpSocket": {"port": 1}}))
    assert created(POD, once) == once


HTTP = {"httpGet": {"port": 80}}
HERE = "spec.containers[0]"


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"name": ""}, f"{HERE}.name: Required value"),
        ({"name": "A"}, f'{HERE}.name: Invalid value: "A": a lowercase RFC 1123 label'),
        ({"image": ""}, f"{HERE}.image: Required value"),
        ({"image": " a"}, f"{HERE}.image: Invalid value"),
        ({"imagePullPolicy": "Never!"}, f"{HERE}.imagePullPolicy: Unsupported value"),
        ({"ports": [{"containerPort": 70000}]}, "must be between 1 and 65535, inclusive"),
        ({"ports": [{"containerPort": 1}, {"containerPort": 1}]}, f"{HERE}.ports[1]: Duplicate"),
        (
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            f'{HERE}.ports[1].name: Duplicate value: "a"',
        ),
        ({"ports": [{"containerPort": 1, "hostPort": 1}]}, f"{HERE}.ports[0].hostPort: Forbidden"),
        ({"ports": [{"containerPort": 1, "protocol": "X"}]}, f"{HERE}.ports[0].protocol: Unsupp"),
        ({"env": [{"name": "A="}]}, f"{HERE}.env[0].name: Invalid value"),
        ({"env": [{"name": "A", "valueFrom": {"x": 1}}]}, "must specify one of: `fieldRef`"),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c"}}}]},
            f"{HERE}.env[0].valueFrom.configMapKeyRef.key: Required value",
        ),
        ({"envFrom": [{}]}, f"{HERE}.envFrom: Invalid value"),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            f'{HERE}.volumeMounts[0].name: Not found: "v"',
        ),
        ({"readinessProbe": {}}, f"{HERE}.readinessProbe: Required value"),
        (
            {"readinessProbe": {**HTTP, "tcpSocket": {"port": 1}}},
            f"{HERE}.readinessProbe.tcpSocket: Forbidden",
        ),
        ({"livenessProbe": {**HTTP, "periodSeconds": -1}}, "livenessProbe.periodSeconds: Invalid"),
        ({"livenessProbe": {**HTTP, "successThreshold": 2}}, "successThreshold: Invalid value: 2"),
        (
            {"readinessProbe": {"httpGet": {"port": "web"}}},
            f'{HERE}.readinessProbe.httpGet.port: Invalid value: "web": the container has no port',
        ),
        ({"lifecycle": {"preStop": {}}}, f"{HERE}.lifecycle.preStop: Required value"),
        ({"lifecycle": {"preStop": {"exec": {"x": 1}}}}, "preStop.exec.command: Required value"),
        ({"resources": {"requests": {"cpu": "lots"}}}, f"{HERE}.resources.requests[cpu]: Inv"),
        (
            {"resources": {"limits": {"memory": "1Mi"}, "requests": {"memory": "1Gi"}}},
            'requests: Invalid value: "1Gi": must be less than or equal to memory limit of 1Mi',
        ),
        ({"securityContext": {"privileged": True}}, f"{HERE}.securityContext.privileged: Forb"),
        ({"securityContext": {"runAsUser": 1337}}, "1337 is reserved for the sidecar"),
        ({"securityContext": {"runAsUser": 0, "runAsNonRoot": True}}, "must not be 0"),
    ],
)
def test_wrong_containers_are_refused(container: dict[str, Any], expected: str) -> None:
    found = errors(POD, pod(**container))
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"hostNetwork": True}, "spec.hostNetwork: Forbidden"),
        ({"hostPID": True}, "spec.hostPID: Forbidden"),
        ({"restartPolicy": "Sometimes"}, 'supported values: "Always", "OnFailure", "Never"'),
        ({"activeDeadlineSeconds": 0}, "must be between 1 and 2147483647, inclusive"),
        ({"securityContext": {"runAsUser": 1337}}, "spec.securityContext.runAsUser: Forbidden"),
        ({"volumes": [{"name": "a"}, {"name": "a"}]}, 'spec.volumes[1].name: Duplicate value: "a"'),
        (
            {"volumes": [{"name": "a", "emptyDir": {}, "secret": {"secretName": "s"}}]},
            "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
        ),
        ({"volumes": [{"name": "a", "configMap": {}}]}, "volumes[0].configMap.name: Required"),
        ({"hostname": "a.b"}, "spec.hostname: Invalid value"),
        ({"initContainers": [{"name": "app", "image": "i"}]}, 'Duplicate value: "app"'),
    ],
)
def test_wrong_specs_are_refused(spec: dict[str, Any], expected: str) -> None:
    given = pod()
    given["spec"].update(spec)
    found = errors(POD, given)
    assert len(found) == 1, found
    assert expected in found[0]


def test_a_bad_name_is_refused_at_birth() -> None:
    assert "metadata.name: Invalid value" in errors(POD, {**pod(), "metadata": {"name": "A_b"}})[0]


@pytest.mark.parametrize(
    "change",
    [
        {"nodeName": "n1"},
        {"activeDeadlineSeconds": 5},
        {"tolerations": [{"key": "a"}, {"key": "b"}]},
        {"schedulingGates": []},
        {"containers": [{"name": "app", "image": "app:2"}]},
    ],
)
def test_what_may_change_in_a_pod(change: dict[str, Any]) -> None:
    given = pod()
    given["spec"].update(tolerations=[{"key": "a"}], schedulingGates=[{"name": "g"}])
    old = created(POD, given)
    new = copy.deepcopy(old)
    new["spec"].update(change)
    assert errors(POD, new, old) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"nodeName": "n2"}, "pod updates may not change fields"),
        ({"restartPolicy": "Never"}, "pod updates may not change fields"),
        ({"containers": [{"name": "b", "image": "i"}]}, "pod updates may not change fields"),
        ({"containers": [{"name": "app", "image": ""}]}, "image: Required value"),
        ({"tolerations": []}, "existing toleration can not be modified"),
        ({"schedulingGates": [{"name": "g"}]}, "found new scheduling gate"),
    ],
)
def test_what_may_not_change_in_a_pod(change: dict[str, Any], expected: str) -> None:
    given = pod()
    given["spec"].update(tolerations=[{"key": "a"}], nodeName="n1")
    old = created(POD, given)
    new = copy.deepcopy(old)
    new["spec"].update(change)
    assert expected in errors(POD, new, old)[0]


def test_an_old_pod_without_todays_defaults_can_be_labelled_and_written() -> None:
    old = {"metadata": {"name": "x", "namespace": "default"}, **pod()}
    new = copy.deepcopy(old)
    new["metadata"]["labels"] = {"a": "b"}
    assert errors(POD, new, copy.deepcopy(old)) == []


def test_an_object_older_than_a_rule_can_lose_its_finalizer() -> None:
    old = created(POD, pod(securityContext={"privileged": True}))
    new = copy.deepcopy(old)
    new["metadata"]["finalizers"] = []
    new["status"] = {"phase": "Failed"}
    assert errors(POD, new, old) == []
