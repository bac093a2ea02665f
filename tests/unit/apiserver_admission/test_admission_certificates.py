"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction, TaintNodesByCondition."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cloudwright.apiserver.admission.plugins.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from cloudwright.apiserver.admission.plugins.nodes import TaintNodesByCondition
from cloudwright.apiserver.admission.review import Operation, Review
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.identity import AdministratorsOnly, Attributes, User, Verdict
from cloudwright.model.objects import Object
from cloudwright.model.resources import CERTIFICATE_SIGNING_REQUEST, NODE
from tests.unit.operator.test_certificates_engine import pem

pytestmark = pytest.mark.anyio
JANE = User("jane")
CLIENT = "kubernetes.io/kube-apiserver-client"


class Allowing(AdministratorsOnly):
    """Allows some verbs on some signers."""

    def __init__(self, *allowed: tuple[str, str]) -> None:
        self._allowed = allowed

    async def authorize(self, user: User, wanted: Attributes) -> Verdict:
        assert (wanted.group, wanted.resource) == ("certificates.k8s.io", "signers")
        return Verdict((wanted.verb, wanted.name) in self._allowed)


def review(
    operation: Operation, subresource: str, obj: Object, old: Object | None = None
) -> Review:
    return Review(
        JANE, operation, CERTIFICATE_SIGNING_REQUEST, subresource, "", "r", obj, old, dry_run=False
    )


def request(signer: str = "example.com/one", **status: Any) -> Object:
    return {"metadata": {"name": "r"}, "spec": {"signerName": signer}, "status": status}


@pytest.mark.parametrize("allowed", ["example.com/one", "example.com/*"])
async def test_approval_needs_a_right_on_the_signer(allowed: str) -> None:
    wanted = review("UPDATE", "approval", request(), request())
    plugin = CertificateApproval(Allowing(("approve", allowed)))
    assert plugin.concerns(wanted)
    assert await plugin.validate(wanted) == ()
    denied = CertificateApproval(Allowing(("sign", allowed), ("approve", "example.com/two")))
    with pytest.raises(ApiError, match=r"user not permitted to approve requests") as caught:
        await denied.validate(wanted)
    assert caught.value.http_status == 403
    # The request as it was counts, not what somebody makes of it.
    other = review("UPDATE", "approval", request("example.com/two"), request())
    with pytest.raises(ApiError):
        await denied.validate(other)


async def test_signing_needs_a_right_when_something_is_written() -> None:
    plugin = CertificateSigning(Allowing())
    same = review("UPDATE", "status", request(conditions=[]), request())
    assert await plugin.validate(same) == ()
    signed = review("UPDATE", "status", request(certificate="eA=="), request())
    with pytest.raises(ApiError, match=r'user not permitted to sign .* "example.com/one"'):
        await plugin.validate(signed)
    may = CertificateSigning(Allowing(("sign", "example.com/one")))
    assert await may.validate(signed) == ()
    assert await plugin.validate(review("UPDATE", "", request(), request())) == ()


async def test_nobody_asks_for_masters() -> None:
    plugin = CertificateSubjectRestriction()

    async def ask(signer: str, *groups: str) -> None:
        wish = request(signer)
        wish["spec"]["request"] = base64.b64encode(pem("x", *groups)).decode()
        await plugin.validate(review("CREATE", "", wish))

    await ask(CLIENT, "team")
    await ask("example.com/one", "system:masters")
    with pytest.raises(ApiError, match=r"with system:masters group is not allowed"):
        await ask(CLIENT, "team", "system:masters")
    broken = request(CLIENT)
    broken["spec"]["request"] = "eA=="
    with pytest.raises(ApiError, match=r"failed to parse CSR"):
        await plugin.validate(review("CREATE", "", broken))


async def test_a_new_node_is_not_ready() -> None:
    plugin = TaintNodesByCondition()

    async def made(obj: Object) -> list[Object]:
        wanted = Review(JANE, "CREATE", NODE, "", "", "n", obj, None, dry_run=False)
        assert plugin.concerns(wanted)
        await plugin.mutate(wanted)
        found: list[Object] = obj["spec"]["taints"]
        return found

    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    assert await made({"metadata": {}}) == [taint]
    known = [{**taint, "timeAdded": "2026-01-01T00:00:00Z"}]
    assert await made({"metadata": {}, "spec": {"taints": list(known)}}) == known
