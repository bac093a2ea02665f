"""Webhooks: what they are asked, what they may change, and what happens when they fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver_admission.hook import Hook, patch
from tests.unit.apiserver_core.kit import CONFIG_MAPS, Api, config_map

pytestmark = pytest.mark.anyio
ROOT = "/apis/admissionregistration.k8s.io/v1"
MUTATING = f"{ROOT}/mutatingwebhookconfigurations"
VALIDATING = f"{ROOT}/validatingwebhookconfigurations"


def configuration(hook: Hook, **more: Any) -> dict[str, Any]:
    rule = {
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["configmaps"],
    }
    entry = {
        "name": "check.example.com",
        "clientConfig": hook.client("/check"),
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }
    return {"metadata": {"name": "check"}, "webhooks": [entry]}


async def test_a_webhook_sees_the_request_and_may_deny_it(api: Api, webhook: Hook) -> None:
    await api.create(VALIDATING, configuration(webhook))
    webhook.answer = lambda request: {
        "allowed": False,
        "status": {"message": "not today", "code": 403, "reason": "Forbidden"},
        "warnings": ["think again"],
    }
    reply = await api.ask("POST", CONFIG_MAPS, config_map("a", x="1"), status=403)
    assert reply["message"] == 'admission webhook "check.example.com" denied the request: not today'
    asked = webhook.requests[0]
    assert asked["operation"] == "CREATE"
    assert asked["object"]["data"] == {"x": "1"}
    assert asked["oldObject"] is None
    assert asked["namespace"] == "default"
    assert asked["userInfo"]["username"] == "admin"
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert webhook.paths == ["/check?timeout=10s"]


async def test_a_webhook_patches_and_connections_are_kept(api: Api, webhook: Hook) -> None:
    await api.create(MUTATING, configuration(webhook))
    webhook.answer = lambda request: (
        patch({"op": "add", "path": "/data/stamp", "value": "yes"})
        if request["operation"] != "DELETE"
        else {"allowed": True}
    )
    made = await api.create(CONFIG_MAPS, config_map("a", x="1"))
    assert made["data"] == {"x": "1", "stamp": "yes"}
    for number in range(5):
        await api.patch(f"{CONFIG_MAPS}/a", {"data": {"x": str(number)}})
    await api.delete(f"{CONFIG_MAPS}/a")
    assert webhook.requests[-1]["operation"] == "DELETE"
    assert webhook.requests[-1]["object"] is None
    assert webhook.connections == 1


async def test_a_patched_object_must_still_be_valid(api: Api, webhook: Hook) -> None:
    await api.create(MUTATING, configuration(webhook))
    webhook.answer = lambda request: patch(
        {"op": "add", "path": "/metadata/labels", "value": {"bad key": "x"}}
    )
    await api.create(CONFIG_MAPS, config_map("a"), status=422)


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
async def test_a_failing_webhook_closes_or_is_passed_over(
    api: Api, webhook: Hook, policy: str
) -> None:
    await api.create(VALIDATING, configuration(webhook, failurePolicy=policy))
    webhook.broken = True
    if policy == "Ignore":
        await api.create(CONFIG_MAPS, config_map("a"))
    else:
        reply = await api.create(CONFIG_MAPS, config_map("a"), status=500)
        assert reply["reason"] == "InternalError"
        assert 'failed calling webhook "check.example.com"' in reply["message"]


async def test_a_hanging_webhook_ends_with_its_timeout(api: Api, webhook: Hook) -> None:
    await api.create(VALIDATING, configuration(webhook, timeoutSeconds=1))
    webhook.hang = True
    reply = await api.create(CONFIG_MAPS, config_map("a"), status=500)
    assert "context deadline exceeded" in reply["message"]


async def test_another_authority_is_not_trusted(api: Api, webhook: Hook) -> None:
    wish = configuration(webhook)
    del wish["webhooks"][0]["clientConfig"]["caBundle"]
    await api.create(VALIDATING, wish)
    reply = await api.create(CONFIG_MAPS, config_map("a"), status=500)
    assert "tls: failed to verify certificate" in reply["message"]
    assert webhook.requests == []


async def test_a_dry_run_is_told(api: Api, webhook: Hook) -> None:
    await api.create(VALIDATING, configuration(webhook))
    await api.create(CONFIG_MAPS, config_map("a"), dryRun="All")
    assert webhook.requests[0]["dryRun"] is True


@pytest.mark.parametrize(
    "more",
    [
        {"objectSelector": {"matchLabels": {"wanted": "no"}}},
        {"namespaceSelector": {"matchLabels": {"wanted": "no"}}},
        {"matchConditions": [{"name": "other", "expression": "object.metadata.name == 'z'"}]},
    ],
)
async def test_selectors_and_conditions_leave_requests_out(
    api: Api, webhook: Hook, more: dict[str, Any]
) -> None:
    await api.create(VALIDATING, configuration(webhook, **more))
    webhook.answer = lambda request: {"allowed": False}
    await api.create(CONFIG_MAPS, config_map("a"))
    assert webhook.requests == []


async def test_webhooks_never_see_their_own_configurations(api: Api, webhook: Hook) -> None:
    rule = {
        "operations": ["*"],
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "resources": ["*/*"],
    }
    await api.create(VALIDATING, configuration(webhook, rules=[rule]))
    webhook.answer = lambda request: {"allowed": False}
    await api.create(CONFIG_MAPS, config_map("a"), status=400)
    await api.delete(f"{VALIDATING}/check")
    await api.create(CONFIG_MAPS, config_map("a"))
