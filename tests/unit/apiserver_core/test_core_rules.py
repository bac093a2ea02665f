"""Custom objects: rules, tolerance of what was wrong before, defaults on reading, selection."""

from __future__ import annotations

from typing import Any

import pytest

from cloudwright.model import gateway
from tests.unit.apiserver_core.kit import Api

pytestmark = pytest.mark.anyio

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROOT = "/apis/example.com/v1/namespaces/default/jobs"
NAMED = "/apis/gateway.networking.k8s.io/v1"


def definition(properties: dict[str, Any], rules: list[dict[str, Any]], **more: Any) -> Any:
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": rules}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True} | more
    return {
        "metadata": {"name": "jobs.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "jobs", "kind": "Job"},
            "versions": [version | {"schema": {"openAPIV3Schema": schema}}],
        },
    }


def job(key: str, **spec: Any) -> dict[str, Any]:
    head = {"apiVersion": "example.com/v1", "kind": "Job"}
    return head | {"metadata": {"name": key}, "spec": spec}


WHOLE = {"type": "integer"}
ORDER = {"rule": "self.low <= self.high", "message": "low must not exceed high"}


async def change(api: Api, **properties: Any) -> None:
    crd = await api.get(f"{CRDS}/jobs.example.com")
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rules = properties.pop("rules", None)
    spec["properties"] |= properties
    if rules is not None:
        spec["x-kubernetes-validations"] = rules
    await api.update(f"{CRDS}/jobs.example.com", crd)


async def test_rules_refuse_objects(api: Api) -> None:
    kept = {"rule": "self.high == oldSelf.high", "reason": "FieldValueForbidden"}
    shown = "oldSelf.high == 2 ? 'high stays 2' : 'high stays'"
    kept |= {"fieldPath": ".high", "messageExpression": shown}
    await api.create(CRDS, definition({"low": WHOLE, "high": WHOLE}, [ORDER, kept]))
    error = await api.create(ROOT, job("a", low=3, high=2), status=422)
    assert error["message"] == (
        'Job.example.com "a" is invalid: spec: Invalid value: low must not exceed high'
    )
    await api.create(ROOT, job("a", low=1, high=2))
    error = await api.patch(f"{ROOT}/a", {"spec": {"high": 5}}, status=422)
    assert error["details"]["causes"] == [
        {
            "reason": "FieldValueForbidden",
            "message": "Forbidden: high stays 2",
            "field": "spec.high",
        }
    ]


async def test_a_new_rule_tolerates_what_is_there(api: Api) -> None:
    name = {"type": "string"}
    await api.create(CRDS, definition({"low": WHOLE, "name": name}, []))
    await api.create(ROOT, job("a", low=5, name="Upper"))
    strict = {"type": "string", "pattern": "^[a-z]+$"}
    small = {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 3"}]}
    await change(api, name=strict, low=small)
    labelled = await api.raw(
        "PATCH",
        f"{ROOT}/a",
        {"metadata": {"labels": {"x": "y"}}},
        headers={"content-type": "application/merge-patch+json"},
    )
    assert labelled.status == 200
    assert "failed rule: self < 3" in labelled.headers["warning"]
    error = await api.patch(f"{ROOT}/a", {"spec": {"low": 6, "name": "Other"}}, status=422)
    found = {cause["field"] for cause in error["details"]["causes"]}
    assert found == {"spec.low", "spec.name"}
    error = await api.patch(f"{ROOT}/a", {"spec": {"low": 6}}, status=422)
    assert "spec.low: Invalid value: 6: failed rule: self < 3" in error["message"]
    await api.patch(f"{ROOT}/a", {"spec": {"low": 2}})


async def test_bad_rules_are_refused_with_their_place(api: Api) -> None:
    for rule, where, text in (
        ({"rule": "self.lo < 3"}, "rule", "undefined field 'lo'"),
        ({"rule": "self.low"}, "rule", "cel expression must evaluate to a bool"),
        ({"rule": "self.low <"}, "rule", "Syntax error"),
        ({"rule": "true", "messageExpression": "1"}, "messageExpression", "to a string"),
    ):
        error = await api.create(CRDS, definition({"low": WHOLE}, [rule]), status=422)
        cause = error["details"]["causes"][0]
        path = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]"
        assert cause["field"] == f"{path}.{where}"
        assert text in cause["message"]


