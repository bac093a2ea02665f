"""CertificateSigningRequests: approved by right, signed by the cluster's authority, cleaned up."""

from __future__ import annotations

import base64

from cloudwright.model import conditions
from cloudwright.model.objects import Object, deleting, name_of, uid_of
from cloudwright.model.resources import CERTIFICATE_SIGNING_REQUEST, Resource
from cloudwright.operator.engines import certificates as engine
from cloudwright.operator.engines.actions import Delete
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.errors import SignerError
from cloudwright.operator.manager import DONE, Controller, Result
from cloudwright.operator.ports import Signer

_REVIEW = Resource(
    "authorization.k8s.io",
    "v1",
    "SubjectAccessReview",
    "subjectaccessreviews",
    "",
    False,
    verbs=("create",),
)


class CertificateController(Controller):
    """Without a ``signer`` requests are approved and cleaned up, and others may sign them."""

    name = "certificate-controller"

    def __init__(self, signer: Signer | None = None) -> None:
        super().__init__()
        self._signer = signer

    def setup(self) -> None:
        """Requests."""
        self.requests = self.watch(CERTIFICATE_SIGNING_REQUEST)

    async def sync(self, key: str) -> Result:
        """One step: approve, sign or refuse, delete; then look again when it is old."""
        request = self.requests.get(key)
        if request is None or deleting(request):
            return DONE
        left = engine.expires_in(request, self.now())
        if left <= 0:
            action = Delete(CERTIFICATE_SIGNING_REQUEST, "", name_of(request), uid_of(request))
            await self.api.perform(action)
            return DONE
        undecided = not engine.has(request, "Approved") and not engine.has(request, "Denied")
        if undecided and not engine.issued(request):
            await self._approve(request)
        elif self._signer is not None and engine.signable(request):
            await self._sign(self._signer, request)
        return Result(left)

    async def _approve(self, request: Object) -> None:
        try:
            rights = engine.rights(request)
        except ValueError:
            return  # nothing can be read from it: people decide
        for right in rights:
            if await self._allowed(request["spec"], right):
                changed = copy(request)
                status = changed.setdefault("status", {})
                status["conditions"] = [*(status.get("conditions") or ()), engine.approval(right)]
                await self.api.update(CERTIFICATE_SIGNING_REQUEST, changed, subresource="approval")
                return

    async def _allowed(self, spec: Object, right: str) -> bool:
        attributes = {
            "group": "certificates.k8s.io",
            "version": "*",
            "resource": "certificatesigningrequests",
            "subresource": right,
            "verb": "create",
        }
        wish = {"user": spec.get("username", ""), "groups": spec.get("groups") or []}
        wish |= {name: spec[name] for name in ("uid", "extra") if spec.get(name)}
        review: Object = {
            "apiVersion": _REVIEW.api_version,
            "kind": _REVIEW.kind,
            "metadata": {},
            "spec": {**wish, "resourceAttributes": attributes},
        }
        found = await self.api.client.create(_REVIEW, review)
        return bool((found.get("status") or {}).get("allowed"))

    async def _sign(self, signer: Signer, request: Object) -> None:
        spec, status = request["spec"], copy(request.get("status") or {})
        usages = [str(usage) for usage in spec.get("usages") or ()]
        try:
            pem, csr = engine.parse(request)
        except ValueError as error:
            text = f'unable to parse csr "{name_of(request)}": {error}'
            raise SignerError(text) from error
        refusal = engine.problem(csr, str(spec["signerName"]), usages)
        if refusal:
            status["conditions"] = conditions.set_condition(
                status.get("conditions"),
                "Failed",
                "True",
                "SignerValidationFailure",
                refusal,
                self.now(),
            )
        else:
            try:
                certificate = signer.sign(pem, usages, engine.life(request))
            except ValueError as error:
                raise SignerError(f"error auto signing csr: {error}") from error
            status["certificate"] = base64.b64encode(certificate).decode()
        await self.api.write_status(CERTIFICATE_SIGNING_REQUEST, request, status)
