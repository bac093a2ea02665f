from __future__ import annotations

import copy
from typing import Any

import pytest

from cloudwright.model.resources import MICRO_SERVICE, ROUTE
from tests.unit.model.kinds_kit import created, errors, schema_errors

FULL: dict[str, Any] = {
    "version": "1.12.0-rc.1",
    "replicas": 3,
    "image": "payment",
    "ports": [{"name": "http", "port": 8080}, {"name": "grpc", "port": 9090, "protocol": "grpc"}],
    "env": [{"name": "MODE", "value": "fast"}],
    "config": {"app.toml": "a = 1"},
    "configPath": "/etc/app",
    "resources": {"limits": {"memory": "64Mi"}},
    "dependencies": [{"name": "inventory"}, {"name": "payment", "namespace": "other"}],
    "rollout": {"maxSurge": "25%", "maxUnavailable": 0, "autoRollback": False},
    "route": {"path": "/payment", "hosts": ["*.example.com"], "timeout": "1m30s"},
    "volumes": [{"name": "scratch", "mountPath": "/tmp", "emptyDir": {}}],
    "readinessProbePath": "/health/ready",
    "lifecyclePolicy": {
        "preStopHook": "scripts/pre-stop.sh",
        "postRolloutHook": "webhook://config-sync/changed",
    },
}


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "payment"}, "spec": {"version": "1.0.0", **spec}}


def test_a_full_one_is_fine_by_rules_and_schema() -> None:
    made = created(MICRO_SERVICE, service(**FULL))
    assert errors(MICRO_SERVICE, made) == []
    assert schema_errors(MICRO_SERVICE, made) == []


def test_the_smallest_one_gets_one_replica() -> None:
    assert created(MICRO_SERVICE, service())["spec"] == {"version": "1.0.0", "replicas": 1}
    assert created(MICRO_SERVICE, service(replicas=0))["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    "version", ["1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "latest", "",
                "1.2.3+build", "1.2.3 "]
)  # fmt: skip
def test_bad_versions_say_how_one_looks(version: str) -> None:
    (found,) = errors(MICRO_SERVICE, service(version=version))
    assert found.startswith(f'spec.version: Invalid value: "{version}": must be a semantic version')
    assert 'like "1.12.0"' in found


@pytest.mark.parametrize("version", ["0.0.0", "1.12.0", "10.20.30-alpha.1.x-y"])
def test_good_versions(version: str) -> None:
    assert errors(MICRO_SERVICE, service(version=version)) == []


@pytest.mark.parametrize(
    "hook", ["webhook://config-sync", "webhook://a/b/c", "https://example.com", "http://a:1/x?y=z"]
)
def test_good_hooks(hook: str) -> None:
    policy = {"preStopHook": hook, "postRolloutHook": hook}
    assert errors(MICRO_SERVICE, service(lifecyclePolicy=policy)) == []


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("webhook://", "must be webhook://NAME"),
        ("webhook://A_b", "must be webhook://NAME"),
        ("webhook://a?x", "must be webhook://NAME"),
        ("ftp://a", "must be webhook://NAME[/PATH], http://… or https://…"),
        ("http://", "must be webhook://NAME[/PATH], http://… or https://…"),
        ("../x.sh", "must not contain '..'"),
        ("a/../x.sh", "must not contain '..'"),
        ("/bin/sh", "relative to the image's working directory"),
        ("sh -c x", "must be one file"),
        ("", "must be one file"),
    ],
)
def test_bad_hooks_say_why(hook: str, expected: str) -> None:
    (found,) = errors(MICRO_SERVICE, service(lifecyclePolicy={"preStopHook": hook}))
    assert found.startswith(f'spec.lifecyclePolicy.preStopHook: Invalid value: "{hook}": ')
    assert expected in found


def test_a_file_can_be_the_hook_after_a_rollout() -> None:
    policy = {"postRolloutHook": "scripts/done.sh"}
    assert errors(MICRO_SERVICE, service(lifecyclePolicy=policy)) == []


STEPS = [{"weight": 10, "pause": "30s"}, {"weight": 50, "approval": True}]
CPU = {"requests": {"cpu": "100m"}}