async def test_new_defaults_are_seen_in_old_objects(api: Api) -> None:
    await api.create(CRDS, definition({"low": WHOLE, "gone": WHOLE}, []))
    await api.create(ROOT, job("a", low=1, gone=2))
    items = {"type": "array", "items": {"type": "object", "properties": {"n": WHOLE}}}
    await change(api, high={"type": "integer", "default": 7}, items=items)
    crd = await api.get(f"{CRDS}/jobs.example.com")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["gone"]
    await api.update(f"{CRDS}/jobs.example.com", crd)
    assert (await api.get(f"{ROOT}/a"))["spec"] == {"low": 1, "high": 7}
    assert (await api.get(ROOT))["items"][0]["spec"] == {"low": 1, "high": 7}
    async with api.watch(ROOT) as lines:
        assert (await lines.next())["object"]["spec"] == {"low": 1, "high": 7}


async def test_unknown_fields_are_refused_warned_of_or_pruned(api: Api) -> None:
    await api.create(CRDS, definition({"low": WHOLE}, []))
    odd = job("a", low=1, odd=2) | {"extra": 1}
    error = await api.create(ROOT, odd, status=400, fieldValidation="Strict")
    assert 'unknown field "extra", unknown field "spec.odd"' in error["message"]
    made = await api.raw("POST", ROOT, odd)
    assert made.status == 201
    assert 'unknown field \\"spec.odd\\"' in made.headers["warning"]
    assert (await api.get(f"{ROOT}/a"))["spec"] == {"low": 1}


async def test_selectable_fields_select(api: Api) -> None:
    selectable = [{"jsonPath": ".spec.low"}, {"jsonPath": ".spec.name"}]
    properties = {"low": WHOLE, "name": {"type": "string"}}
    await api.create(CRDS, definition(properties, [], selectableFields=selectable))
    await api.create(ROOT, job("a", low=1, name="x"))
    await api.create(ROOT, job("b", low=2))
    found = await api.get(ROOT, fieldSelector="spec.low=2")
    assert [one["metadata"]["name"] for one in found["items"]] == ["b"]
    found = await api.get(ROOT, fieldSelector="spec.name=")
    assert [one["metadata"]["name"] for one in found["items"]] == ["b"]
    await api.get(ROOT, fieldSelector="spec.other=2", status=400)


ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "r"},
    "spec": {
        "parentRefs": [{"name": "gw"}],
        "rules": [{"backendRefs": [{"name": "svc", "port": 80}]}],
    },
}
GATEWAY = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "gw"},
    "spec": {
        "gatewayClassName": "any",
        "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
    },
}


async def test_the_gateway_api_is_installed_and_its_rules_hold(api: Api) -> None:
    for crd in gateway.definitions():
        made = await api.create(CRDS, crd)
        states = {one["type"]: one["status"] for one in made["status"]["conditions"]}
        assert states == {"NamesAccepted": "True", "Established": "True"}, crd["metadata"]["name"]
    gateways, routes = (f"{NAMED}/namespaces/default/{one}" for one in ("gateways", "httproutes"))
    made = await api.create(gateways, GATEWAY)
    assert made["spec"]["listeners"][0]["allowedRoutes"] == {"namespaces": {"from": "Same"}}
    made = await api.create(routes, ROUTE)
    assert made["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    bad = GATEWAY | {"metadata": {"name": "bad"}}
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "tls": {"mode": "Terminate"}}
    bad["spec"] = {"gatewayClassName": "any", "listeners": [listener]}
    error = await api.create(gateways, bad, status=422)
    assert "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']" in error["message"]
    bad = ROUTE | {"metadata": {"name": "bad"}}
    match = {"path": {"type": "PathPrefix", "value": "no-slash"}}
    bad["spec"] = {"rules": [{"matches": [match]}]}
    error = await api.create(routes, bad, status=422)
    assert "value must be an absolute path and start with '/'" in error["message"]
    filters = [{"type": "RequestRedirect", "requestRedirect": {"statusCode": 301}}]
    bad["spec"] = {"rules": [{"filters": filters, "backendRefs": [{"name": "a", "port": 1}]}]}
    error = await api.create(routes, bad, status=422)
    assert "RequestRedirect filter must not be used together with backendRefs" in error["message"]
