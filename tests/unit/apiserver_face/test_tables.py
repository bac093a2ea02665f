from datetime import UTC, datetime

import pytest

from cloudwright.apiserver import jsonpath
from cloudwright.apiserver.tables import table
from cloudwright.model import resources as r

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)
META = {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}


def row(resource, obj, columns=None):
    found = table(resource, columns, [{"metadata": META, **obj}], {"resourceVersion": "5"}, NOW)
    names = [c["name"] for c in found["columnDefinitions"]]
    cells = found["rows"][0]["cells"]
    assert len(names) == len(cells)
    return dict(zip(names, cells, strict=True))


def test_shape():
    found = table(r.NAMESPACE, None, [], {"resourceVersion": "5"}, NOW)
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert found["metadata"] == {"resourceVersion": "5"}
    assert found["columnDefinitions"][0]["format"] == "name"


@pytest.mark.parametrize("resource", r.BUILT_IN, ids=lambda x: x.kind + x.group)
def test_an_empty_object_of_every_kind_can_be_shown(resource):
    assert row(resource, {})


def container(state, *, ready=False, restarts=0, last=None):
    status = {"name": "app", "ready": ready, "restartCount": restarts, "state": state}
    return status | ({"lastState": last} if last else {})


@pytest.mark.parametrize(
    ("meta", "status", "ready", "shown", "restarts"),
    [
        ({}, {"phase": "Pending"}, "0/1", "Pending", "0"),
        (
            {},
            {"phase": "Running", "containerStatuses": [container({"running": {}}, ready=True)]},
            "1/1", "Running", "0",
        ),
        (
            {},
            {"phase": "Running", "containerStatuses": [
                container({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=3,
                          last={"terminated": {"finishedAt": "2026-01-01T00:50:00Z"}})]},
            "0/1", "CrashLoopBackOff", "3 (10m ago)",
        ),
        (
            {},
            {"phase": "Failed", "containerStatuses": [container({"terminated": {"exitCode": 2}})]},
            "0/1", "ExitCode:2", "0",
        ),
        (
            {},
            {"phase": "Failed", "containerStatuses": [
                container({"terminated": {"reason": "OOMKilled", "exitCode": 137}})]},
            "0/1", "OOMKilled", "0",
        ),
        (
            {"deletionTimestamp": "2026-01-01T00:59:00Z"},
            {"phase": "Running", "containerStatuses": [container({"running": {}}, ready=True)]},
            "1/1", "Terminating", "0",
        ),
        ({}, {"phase": "Failed", "reason": "Evicted"}, "0/1", "Evicted", "0"),
        (
            {},
            {"phase": "Pending", "initContainerStatuses": [
                {"name": "i", "restartCount": 0, "state": {"running": {}}}]},
            "0/1", "Init:0/1", "0",
        ),
    ],
)  # fmt: skip
def test_pod_states(meta, status, ready, shown, restarts):
    spec = {"containers": [{"name": "app"}]}
    if "initContainerStatuses" in status:
        spec["initContainers"] = [{"name": "i"}]
    found = row(r.POD, {"metadata": {**META, **meta}, "spec": spec, "status": status})
    assert (found["Ready"], found["Status"], found["Restarts"]) == (ready, shown, restarts)
    assert found["Age"] == "60m"


def test_service_ports_and_addresses():
    spec = {
        "type": "LoadBalancer",
        "clusterIP": "10.96.0.9",
        "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}],
        "selector": {"b": "2", "a": "1"},
    }
    found = row(r.SERVICE, {"spec": spec})
    assert found["External-IP"] == "<pending>"
    assert found["Port(s)"] == "80:30080/TCP,53/UDP"
    assert found["Selector"] == "a=1,b=2"


def test_node_roles_and_scheduling():
    meta = {**META, "labels": {"node-role.kubernetes.io/control-plane": ""}}
    status = {"conditions": [{"type": "Ready", "status": "False"}]}
    found = row(r.NODE, {"metadata": meta, "spec": {"unschedulable": True}, "status": status})
    assert found["Status"] == "NotReady,SchedulingDisabled"
    assert found["Roles"] == "control-plane"


def test_both_events_show_the_same():
    about, last = {"kind": "Pod", "name": "p"}, "2026-01-01T00:59:00Z"
    both = {"type": "Warning", "reason": "Failed"}
    old = {**both, "involvedObject": about, "message": "no\n", "count": 4, "lastTimestamp": last}
    series = {"count": 4, "lastObservedTime": last}
    core = row(r.EVENT, old)
    new = row(r.EVENT_V1, {**both, "regarding": about, "note": "no\n", "series": series})
    for found in (core, new):
        assert found["Last Seen"] == "60s"
        assert (found["Object"], found["Message"], found["Count"]) == ("pod/p", "no", 4)


def test_microservice_says_what_it_does():
    found = row(r.MICRO_SERVICE, {
        "spec": {"version": "1.1", "replicas": 3},
        "status": {"phase": "Ready", "readyReplicas": 2, "url": "http://h/x", "message": "m"},
    })  # fmt: skip
    assert (found["Version"], found["Ready"], found["Status"]) == ("1.1", "2/3", "Ready")
    assert (found["Route"], found["Message"]) == ("http://h/x", "m")


def test_custom_columns():
    columns = [
        {"name": "Up", "type": "string",
         "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Odd", "type": "boolean", "jsonPath": ".spec.size"},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 1},
        {"name": "Bad", "type": "string", "jsonPath": "..x"},
    ]  # fmt: skip
    obj = {"spec": {"size": 4}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    found = row(r.ROUTE, obj, columns)
    assert list(found.values()) == ["x", "True", 4, None, "60m", None]
    assert list(row(r.ROUTE, obj, [])) == ["Name", "Age"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        ("{.a.b}", [1]),
        ("$.a.b", [1]),
        ("a.b", [1]),
        (".list[1].n", [2]),
        (".list[-1].n", [3]),
        (".list[*].n", [1, 2, 3]),
        (".list[?(@.n>1)].n", [2, 3]),
        ('.list[?(@.k=="y")].n', [2]),
        (".list[?(@.k)].n", [1, 2]),
        (".a['b']", [1]),
        (r".map.app\.kubernetes\.io/name", ["shop"]),
        (".list[9]", []),
        (".nothing.here", []),
    ],
)
def test_jsonpaths(path, found):
    value = {
        "a": {"b": 1},
        "list": [{"n": 1, "k": "x"}, {"n": 2, "k": "y"}, {"n": 3}],
        "map": {"app.kubernetes.io/name": "shop"},
    }
    assert jsonpath.find(path, value) == found


@pytest.mark.parametrize("path", ["..a", ".a[", ".list[1:2]", ".a()"])
def test_jsonpaths_that_are_not_understood(path):
    with pytest.raises(jsonpath.JsonPathError):
        jsonpath.find(path, {})
