"""Defaults are filled in once: doing it again, or writing the same again, changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import resources
from cloudwright.model.kinds import BUILT_IN
from cloudwright.model.resources import Resource
from tests.unit.model.kinds_kit import created, errors, schema_errors


def some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any choice of these members."""
    return st.fixed_dictionaries({}, optional=members)


HTTP = some(path=st.just("/up"), scheme=st.just("HTTPS")).map(lambda http: {**http, "port": 80})
PROBE = st.one_of(
    st.fixed_dictionaries(
        {"httpGet": HTTP},
        optional={"periodSeconds": st.integers(0, 9), "timeoutSeconds": st.just(2)},
    ),
    st.just({"tcpSocket": {"port": 80}}),
    st.just({"grpc": {"port": 80}}),
    st.just({"exec": {"command": ["true"]}}),
)
AMOUNTS = st.just({"cpu": "500m", "memory": "64Mi"})
CONTAINER = st.fixed_dictionaries(
    {"name": st.just("app"), "image": st.sampled_from(["app", "app:1", "a/b@sha256:00"])},
    optional={
        "ports": st.just([{"containerPort": 80}]),
        "readinessProbe": PROBE,
        "livenessProbe": PROBE,
        "resources": some(limits=AMOUNTS, requests=AMOUNTS),
        "lifecycle": st.just({"preStop": {"httpGet": {"port": 80}}}),
        "env": st.just([{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]),
    },
)
VOLUMES = st.just(
    [
        {"name": "plain"},
        {"name": "file", "configMap": {"name": "c"}},
        {
            "name": "all",
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"path": "token"}},
                    {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "x"}}]}},
                ]
            },
        },
    ]
)
POD_SPEC = st.fixed_dictionaries(
    {"containers": st.lists(CONTAINER, min_size=1, max_size=1)},
    optional={
        "volumes": VOLUMES,
        "serviceAccountName": st.just("me"),
        "terminationGracePeriodSeconds": st.just(5),
    },
)
LABELS = {"app": "a"}
WORKLOAD = POD_SPEC.map(
    lambda spec: {
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": spec},
    }
)
SERVICE = st.fixed_dictionaries(
    {"ports": st.just([{"port": 80}])},
    optional={"type": st.just("NodePort"), "sessionAffinity": st.just("ClientIP")},
)
KINDS = [
    (resources.POD, POD_SPEC),
    (resources.DEPLOYMENT, WORKLOAD),
    (resources.REPLICA_SET, WORKLOAD),
    (resources.SERVICE, SERVICE),
    (resources.MICRO_SERVICE, some(replicas=st.just(2)).map(lambda s: {**s, "version": "1.0.0"})),
]


@pytest.mark.parametrize(("resource", "specs"), KINDS, ids=lambda value: getattr(value, "kind", ""))
@given(data=st.data())
def test_defaults_are_filled_in_once_and_are_fine(
    resource: Resource, specs: st.SearchStrategy[dict[str, Any]], data: st.DataObject
) -> None:
    sent = {"spec": copy.deepcopy(data.draw(specs))}
    once = created(resource, sent)
    assert created(resource, once) == once
    # A client that sends again what it sent first must not cause a new generation.
    again = {**copy.deepcopy(sent), "apiVersion": once["apiVersion"], "kind": once["kind"]}
    again["metadata"] = once["metadata"]
    BUILT_IN[resource.group, resource.plural].prepare_update(again, once)
    assert again["spec"] == once["spec"]
    assert errors(resource, sent) == []
    assert schema_errors(resource, once) == []


@given(spec=WORKLOAD)
def test_deployments_and_replica_sets_complete_templates_alike(spec: dict[str, Any]) -> None:
    deployment = created(resources.DEPLOYMENT, {"spec": spec})
    handed_down = {"spec": {**spec, "template": deployment["spec"]["template"]}}
    replica_set = created(resources.REPLICA_SET, handed_down)
    assert replica_set["spec"]["template"] == deployment["spec"]["template"]
    assert (
        created(resources.REPLICA_SET, {"spec": spec})["spec"]["template"]
        == (deployment["spec"]["template"])
    )


@given(spec=WORKLOAD)
def test_a_pod_of_a_completed_template_is_the_pod_of_the_plain_one(spec: dict[str, Any]) -> None:
    template = created(resources.REPLICA_SET, {"spec": spec})["spec"]["template"]
    plain = created(resources.POD, {"spec": spec["template"]["spec"]})
    assert created(resources.POD, {"spec": template["spec"]})["spec"] == plain["spec"]
