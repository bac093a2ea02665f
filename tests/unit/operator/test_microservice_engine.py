"""Children, causes and single decisions of a MicroService."""

from __future__ import annotations

from typing import Any

import pytest

from cloudwright.model.conditions import find
from cloudwright.model.kinds.microservice import problems
from cloudwright.operator.engines.actions import Update
from cloudwright.operator.engines.causes import first_cause
from cloudwright.operator.engines.microservice import children
from cloudwright.operator.engines.microservice.decide import decide
from cloudwright.operator.engines.microservice.rollout import circle
from cloudwright.operator.engines.microservice.world import FINALIZER, World
from cloudwright.operator.engines.sync import Clash, bring, stamped
from tests.unit.operator.builders import NOW, pod, stamp


def service(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {
            "name": "pay",
            "namespace": "default",
            "uid": "ms",
            "generation": 1,
            "finalizers": [FINALIZER],
        },
        "spec": {"version": "1.2.0", **spec},
    }


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (None, "pay:1.2.0"),
        ("shop/pay", "shop/pay:1.2.0"),
        ("localhost:5000/pay", "localhost:5000/pay:1.2.0"),
        ("pay:fixed", "pay:fixed"),
        ("pay@sha256:abc", "pay@sha256:abc"),
    ],
)
def test_an_image_without_tag_gets_the_version(image: str | None, expected: str) -> None:
    assert children.image_of(service(**({"image": image} if image else {}))) == expected


def test_the_template_holds_nothing_of_the_configuration() -> None:
    one = children.pod_template(service(config={"a": "1"}))
    other = children.pod_template(service(config={"a": "2", "b": "3"}))
    assert one == other
    assert one["spec"]["volumes"] == [{"name": "config", "configMap": {"name": "pay"}}]
    mount = one["spec"]["containers"][0]["volumeMounts"][0]
    assert mount == {"name": "config", "mountPath": "/etc/config", "readOnly": True}


def test_environment_says_who_it_is_and_yields_to_the_user() -> None:
    container = children.pod_template(service(env=[{"name": "PORT", "value": "1"}]))["spec"][
        "containers"
    ][0]
    found = {e["name"]: e["value"] for e in container["env"]}
    assert found == {"SERVICE_NAME": "pay", "SERVICE_VERSION": "1.2.0", "PORT": "1"}


def test_a_pre_stop_hook_is_a_file_or_a_url() -> None:
    policy = {"preStopHook": "webhook://drain"}
    template = children.pod_template(service(lifecyclePolicy=policy))
    annotations = template["metadata"]["annotations"]
    assert annotations == {"cloudwright.dev/pre-stop-webhook": "webhook://drain"}
    assert "lifecycle" not in template["spec"]["containers"][0]
    policy = {"preStopHook": "scripts/x.sh"}
    container = children.pod_template(service(lifecyclePolicy=policy))["spec"]["containers"][0]
    assert container["lifecycle"] == {"preStop": {"exec": {"command": ["scripts/x.sh"]}}}
    policy = {"preStopHook": "x.sh"}
    container = children.pod_template(service(lifecyclePolicy=policy))["spec"]["containers"][0]
    assert container["lifecycle"] == {"preStop": {"exec": {"command": ["./x.sh"]}}}


def test_the_service_has_port_80_and_each_port_by_name() -> None:
    ports = [{"name": "http", "port": 8080}, {"name": "rpc", "port": 9090, "protocol": "grpc"}]
    found = children.cluster_service(service(ports=ports))["spec"]["ports"]
    assert [(p["port"], p["targetPort"], p["appProtocol"]) for p in found] == [
        (80, "http", "http"),
        (8080, "http", "http"),
        (9090, "rpc", "kubernetes.io/h2c"),
    ]
    assert len({p["name"] for p in found}) == 3


def test_a_route_takes_what_the_user_says_and_may_be_off() -> None:
    wish = {"path": "/p", "host": "shop.example", "timeout": "2s", "stripPrefix": False}
    found = children.route(service(route=wish))
    assert found is not None
    assert found["spec"] == {
        "hosts": ["shop.example"],
        "pathPrefix": "/p",
        "stripPrefix": False,
        "service": "pay",
        "port": 80,
        "timeout": "2s",
    }
    assert children.url_of(service(route=wish)) == "shop.example/p"
    assert children.route(service(route={"disabled": True})) is None
    assert children.url_of(service()) == "/pay"


def test_no_new_version_takes_capacity_by_default() -> None:
    wish = children.deployment(service(), children.pod_template(service()), 3)
    assert wish["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert wish["spec"]["progressDeadlineSeconds"] == 60


def test_nothing_is_made_before_the_finalizer_stands() -> None:
    fresh = service()
    fresh["metadata"]["finalizers"] = []
    decision = decide(World(fresh, NOW))
    (action,) = decision.plan.actions
    assert isinstance(action, Update)
    assert action.obj["metadata"]["finalizers"] == [FINALIZER]


def test_wrong_input_is_named_by_field_once_and_makes_nothing() -> None:
    bad = service(replicas=-1, ports=[{"name": "http", "port": 99999}])
    texts = problems(bad)
    assert any(text.startswith("spec.replicas") for text in texts)
    assert any(text.startswith("spec.ports[0].port") for text in texts)
    decision = decide(World(bad, NOW, problems=texts))
    assert decision.plan.actions == ()
    assert decision.plan.status is not None
    entry = find(decision.plan.status["conditions"], "Valid") or {}
    assert entry["status"] == "False"
    assert "spec.replicas" in entry["message"]
    assert [n.reason for n in decision.plan.notes] == ["Invalid"]
    again = {**bad, "status": decision.plan.status}
    assert decide(World(again, NOW, problems=texts)).plan.notes == ()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"lifecyclePolicy": {"postRolloutHook": "/x.sh"}}, "postRolloutHook: Invalid"),
        ({"lifecyclePolicy": {"preStopHook": "ftp://x"}}, "preStopHook: Invalid"),
        ({"dependencies": [{"name": "pay"}]}, "spec.dependencies[0].name: Invalid"),
        ({"rollout": {"maxSurge": 0, "maxUnavailable": 0}}, "maxUnavailable: Invalid"),
        (
            {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1}]},
            "spec.ports[1].port: Duplicate",
        ),
        ({"replica": 3}, "spec.replica: Unknown"),
    ],
)
def test_what_a_schema_cannot_say_is_checked_too(spec: dict[str, Any], path: str) -> None:
    (text,) = problems(service(**spec))
    assert path in text


