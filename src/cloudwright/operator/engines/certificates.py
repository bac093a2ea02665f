"""CertificateSigningRequests: which are approved by themselves, which are signed, which are old.

Pure. Source: kubernetes ``pkg/controller/certificates`` and ``pkg/apis/certificates/helpers.go``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model import conditions
from cloudwright.model.objects import Object

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
LONGEST = timedelta(days=365).total_seconds()
_SHORTEST = 600.0
_NODES, _NODE = "system:nodes", "system:node:"
_SOON, _LATER = timedelta(hours=1), timedelta(hours=24)
_KUBELET = {
    KUBELET_CLIENT: ("digital signature", "key encipherment", "client auth"),
    KUBELET_SERVING: ("digital signature", "key encipherment", "server auth"),
}
_REVIEWS = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}
"""Subresources by whose right a request is approved, and what is said then."""


def parse(request: Mapping[str, Any]) -> tuple[bytes, x509.CertificateSigningRequest]:
    """The PEM text of a request and what it says.

    Raises:
        ValueError: it is none.
    """
    try:
        pem = base64.b64decode(str(request["spec"].get("request") or ""), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    return pem, x509.load_pem_x509_csr(pem)


def has(request: Mapping[str, Any], kind: str) -> bool:
    """Whether a condition (``Approved``, ``Denied``, ``Failed``) is true."""
    return conditions.is_true((request.get("status") or {}).get("conditions"), kind)


def issued(request: Mapping[str, Any]) -> bool:
    """Whether there is a certificate."""
    return bool((request.get("status") or {}).get("certificate"))


def rights(request: Mapping[str, Any]) -> list[str]:
    """The subresources of ``certificatesigningrequests`` of which a requester must be allowed to
    create one, so that the request is approved by itself; none: people decide.

    Raises:
        ValueError: the request is none.
    """
    spec = request["spec"]
    if spec.get("signerName") != KUBELET_CLIENT:
        return []
    _, csr = parse(request)
    if problem(csr, KUBELET_CLIENT, spec.get("usages") or ()):
        return []
    own = _names(csr, NameOID.COMMON_NAME) == [spec.get("username")]
    return ["selfnodeclient", "nodeclient"] if own else ["nodeclient"]


def approval(right: str) -> Object:
    """The condition that approves."""
    return {
        "type": "Approved",
        "status": "True",
        "reason": "AutoApproved",
        "message": _REVIEWS[right],
    }


def signable(request: Mapping[str, Any]) -> bool:
    """Whether one of our signers has to do something."""
    ours = request["spec"].get("signerName") in (CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY)
    decided = has(request, "Approved") and not has(request, "Denied")
    return ours and decided and not has(request, "Failed") and not issued(request)


def problem(csr: x509.CertificateSigningRequest, signer: str, usages: Sequence[str]) -> str:
    """Why a signer refuses a request; empty: it does not."""
    if signer == LEGACY:
        return ""
    if signer == CLIENT:
        return _client_problem(usages)
    if _names(csr, NameOID.ORGANIZATION_NAME) != [_NODES]:
        return "subject organization is not system:nodes"
    kinds = _alternatives(csr)
    named = kinds & {x509.DNSName, x509.IPAddress}
    if signer == KUBELET_SERVING and not named:
        return "DNS or IP subjectAltName is required"
    refused = (
        ("DNS", x509.DNSName),
        ("Email", x509.RFC822Name),
        ("IP", x509.IPAddress),
        ("URI", x509.UniformResourceIdentifier),
    )
    for word, kind in refused:
        if kind in kinds and (signer == KUBELET_CLIENT or kind not in named):
            return f"{word} subjectAltNames are not allowed"
    needed = _KUBELET[signer]
    if set(usages) not in (set(needed), set(needed) - {"key encipherment"}):
        return f"usages did not match [{' '.join(sorted(needed))}]"
    if not "".join(_names(csr, NameOID.COMMON_NAME)).startswith(_NODE):
        return "subject common name does not begin with system:node:"
    return ""


def _client_problem(usages: Sequence[str]) -> str:
    for usage in usages:
        if usage not in ("digital signature", "key encipherment", "client auth"):
            return f"invalid usage for client certificate: {usage}"
    if "client auth" not in usages:
        return "missing required usage for client certificate: client auth"
    return ""


def life(request: Mapping[str, Any]) -> float:
    """Seconds that the certificate is good for."""
    wished = request["spec"].get("expirationSeconds")
    return LONGEST if wished is None else min(max(float(wished), _SHORTEST), LONGEST)


def expires_in(request: Mapping[str, Any], now: datetime) -> float:
    """Seconds until the request is to be deleted; zero or less when it is."""
    entries = (request.get("status") or {}).get("conditions") or ()
    ends: list[datetime] = []
    if not entries:
        ends.append(parse_rfc3339(str(request["metadata"]["creationTimestamp"])) + _LATER)
    for entry in entries:
        if not entry.get("lastUpdateTime"):
            continue
        since = parse_rfc3339(str(entry["lastUpdateTime"]))
        if entry.get("type") in ("Denied", "Failed"):
            ends.append(since + _SOON)
        elif entry.get("type") == "Approved":
            ends.append(since + (_SOON if issued(request) else _LATER))
    if issued(request) and has(request, "Approved"):
        ends += _end(request)
    return (min(ends) - now).total_seconds() if ends else _LATER.total_seconds()


def _end(request: Mapping[str, Any]) -> list[datetime]:
    """The end of the certificate, if it is one."""
    try:
        pem = base64.b64decode(str(request["status"]["certificate"]))
        return [x509.load_pem_x509_certificate(pem).not_valid_after_utc]
    except ValueError:
        return []


def _names(csr: x509.CertificateSigningRequest, kind: x509.ObjectIdentifier) -> list[str]:
    return [str(one.value) for one in csr.subject.get_attributes_for_oid(kind)]


def _alternatives(csr: x509.CertificateSigningRequest) -> set[type[x509.GeneralName]]:
    try:
        found = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {type(name) for name in found.value}
