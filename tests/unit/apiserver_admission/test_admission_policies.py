"""CEL admission policies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver_core.kit import CONFIG_MAPS, DEPLOYMENTS, Api, config_map, deployment

pytestmark = pytest.mark.anyio
ROOT = "/apis/admissionregistration.k8s.io/v1"
VALIDATING = f"{ROOT}/validatingadmissionpolicies"
VALIDATING_BINDINGS = f"{ROOT}/validatingadmissionpolicybindings"
MUTATING = f"{ROOT}/mutatingadmissionpolicies"
MUTATING_BINDINGS = f"{ROOT}/mutatingadmissionpolicybindings"


def rules(group: str, plural: str) -> dict[str, Any]:
    rule = {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": [plural],
    }
    return {"resourceRules": [rule]}


def policy(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": rules("apps", "deployments"), **spec},
    }


def binding(*actions: str, **spec: Any) -> dict[str, Any]:
    wish = {"policyName": "p", "validationActions": list(actions) or ["Deny"], **spec}
    return {"metadata": {"name": "b"}, "spec": wish}


async def test_a_policy_denies_with_its_message(api: Api) -> None:
    validation = {
        "expression": "object.spec.replicas <= variables.most",
        "messageExpression": "'at most ' + string(variables.most)",
        "reason": "Forbidden",
    }
    variables = [{"name": "most", "expression": "3"}]
    await api.create(VALIDATING, policy(variables=variables, validations=[validation]))
    await api.create(DEPLOYMENTS, deployment("free", 9))  # nothing binds it yet
    await api.create(VALIDATING_BINDINGS, binding())
    await api.create(DEPLOYMENTS, deployment("ok", 3))
    reply = await api.create(DEPLOYMENTS, deployment("big", 4), status=403)
    assert reply["message"] == (
        "deployments.apps \"big\" is forbidden: ValidatingAdmissionPolicy 'p' with binding "
        "'b' denied request: at most 3"
    )
    await api.delete(f"{VALIDATING_BINDINGS}/b")
    await api.create(DEPLOYMENTS, deployment("big", 4))


async def test_warn_lets_through_and_says_so(api: Api) -> None:
    await api.create(VALIDATING, policy(validations=[{"expression": "false", "message": "hm"}]))
    await api.create(VALIDATING_BINDINGS, binding("Warn"))
    reply = await api.raw("POST", DEPLOYMENTS, deployment("a"))
    assert reply.status == 201
    text = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': hm"
    assert text in reply.headers["warning"]


async def test_parameters_come_from_an_object(api: Api) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    validation = {"expression": "object.spec.replicas <= int(params.data.most)"}
    await api.create(VALIDATING, policy(paramKind=kind, validations=[validation]))
    reference = {"name": "limits", "parameterNotFoundAction": "Deny"}
    await api.create(VALIDATING_BINDINGS, binding(paramRef=reference))
    reply = await api.create(DEPLOYMENTS, deployment("a", 2), status=422)
    assert "no params found" in reply["message"]
    await api.create(CONFIG_MAPS, config_map("limits", most="2"))
    await api.create(DEPLOYMENTS, deployment("a", 2))
    reply = await api.create(DEPLOYMENTS, deployment("b", 3), status=422)
    assert "failed expression: object.spec.replicas <= int(params.data.most)" in reply["message"]


@pytest.mark.parametrize("failure", ["Fail", "Ignore"])
async def test_an_error_is_a_denial_unless_ignored(api: Api, failure: str) -> None:
    validation = {"expression": "object.spec.nothing.here == 1"}
    await api.create(VALIDATING, policy(failurePolicy=failure, validations=[validation]))
    await api.create(VALIDATING_BINDINGS, binding())
    status = 201 if failure == "Ignore" else 422
    reply = await api.create(DEPLOYMENTS, deployment("a"), status=status)
    if failure == "Fail":
        assert "resulted in error: no such key: nothing" in reply["message"]


async def test_conditions_and_the_authorizer_decide_whether_it_applies(api: Api) -> None:
    conditions = [
        {"name": "not-admin", "expression": "request.userInfo.username != 'admin'"},
    ]
    await api.create(
        VALIDATING, policy(matchConditions=conditions, validations=[{"expression": "false"}])
    )
    await api.create(VALIDATING_BINDINGS, binding())
    await api.create(DEPLOYMENTS, deployment("a"))


async def test_an_expression_that_does_not_compile_is_refused(api: Api) -> None:
    wish = policy(validations=[{"expression": "object.spec.replicas <="}])
    reply = await api.create(VALIDATING, wish, status=422)
    assert reply["details"]["causes"][0]["field"] == "spec.validations[0].expression"
    wish = policy(validations=[{"expression": "'text'"}])
    await api.create(VALIDATING, wish, status=422)


async def test_a_mutating_policy_merges_by_the_schema(api: Api) -> None:
    expression = """
    Object{
      metadata: Object.metadata{labels: {"team": "red"}},
      spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
        containers: [Object.spec.template.spec.containers{name: "app", imagePullPolicy: "Always"}],
        initContainers: [Object.spec.template.spec.initContainers{name: "first", image: "i:1"}]
      }}}
    }"""
    mutation = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {"expression": expression},
    }
    wish = policy(mutations=[mutation], reinvocationPolicy="Never", failurePolicy="Fail")
    await api.create(MUTATING, wish)
    await api.create(MUTATING_BINDINGS, {"metadata": {"name": "b"}, "spec": {"policyName": "p"}})
    made = await api.create(DEPLOYMENTS, deployment("a"))
    assert made["metadata"]["labels"]["team"] == "red"
    spec = made["spec"]["template"]["spec"]
    assert [(one["name"], one["imagePullPolicy"]) for one in spec["containers"]] == [
        ("app", "Always")
    ]
    assert spec["containers"][0]["image"] == "app:1"
    assert spec["initContainers"][0]["name"] == "first"
    # What it added gets its defaults like everything else.
    assert spec["initContainers"][0]["terminationMessagePolicy"] == "File"


async def test_a_mutating_policy_patches(api: Api) -> None:
    expression = """[
      JSONPatch{op: "add", path: "/metadata/annotations", value: {"by/policy": "yes"}},
      JSONPatch{op: "replace", path: "/spec/replicas", value: 5}
    ]"""
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    wish = policy(mutations=[mutation], reinvocationPolicy="Never", failurePolicy="Fail")
    await api.create(MUTATING, wish)
    await api.create(MUTATING_BINDINGS, {"metadata": {"name": "b"}, "spec": {"policyName": "p"}})
    made = await api.create(DEPLOYMENTS, deployment("a"))
    assert made["spec"]["replicas"] == 5
    assert made["metadata"]["annotations"]["by/policy"] == "yes"