def test_a_good_spec_has_no_problems() -> None:
    policy = {"preStopHook": "scripts/x.sh", "postRolloutHook": "webhook://sync/now"}
    good = service(lifecyclePolicy=policy, dependencies=[{"name": "pay", "namespace": "other"}])
    assert problems(good) == []


def test_build_metadata_fits_into_tags_and_labels() -> None:
    one = service()
    one["spec"]["version"] = "1.2.0+build.7"
    assert children.image_of(one) == "pay:1.2.0_build.7"
    template = children.pod_template(one)
    assert template["metadata"]["labels"]["app.kubernetes.io/version"] == "1.2.0_build.7"


def test_a_circle_of_dependencies_is_named() -> None:
    needs = {"a": ["b", "d"], "b": ["c"], "c": ["a"], "d": []}
    assert circle("a", needs) == ["a", "b", "c", "a"]
    assert circle("d", needs) == []
    waits = World(
        service(dependencies=[{"name": "b"}]),
        NOW,
        dependencies={"default/b": None},
        circle=["default/pay", "default/b", "default/pay"],
    )
    status = decide(waits).plan.status or {}
    entry = find(status["conditions"], "DependenciesReady") or {}
    assert "they wait for each other: default/pay → default/b → default/pay" in entry["message"]


def test_a_child_of_somebody_else_is_a_clash() -> None:
    wish = children.config_map(service(config={}))
    from cloudwright.model.resources import CONFIG_MAP

    foreign = {"kind": "ConfigMap", "metadata": {"name": "pay", "namespace": "default"}}
    with pytest.raises(Clash, match="ConfigMap pay exists and is not managed"):
        bring(CONFIG_MAP, service(), wish, foreign)


def test_a_field_that_is_wished_no_more_is_taken_away() -> None:
    from cloudwright.model.resources import CONFIG_MAP

    before = children.config_map(service(config={"a": "1", "b": "2"}))
    after = children.config_map(service(config={"a": "1"}))
    assert bring(CONFIG_MAP, service(), before, before) is None
    action = bring(CONFIG_MAP, service(), after, before)
    assert isinstance(action, Update)
    assert action.obj["data"] == {"a": "1"}


def test_a_service_keeps_the_address_the_server_gave_it() -> None:
    from cloudwright.model.resources import SERVICE

    actual = children.cluster_service(service())
    actual["spec"]["clusterIP"] = "10.96.0.7"
    wish = stamped(children.cluster_service(service(ports=[{"name": "web", "port": 81}])))
    action = bring(SERVICE, service(), wish, actual)
    assert isinstance(action, Update)
    assert action.obj["spec"]["clusterIP"] == "10.96.0.7"


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "app", "image": "pay:9", "state": state}


def unready(**status: Any) -> dict[str, Any]:
    found = pod("x", ready=False)
    found["status"].update(status)
    return found


@pytest.mark.parametrize(
    ("one", "cause"),
    [
        (
            unready(
                conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes …"}]
            ),
            "pod x: not scheduled: 0/1 nodes …",
        ),
        (unready(containerStatuses=[waiting("ErrImagePull")]), "pod x: image pay:9 not found"),
        (
            unready(containerStatuses=[waiting("CreateContainerError", "no such file")]),
            "pod x: CreateContainerError: no such file",
        ),
        (unready(containerStatuses=[waiting("ContainerCreating")]), ""),
        (
            unready(
                containerStatuses=[
                    {
                        **waiting("CrashLoopBackOff", "back-off"),
                        "restartCount": 2,
                        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    }
                ]
            ),
            "pod x: container app exited with code 137 (OOMKilled) after 2 restarts",
        ),
        (unready(phase="Failed", reason="Evicted"), "pod x: failed: Evicted"),
    ],
)
def test_the_first_cause_is_one_sentence(one: dict[str, Any], cause: str) -> None:
    assert first_cause([pod("good"), one]) == cause


def test_a_probe_that_fails_is_named_by_its_event() -> None:
    event = {
        "reason": "Unhealthy",
        "message": "Readiness probe failed: HTTP 503",
        "lastTimestamp": stamp(),
        "involvedObject": {"uid": "uid-x"},
    }
    old = {**event, "message": "Readiness probe failed: refused", "lastTimestamp": stamp(-60)}
    assert first_cause([unready()], None, [event, old]) == (
        "pod x: readiness probe failed: HTTP 503"
    )


def test_pods_that_cannot_be_made_are_the_first_cause() -> None:
    failing = {
        "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]}
    }
    assert first_cause([], failing) == "pods cannot be created: quota"