@pytest.mark.parametrize(
    "spec",
    [
        {"rollout": {"steps": STEPS, "analysis": {"errorRate": 0.5, "latency": "250ms"}}},
        {"rollout": {"strategy": "BlueGreen", "bake": "2m", "paused": True}},
        {"autoscaling": {"maxReplicas": 5, "requestsPerSecond": 100}},
        {"autoscaling": {"minReplicas": 2, "maxReplicas": 2, "cpu": 70}, "resources": CPU},
    ],
)
def test_good_rollouts_and_sizes(spec: dict[str, Any]) -> None:
    assert errors(MICRO_SERVICE, service(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"rollout": {"strategy": "Canary"}}, "spec.rollout.steps: Required value"),
        (
            {"rollout": {"strategy": "BlueGreen", "steps": STEPS}},
            "spec.rollout.steps: Forbidden: only a Canary has steps, not a BlueGreen",
        ),
        (
            {"rollout": {"steps": [{"weight": 50}, {"weight": 10}]}},
            "spec.rollout.steps[1].weight: Invalid value: 10: must not be lower",
        ),
        (
            {"rollout": {"steps": [{"weight": 5, "pause": "soon"}]}},
            "spec.rollout.steps[0].pause: Invalid value",
        ),
        (
            {"rollout": {"strategy": "BlueGreen", "bake": "-1s"}},
            'spec.rollout.bake: Invalid value: "-1s": must not be negative',
        ),
        (
            {"autoscaling": {"minReplicas": 3, "maxReplicas": 2, "requestsPerSecond": 1}},
            "spec.autoscaling.maxReplicas: Invalid value: 2",
        ),
        ({"autoscaling": {"maxReplicas": 2}}, "spec.autoscaling: Required value"),
        (
            {"autoscaling": {"maxReplicas": 2, "requestsPerSecond": 0}},
            "spec.autoscaling.requestsPerSecond: Invalid value: 0",
        ),
        (
            {"autoscaling": {"maxReplicas": 2, "cpu": 50}},
            "spec.autoscaling.cpu: Invalid value: 50: spec.resources.requests.cpu",
        ),
    ],
)
def test_bad_rollouts_and_sizes_say_why(spec: dict[str, Any], expected: str) -> None:
    found = errors(MICRO_SERVICE, service(**spec))
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_a_canary_needs_room_for_its_name() -> None:
    long = service(rollout={"steps": STEPS})
    long["metadata"]["name"] = "n" * 57
    (found,) = errors(MICRO_SERVICE, long)
    assert found.startswith("metadata.name: Invalid value")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"version": None}, "spec.version: Required value"),
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"image": "a b"}, "spec.image: Invalid value"),
        ({"readinessProbePath": "x"}, 'spec.readinessProbePath: Invalid value: "x": must start'),
        ({"ports": [{"name": "a", "port": 0}]}, "spec.ports[0].port: Invalid value: 0"),
        ({"ports": [{"name": "a", "port": 15006}]}, "spec.ports[0].port: Forbidden: 15006 is res"),
        (
            {"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]},
            'spec.ports[1].name: Duplicate value: "a"',
        ),
        (
            {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1}]},
            "spec.ports[1].port: Duplicate value: 1",
        ),
        ({"env": [{"name": "a=b"}]}, "spec.env[0].name: Invalid value"),
        ({"config": {"a/b": ""}}, "spec.config[a/b]: Invalid value"),
        ({"configPath": "etc"}, "spec.configPath: Invalid value"),
        ({"configPath": "/"}, "must not be the root directory"),
        ({"resources": {"limits": {"cpu": "-1"}}}, "spec.resources.limits[cpu]: Invalid value"),
        ({"securityContext": {"runAsUser": 1337}}, "reserved for the sidecar"),
        ({"dependencies": [{"name": "payment"}]}, "a MicroService cannot depend on itself"),
        ({"dependencies": [{"name": "a"}, {"name": "a"}]}, "spec.dependencies[1].name: Duplicate"),
        ({"rollout": {"maxSurge": 0}}, "spec.rollout.maxUnavailable: Invalid value: 0: may not"),
        ({"rollout": {"maxSurge": "x%"}}, "a valid percent string must be"),
        ({"rollout": {"progressDeadlineSeconds": 0}}, "must be greater than 0"),
        ({"route": {"path": "x"}}, "spec.route.path: Invalid value"),
        ({"route": {"path": "/a/../b"}}, "spec.route.path: Invalid value"),
        ({"route": {"hosts": ["A"]}}, "spec.route.hosts[0]: Invalid value"),
        ({"route": {"timeout": "soon"}}, "spec.route.timeout: Invalid value"),
        ({"route": {"retries": {"perTryTimeout": "-1s"}}}, "spec.route.retries.perTryTimeout"),
        ({"volumes": [{"name": "config", "mountPath": "/a"}]}, 'the name "config" belongs to'),
        ({"volumes": [{"name": "a", "mountPath": "a"}]}, "spec.volumes[0].mountPath: Invalid"),
        (
            {"volumes": [{"name": "a", "mountPath": "/a", "emptyDir": {}, "secret": {}}]},
            "may have one source, not emptyDir, secret",
        ),
    ],
)
def test_wrong_fields_are_named(spec: dict[str, Any], expected: str) -> None:
    given = service(**spec)
    if given["spec"]["version"] is None:
        del given["spec"]["version"]
    (found,) = errors(MICRO_SERVICE, given)
    assert expected in found


def test_every_error_is_told_at_once() -> None:
    found = errors(MICRO_SERVICE, service(version="x", replicas=-1, route={"path": "y"}))
    assert [error.partition(":")[0] for error in found] == [
        "spec.version",
        "spec.replicas",
        "spec.route.path",
    ]


def test_an_update_is_checked_like_a_new_one() -> None:
    old = created(MICRO_SERVICE, service())
    new = copy.deepcopy(old)
    new["spec"]["version"] = "nonsense"
    assert "semantic version" in errors(MICRO_SERVICE, new, old)[0]


def test_the_name_becomes_a_service_so_it_must_be_fit_for_one() -> None:
    given = {**service(), "metadata": {"name": "1pay"}}
    assert "DNS-1035 label" in errors(MICRO_SERVICE, given)[0]


def test_routes() -> None:
    assert errors(ROUTE, {"spec": {"service": "a", "pathPrefix": "/a", "hosts": ["*"]}}) == []
    assert "spec.service: Required value" in errors(ROUTE, {"spec": {}})
    bad = {"service": "a", "pathPrefix": "a?b", "timeout": "1"}
    found = errors(ROUTE, {"spec": bad})
    assert [error.partition(":")[0] for error in found] == ["spec.pathPrefix", "spec.timeout"]
