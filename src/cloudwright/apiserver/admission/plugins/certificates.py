"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may decide what."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from cloudwright.apiserver.admission.plugins.plugin import Plugin, refused, written
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.identity import Attributes, Authorizer, User
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object

_REQUESTS = frozenset({("certificates.k8s.io", "certificatesigningrequests")})
_CLIENT = "kubernetes.io/kube-apiserver-client"
_MASTERS = "system:masters"


class _Signers(Plugin):
    """Asks whether somebody has a right on a signer."""

    about = _REQUESTS
    subresources = True

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def _may(self, user: User, verb: str, signer: str) -> bool:
        """On the signer itself, or on all of its domain."""
        domain = signer.partition("/")[0]
        for name in (signer, f"{domain}/*"):
            wanted = Attributes(verb, "certificates.k8s.io", "signers", name=name)
            if (await self._authorizer.authorize(user, wanted)).allowed:
                return True
        return False


class CertificateApproval(_Signers):
    """Who approves or denies needs the verb ``approve`` on the request's signer."""

    on = frozenset({"UPDATE"})

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Raises ``ApiError`` 403."""
        if review.subresource != "approval":
            return ()
        signer = _signer(review.old)
        if not await self._may(review.user, "approve", signer):
            text = f'user not permitted to approve requests with signerName "{signer}"'
            raise refused(review, text)
        return ()


class CertificateSigning(_Signers):
    """Who writes certificates or conditions needs the verb ``sign`` on the request's signer."""

    on = frozenset({"UPDATE"})

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Raises ``ApiError`` 403."""
        if review.subresource != "status":
            return ()
        before, after = _status(review.old), _status(review.obj)
        if all((before.get(k) or None) == (after.get(k) or None) for k in _WATCHED):
            return ()
        signer = _signer(review.old)
        if not await self._may(review.user, "sign", signer):
            text = f'user not permitted to sign requests with signerName "{signer}"'
            raise refused(review, text)
        return ()


class CertificateSubjectRestriction(Plugin):
    """No client certificate for ``system:masters`` is asked for."""

    about = _REQUESTS
    on = frozenset({"CREATE"})

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Raises ``ApiError`` 403."""
        spec = written(review).get("spec") or {}
        if spec.get("signerName") != _CLIENT:
            return ()
        # A library that every first write would wait for: most clusters sign nothing.
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        try:
            pem = base64.b64decode(str(spec.get("request") or ""), validate=True)
            subject = x509.load_pem_x509_csr(pem).subject
        except (binascii.Error, ValueError) as error:
            raise refused(review, f"failed to parse CSR: {error}") from error
        groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if any(group.value == _MASTERS for group in groups):
            text = f"use of {_CLIENT} signer with {_MASTERS} group is not allowed"
            raise refused(review, text)
        return ()


_WATCHED = ("certificate", "conditions")


def _status(obj: Object | None) -> Object:
    found: Object = (obj or {}).get("status") or {}
    return found


def _signer(obj: Object | None) -> str:
    return str(((obj or {}).get("spec") or {}).get("signerName") or "")
