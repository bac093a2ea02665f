"""What the operator would refuse to roll out, the API server refuses to take in."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cloudwright.model import schemas
from cloudwright.model.kinds import BUILT_IN
from cloudwright.model.kinds.microservice import problems
from cloudwright.model.resources import MICRO_SERVICE

RULES = BUILT_IN[MICRO_SERVICE.group, MICRO_SERVICE.plural]


def service(name: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": MICRO_SERVICE.api_version,
        "kind": MICRO_SERVICE.kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"version": "1.0.0", **spec},
    }


def refused_at(given: dict[str, Any]) -> set[str]:
    """The fields for which the API server refuses it."""
    schema = schemas.schema_for(MICRO_SERVICE)
    assert schema is not None
    found = schemas.validate(schema, given) or RULES.validate(copy.deepcopy(given), None)
    return {error.path for error in found}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (service("1shop"), "metadata.name"),
        (service(lifecyclePolicy={"preStopHook": "ftp://x"}), "spec.lifecyclePolicy.preStopHook"),
        (service(lifecyclePolicy={"preStopHook": "http://"}), "spec.lifecyclePolicy.preStopHook"),
        (
            service(lifecyclePolicy={"postRolloutHook": "/done.sh"}),
            "spec.lifecyclePolicy.postRolloutHook",
        ),
        (
            service(ports=[{"name": "a", "port": 1}, {"name": "b", "port": 1}]),
            "spec.ports[1].port",
        ),
        (service(dependencies=[{"name": "shop"}]), "spec.dependencies[0].name"),
        (
            service(dependencies=[{"name": "shop", "namespace": "default"}]),
            "spec.dependencies[0].name",
        ),
        (service(rollout={"maxSurge": 0}), "spec.rollout.maxUnavailable"),
        (service(rollout={"maxSurge": "0%"}), "spec.rollout.maxUnavailable"),
        (service(rollout={"maxSurge": "00%"}), "spec.rollout.maxUnavailable"),
        (service(readinessProbePath="ready"), "spec.readinessProbePath"),
        (service(replicas=-1), "spec.replicas"),
        (service(route={"retries": {"on": ["5xx"]}}), "spec.route.retries.on[0]"),
        (service(resources={"limits": {"cpu": "lots"}}), "spec.resources.limits[cpu]"),
    ],
)
def test_admission_refuses_it_at_the_same_field(given: dict[str, Any], path: str) -> None:
    assert path in refused_at(given)
    for text in problems(given):
        assert text.partition(": ")[0].replace(".limits.cpu", ".limits[cpu]") in refused_at(given)


def test_what_admission_takes_in_the_operator_rolls_out() -> None:
    good = service(
        ports=[{"name": "http", "port": 80}],
        lifecyclePolicy={"preStopHook": "bin/drain", "postRolloutHook": "webhook://audit/done"},
        dependencies=[{"name": "shop", "namespace": "other"}],
        rollout={"maxSurge": "25%"},
        readinessProbePath="/ready",
    )
    assert refused_at(good) == set()
    assert problems(good) == []
