"""CertificateSigningRequests: who asks, who decides, and through which door."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.unit.apiserver_core.kit import ADMIN, Api

pytestmark = pytest.mark.anyio
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
PEM = "-----BEGIN CERTIFICATE REQUEST-----\nMA==\n-----END CERTIFICATE REQUEST-----\n"
APPROVED = {"type": "Approved", "status": "True", "reason": "Because"}


def request(**spec: Any) -> dict[str, Any]:
    base = {
        "request": base64.b64encode(PEM.encode()).decode(),
        "signerName": "example.com/signer",
        "usages": ["client auth"],
    }
    return {"metadata": {"name": "ask"}, "spec": {**base, **spec}}


async def test_the_requester_is_who_sends_it(api: Api) -> None:
    made = await api.create(REQUESTS, request(username="root", groups=["system:masters"]))
    assert made["spec"]["username"] == "admin"
    assert made["spec"]["groups"] == list(ADMIN.groups)
    assert made["status"] == {}
    changed = {"spec": {"usages": ["server auth"]}}
    refused = await api.patch(f"{REQUESTS}/ask", changed, status=422)
    assert "field is immutable" in refused["message"]


async def test_decisions_come_through_approval_only(api: Api) -> None:
    await api.create(REQUESTS, request())
    decision = {"status": {"conditions": [APPROVED]}}
    refused = await api.patch(f"{REQUESTS}/ask/status", decision, status=422)
    assert 'may not add a condition of type "Approved"' in refused["message"]
    ignored = await api.patch(f"{REQUESTS}/ask", decision)
    assert "conditions" not in ignored["status"]
    body = {**decision, "spec": {"usages": ["server auth"]}}
    approved = await api.patch(f"{REQUESTS}/ask/approval", body)
    (condition,) = approved["status"]["conditions"]
    assert condition["reason"] == "Because"
    assert condition["lastUpdateTime"] == condition["lastTransitionTime"] != ""
    assert approved["spec"]["usages"] == ["client auth"]
    certificate = {"status": {"certificate": base64.b64encode(b"x").decode()}}
    issued = await api.patch(f"{REQUESTS}/ask/status", certificate)
    assert issued["status"]["conditions"] == [condition]
    denied = {"status": {"conditions": [APPROVED, {"type": "Denied", "status": "True"}]}}
    both = await api.patch(f"{REQUESTS}/ask/approval", denied, status=422)
    assert "mutually exclusive" in both["message"]
