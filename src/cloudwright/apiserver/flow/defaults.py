"""The FlowSchemas and PriorityLevelConfigurations that every cluster has, as upstream's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudwright.model.objects import Object

_API = "flowcontrol.apiserver.k8s.io/v1"
_EVERYONE = ("system:unauthenticated", "system:authenticated")
_ALL = ["*"]
_URLS = {"verbs": _ALL, "nonResourceURLs": _ALL}


def _metadata(name: str) -> Object:
    return {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}}


def _level(name: str, shares: int, lendable: int, queues: int, hand: int) -> Object:
    response: Object = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
        response = {"type": "Queue", "queuing": queuing}
    limited = {
        "nominalConcurrencyShares": shares,
        "lendablePercent": lendable,
        "limitResponse": response,
    }
    spec = {"type": "Limited", "limited": limited}
    kind = "PriorityLevelConfiguration"
    return {"apiVersion": _API, "kind": kind, "metadata": _metadata(name), "spec": spec}


def _exempt() -> Object:
    level = _level("exempt", 0, 0, 0, 0)
    shares = {"nominalConcurrencyShares": 0, "lendablePercent": 0}
    level["spec"] = {"type": "Exempt", "exempt": shares}
    return level


def _rule(verbs: list[str], group: str, names: list[str], *, cluster: bool) -> Object:
    rule: Object = {"verbs": verbs, "apiGroups": [group], "resources": names, "namespaces": _ALL}
    return {**rule, "clusterScope": True} if cluster else rule


_EVERYTHING = [_rule(_ALL, "*", _ALL, cluster=True)]


def _schema(
    name: str,
    level: str,
    precedence: int,
    by: str,
    subjects: Sequence[Object],
    resources: Sequence[Object] = _EVERYTHING,
    urls: Sequence[Object] = (_URLS,),
) -> Object:
    rule: dict[str, Any] = {"subjects": list(subjects)}
    if resources:
        rule["resourceRules"] = list(resources)
    if urls:
        rule["nonResourceRules"] = list(urls)
    spec: Object = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [rule],
    }
    if by:
        spec["distinguisherMethod"] = {"type": by}
    return {"apiVersion": _API, "kind": "FlowSchema", "metadata": _metadata(name), "spec": spec}


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


_ACCOUNTS: list[Object] = [
    {"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}}
]
_MANAGER, _SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
_LEASES = "coordination.k8s.io"


def levels() -> list[Object]:
    """Every priority level."""
    return [
        _exempt(),
        _level("catch-all", 5, 0, 0, 0),
        _level("system", 30, 33, 64, 6),
        _level("node-high", 40, 25, 64, 6),
        _level("leader-election", 10, 0, 16, 4),
        _level("workload-high", 40, 50, 128, 6),
        _level("workload-low", 100, 90, 128, 6),
        _level("global-default", 20, 50, 128, 6),
    ]


def schemas() -> list[Object]:
    """Every flow schema."""
    elect = [_rule(["get", "create", "update"], _LEASES, ["leases"], cluster=False)]
    node = [
        _rule(_ALL, "", ["nodes", "nodes/status"], cluster=True),
        _rule(_ALL, _LEASES, ["leases"], cluster=False),
    ]
    probe = [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]
    electors = [*_users(_MANAGER, _SCHEDULER), *_ACCOUNTS]
    nodes, high, name, user = _groups("system:nodes"), "workload-high", "ByNamespace", "ByUser"
    accounts = _groups("system:serviceaccounts")
    return [
        _schema("exempt", "exempt", 1, "", _groups("system:masters")),
        _schema("probes", "exempt", 2, "", _groups(*_EVERYONE), (), probe),
        _schema("system-leader-election", "leader-election", 100, user, electors, elect, ()),
        _schema("system-node-high", "node-high", 400, user, nodes, node, ()),
        _schema("system-nodes", "system", 500, user, nodes),
        _schema("kube-controller-manager", high, 800, name, _users(_MANAGER)),
        _schema("kube-scheduler", high, 800, name, _users(_SCHEDULER)),
        _schema("kube-system-service-accounts", high, 900, name, _ACCOUNTS),
        _schema("service-accounts", "workload-low", 9000, user, accounts),
        _schema("global-default", "global-default", 9900, user, _groups(*_EVERYONE)),
        _schema("catch-all", "catch-all", 10_000, user, _groups(*_EVERYONE)),
    ]
