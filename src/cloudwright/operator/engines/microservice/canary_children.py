"""What a canary (or the green of blue and green) consists of: a second Deployment with a Service
and a ConfigMap of its own, ``NAME-canary``; and the shares of requests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import ceil
from typing import Any

from cloudwright.model.kinds.rollouts import CANARY_SUFFIX, strategy_of
from cloudwright.model.objects import Object, labels_of, name_of
from cloudwright.operator.engines.microservice import children as render
from cloudwright.operator.engines.microservice.world import CANARY, LABEL, Routing
from cloudwright.operator.engines.sync import restamped
from cloudwright.operator.engines.templates import copy

MOST_PER_STABLE = 4
"""Where requests follow the numbers of pods, a canary gets at most so many for each stable one
(80 per cent of the requests)."""


def canary_name(service: Mapping[str, Any]) -> str:
    """The name of the canary's children."""
    return f"{name_of(service)}{CANARY_SUFFIX}"


def replicas_at(spec: Mapping[str, Any], weight: int, replicas: int, routing: Routing) -> int:
    """How many canary pods a share of the requests needs, beside ``replicas`` stable ones."""
    if strategy_of(spec) == "BlueGreen":
        return replicas
    if routing == "none":
        # Requests follow the numbers of pods: w / 100 of all pods, but never a flood of them.
        weight = min(weight, 99)
        return min(max(1, ceil(replicas * weight / (100 - weight))), MOST_PER_STABLE * replicas)
    return max(1, ceil(replicas * weight / 100))


def deployment(service: Object, replicas: int, routing: Routing) -> Object:
    """The canary's Deployment: the new version, found by a label of its own."""
    template = render.pod_template(service)
    labels = {CANARY: name_of(service), **template["metadata"]["labels"]}
    if routing != "none":
        del labels[LABEL]
    template["metadata"]["labels"] = labels
    for volume in template["spec"].get("volumes") or []:
        if volume["name"] == "config":
            volume["configMap"]["name"] = canary_name(service)
    made = render.deployment(service, template, replicas)
    made["spec"]["selector"] = {"matchLabels": {CANARY: name_of(service)}}
    return _renamed(service, made)


def cluster_service(service: Object) -> Object:
    """The Service that only the canary's pods answer."""
    made = copy(render.cluster_service(service, None))
    made["spec"]["selector"] = {CANARY: name_of(service)}
    return _renamed(service, made)


def config_map(service: Object) -> Object:
    """The configuration of the new version."""
    return _renamed(service, render.config_map(service))


def _renamed(service: Object, made: Object) -> Object:
    made["metadata"]["name"] = canary_name(service)
    labels = {CANARY: name_of(service), **labels_of(made)}
    labels.pop(LABEL, None)
    made["metadata"]["labels"] = labels
    return restamped(made)


def backends(service: Object, weight: int) -> str:
    """The annotation that gives the canary ``weight`` per cent; empty for none."""
    if weight <= 0:
        return ""
    return json.dumps({name_of(service): 100 - weight, canary_name(service): weight})
