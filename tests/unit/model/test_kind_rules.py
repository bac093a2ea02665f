"""Workloads, Services and the small kinds."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from cloudwright.model import pods, resources
from cloudwright.model.kinds import BUILT_IN, find
from tests.unit.model.kinds_kit import created, errors, pod, schema_errors

TEMPLATE = {"metadata": {"labels": {"app": "a"}}, **pod()}


def deployment(**spec: Any) -> dict[str, Any]:
    base = {"selector": {"matchLabels": {"app": "a"}}, "template": copy.deepcopy(TEMPLATE)}
    return {"spec": {**base, **spec}}


def test_every_built_in_kind_has_rules() -> None:
    assert set(BUILT_IN) == {(r.group, r.plural) for r in resources.BUILT_IN}
    assert all(find(r).resource is r for r in resources.BUILT_IN)


def test_deployment_defaults() -> None:
    made = created(resources.DEPLOYMENT, deployment())
    spec = made["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert spec["progressDeadlineSeconds"] == 600
    assert spec["revisionHistoryLimit"] == 10
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert "serviceAccountName" not in spec["template"]["spec"]
    assert schema_errors(resources.DEPLOYMENT, made) == []
    recreate = created(resources.DEPLOYMENT, deployment(strategy={"type": "Recreate"}))
    assert recreate["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1"),
        ({"selector": {}}, "empty selector is invalid"),
        ({"selector": {"matchLabels": {"app": "b"}}}, "`selector` does not match template"),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "X"}]}},
            "not a valid selector",
        ),
        ({"strategy": {"type": "Blue"}}, "spec.strategy.type: Unsupported value"),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
            "spec.strategy.rollingUpdate: Forbidden",
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            "may not be 0 when `maxSurge` is 0",
        ),
        ({"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}}, "must not be greater than"),
        ({"progressDeadlineSeconds": 5, "minReadySeconds": 5}, "must be greater than minReady"),
        (
            {"template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}}},
            "spec.template.spec.containers: Required value",
        ),
    ],
)
def test_wrong_deployments_are_refused(spec: dict[str, Any], expected: str) -> None:
    (found,) = errors(resources.DEPLOYMENT, deployment(**spec))
    assert expected in found


def test_without_a_selector_nothing_is_selected() -> None:
    found = errors(resources.DEPLOYMENT, deployment(selector=None))
    assert found[0] == "spec.selector: Required value"
    assert "`selector` does not match template `labels`" in found[1]


@pytest.mark.parametrize("resource", [resources.DEPLOYMENT, resources.REPLICA_SET])
def test_selectors_are_immutable(resource: resources.Resource) -> None:
    old = created(resource, deployment())
    new = copy.deepcopy(old)
    new["spec"]["selector"] = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}
    (found,) = errors(resource, new, old)
    assert found.startswith("spec.selector: Invalid value")
    assert found.endswith("field is immutable")


def test_templates_may_only_restart_always() -> None:
    template = copy.deepcopy(TEMPLATE)
    template["spec"]["restartPolicy"] = "Never"
    (found,) = errors(resources.REPLICA_SET, deployment(template=template))
    assert "spec.template.spec.restartPolicy: Unsupported value" in found


def test_service_defaults() -> None:
    made = created(resources.SERVICE, {"spec": {"ports": [{"port": 80}]}})
    assert made["spec"]["type"] == "ClusterIP"
    assert made["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert made["status"] == {"loadBalancer": {}}
    assert schema_errors(resources.SERVICE, made) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "spec.ports: Required value"),
        ({"ports": [{"port": 0, "targetPort": 1}]}, "spec.ports[0].port: Invalid value: 0"),
        ({"ports": [{"port": 1}, {"name": "b", "port": 2}]}, "spec.ports[0].name: Required"),
        (
            {"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]},
            "spec.ports[1].name: Duplicate value",
        ),
        (
            {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1}]},
            "spec.ports[1]: Duplicate value",
        ),
        ({"ports": [{"port": 1, "targetPort": "no_name"}]}, "spec.ports[0].targetPort: Invalid"),
        ({"ports": [{"port": 1}], "type": "Magic"}, "spec.type: Unsupported value"),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        ({"ports": [{"port": 1}], "selector": {"a": "/"}}, "spec.selector: Invalid value"),
    ],
)
def test_wrong_services_are_refused(spec: dict[str, Any], expected: str) -> None:
    found = errors(resources.SERVICE, {"spec": spec})
    assert len(found) == 1, found
    assert expected in found[0]


def test_secrets_turn_text_into_bytes() -> None:
    made = created(resources.SECRET, {"stringData": {"a": "ü"}, "data": {"b": "Yg=="}})
    assert made["data"] == {"a": base64.b64encode("ü".encode()).decode(), "b": "Yg=="}
    assert "stringData" not in made
    assert made["type"] == "Opaque"
    found = errors(resources.SECRET, {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}})
    assert found == ["data[tls.key]: Required value"]
    changed = {**copy.deepcopy(made), "type": "other"}
    assert errors(resources.SECRET, changed, made)[0].startswith("type: Invalid value")


@pytest.mark.parametrize(
    ("secret", "field"),
    [
        ({"type": "kubernetes.io/dockerconfigjson"}, "data[.dockerconfigjson]"),
        (
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "W10="}},
            "data[.dockerconfigjson]",
        ),
        ({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "eA=="}}, "data[.dockercfg]"),
        ({"type": "kubernetes.io/basic-auth"}, "data[username]"),
        (
            {"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}},
            "data[ssh-privatekey]",
        ),
        (
            {"type": "kubernetes.io/service-account-token"},
            "metadata.annotations[kubernetes.io/service-account.name]",
        ),
    ],
)
def test_secrets_of_a_type_hold_what_it_says(secret: dict[str, Any], field: str) -> None:
    found = errors(resources.SECRET, secret)
    assert found[0].startswith(field)
    assert "eA==" not in str(found), "contents are not shown"


def test_secrets_that_are_whole() -> None:
    docker = {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}
    assert errors(resources.SECRET, docker) == []
    basic = {"type": "kubernetes.io/basic-auth", "data": {"password": ""}}
    assert errors(resources.SECRET, basic) == []


def test_config_maps() -> None:
    assert errors(resources.CONFIG_MAP, {"data": {"a.toml": "x"}}) == []
    assert "data[a/b]: Invalid value" in errors(resources.CONFIG_MAP, {"data": {"a/b": ""}})[0]
    both = {"data": {"a": ""}, "binaryData": {"a": ""}}
    assert "duplicate of key present in binaryData" in errors(resources.CONFIG_MAP, both)[0]
    old = created(resources.CONFIG_MAP, {"data": {"a": "1"}, "immutable": True})
    new = {**copy.deepcopy(old), "data": {"a": "2"}}
    assert errors(resources.CONFIG_MAP, new, old) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    thawed = {k: v for k, v in old.items() if k != "immutable"}
    assert "immutable: Forbidden" in errors(resources.CONFIG_MAP, thawed, old)[0]


def test_nodes_tell_of_themselves() -> None:
    status = {"capacity": {"cpu": "2"}}
    assert created(resources.NODE, {"status": status})["status"] == status
    taint = {"spec": {"taints": [{"effect": "Nope"}]}}
    found = errors(resources.NODE, taint)
    assert [error.partition(":")[0] for error in found] == [
        "spec.taints[0].key",
        "spec.taints[0].effect",
    ]


def test_endpoints_have_real_addresses() -> None:
    slices = {"addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": []}
    assert "endpoints[0].addresses[0]" in errors(resources.ENDPOINT_SLICE, slices)[0]
    assert errors(resources.ENDPOINT_SLICE, {**slices, "endpoints": []}) == []
    subsets = {"subsets": [{"addresses": [{"ip": "x"}], "ports": [{"port": 1}]}]}
    assert errors(resources.ENDPOINTS, subsets)[0].startswith("subsets[0].addresses[0].ip")


def test_events_belong_to_the_namespace_of_their_object() -> None:
    event = {"involvedObject": {"namespace": "other"}}
    assert "does not match event.namespace" in errors(resources.EVENT, event)[0]
    assert errors(resources.EVENT, {"involvedObject": {"namespace": "default"}}) == []
    assert errors(resources.LEASE, {"spec": {"leaseDurationSeconds": 0}})


def test_pods_say_what_they_are() -> None:
    made = created(resources.POD, pod(resources={"requests": {"cpu": "100m"}}))
    made["spec"]["initContainers"] = [
        {"name": "init", "image": "i", "resources": {"requests": {"cpu": "1", "memory": "1Ki"}}}
    ]
    assert {k: str(v) for k, v in pods.total_requests(made).items()} == {
        "cpu": "1",
        "memory": "1024",
    }
    assert pods.quality_of_service(made) == "Burstable"
    assert pods.quality_of_service(pod()) == "BestEffort"
    exact = {"limits": {"cpu": "1", "memory": "1Gi"}}
    assert pods.quality_of_service(pod(resources=exact)) == "Guaranteed"
    assert pods.is_active(made)
    assert not pods.is_ready(made)
    made["status"] = {
        "phase": "Succeeded",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "app", "restartCount": 3}],
    }
    assert pods.is_ready(made)
    assert pods.is_terminal(made)
    assert not pods.is_active(made)
    assert (pods.container_status(made, "app") or {})["restartCount"] == 3
    assert (pods.container(made, "init") or {})["image"] == "i"
    assert pods.container(made, "none") is None


def test_a_template_hash_does_not_depend_on_itself() -> None:
    plain = pods.template_hash(TEMPLATE)
    labelled = copy.deepcopy(TEMPLATE)
    labelled["metadata"]["labels"][pods.HASH_LABEL] = plain
    assert pods.template_hash(labelled) == plain
    labelled["spec"]["containers"][0]["image"] = "app:2"
    assert pods.template_hash(labelled) != plain
