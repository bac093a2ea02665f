"""Certificates that are asked for: who is signed for, by what right, for how long."""

from __future__ import annotations

import base64
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloudwright._base.clock import SystemClock, rfc3339
from cloudwright.apiserver.signer import RequestSigner
from cloudwright.apiserver.tls import Pki
from cloudwright.model.objects import Object
from cloudwright.operator.engines import certificates as engine
from tests.unit.operator.builders import NOW

CLIENT_USES = ["digital signature", "key encipherment", "client auth"]
SERVER_USES = ["digital signature", "key encipherment", "server auth"]
DNS = x509.DNSName("node-1")


def pem(common: str, *groups: str, names: tuple[x509.GeneralName, ...] = ()) -> bytes:
    """A request for a subject."""
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def request(text: bytes, signer: str, usages: list[str], user: str = "me", **spec: Any) -> Object:
    return {
        "metadata": {"name": "r", "creationTimestamp": rfc3339(NOW)},
        "spec": {
            "request": base64.b64encode(text).decode(),
            "signerName": signer,
            "usages": usages,
            "username": user,
            **spec,
        },
    }


@pytest.mark.parametrize(
    ("user", "signer", "groups", "usages", "expected"),
    [
        ("system:node:a", engine.KUBELET_CLIENT, ["system:nodes"], CLIENT_USES,
         ["selfnodeclient", "nodeclient"]),
        ("bootstrap", engine.KUBELET_CLIENT, ["system:nodes"], CLIENT_USES[::2], ["nodeclient"]),
        ("system:node:a", engine.KUBELET_CLIENT, ["system:nodes"], SERVER_USES, []),
        ("system:node:a", engine.KUBELET_CLIENT, ["others"], CLIENT_USES, []),
        ("system:node:a", engine.KUBELET_SERVING, ["system:nodes"], SERVER_USES, []),
        ("system:node:a", engine.CLIENT, ["system:nodes"], CLIENT_USES, []),
    ],
)  # fmt: skip
def test_whose_request_approves_itself(
    user: str, signer: str, groups: list[str], usages: list[str], expected: list[str]
) -> None:
    assert engine.rights(request(pem("system:node:a", *groups), signer, usages, user)) == expected


@pytest.mark.parametrize(
    ("signer", "common", "names", "usages", "told"),
    [
        (engine.CLIENT, "me", (DNS,), ["client auth"], ""),
        (engine.CLIENT, "me", (), SERVER_USES, "invalid usage for client certificate: server auth"),
        (engine.CLIENT, "me", (), ["digital signature"],
         "missing required usage for client certificate: client auth"),
        (engine.KUBELET_CLIENT, "system:node:a", (), CLIENT_USES, ""),
        (engine.KUBELET_CLIENT, "system:node:a", (DNS,), CLIENT_USES,
         "DNS subjectAltNames are not allowed"),
        (engine.KUBELET_CLIENT, "a", (), CLIENT_USES,
         "subject common name does not begin with system:node:"),
        (engine.KUBELET_SERVING, "system:node:a", (DNS,), SERVER_USES, ""),
        (engine.KUBELET_SERVING, "system:node:a", (x509.IPAddress(ip_address("10.0.0.1")),),
         SERVER_USES[::2], ""),
        (engine.KUBELET_SERVING, "system:node:a", (), SERVER_USES,
         "DNS or IP subjectAltName is required"),
        (engine.KUBELET_SERVING, "system:node:a", (DNS, x509.UniformResourceIdentifier("x:y")),
         SERVER_USES, "URI subjectAltNames are not allowed"),
        (engine.KUBELET_SERVING, "system:node:a", (DNS,), CLIENT_USES,
         "usages did not match [digital signature key encipherment server auth]"),
        (engine.LEGACY, "x", (), ["any"], ""),
    ],
)  # fmt: skip
def test_what_a_signer_refuses(
    signer: str, common: str, names: tuple[x509.GeneralName, ...], usages: list[str], told: str
) -> None:
    csr = x509.load_pem_x509_csr(pem(common, "system:nodes", names=names))
    assert engine.problem(csr, signer, usages) == told


def decided(kind: str, hours: float, **status: Any) -> Object:
    since = rfc3339(NOW - timedelta(hours=hours))
    found = request(pem("me"), engine.CLIENT, ["client auth"])
    entry = {"type": kind, "status": "True", "lastUpdateTime": since}
    return {**found, "status": {"conditions": [entry], **status}}


def test_when_requests_are_old() -> None:
    fresh = request(pem("me"), engine.CLIENT, ["client auth"])
    assert engine.expires_in(fresh, NOW) == 24 * 3600
    assert engine.expires_in(decided("Denied", 0.5), NOW) == 1800
    assert engine.expires_in(decided("Failed", 2), NOW) < 0
    assert engine.expires_in(decided("Approved", 2), NOW) == 22 * 3600
    assert engine.expires_in(decided("Approved", 2, certificate="eA=="), NOW) < 0


def test_what_is_to_be_signed() -> None:
    assert engine.signable(decided("Approved", 0))
    assert not engine.signable(decided("Denied", 0))
    assert not engine.signable(decided("Approved", 0, certificate="eA=="))
    foreign = decided("Approved", 0)
    foreign["spec"]["signerName"] = "example.com/signer"
    assert not engine.signable(foreign)


@pytest.mark.parametrize(
    ("wished", "expected"), [(None, 365 * 86400), (60, 600), (7200, 7200), (10**9, 365 * 86400)]
)
def test_how_long(wished: int | None, expected: float) -> None:
    more: dict[str, Any] = {} if wished is None else {"expirationSeconds": wished}
    assert engine.life(request(b"", engine.CLIENT, [], **more)) == expected


def test_the_certificate(tmp_path: Path) -> None:
    authority = Pki(tmp_path).ca
    signer = RequestSigner(authority)
    text = pem("me", "team", names=(DNS,))
    found = x509.load_pem_x509_certificate(signer.sign(text, CLIENT_USES, 3600))
    found.verify_directly_issued_by(authority.certificate)
    asked = x509.load_pem_x509_csr(text)
    assert found.subject == asked.subject
    assert found.public_key() == asked.public_key()
    get = found.extensions.get_extension_for_class
    assert list(get(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert get(x509.KeyUsage).value.digital_signature
    assert not get(x509.KeyUsage).value.key_cert_sign
    assert list(get(x509.SubjectAlternativeName).value) == [DNS]
    assert not get(x509.BasicConstraints).value.ca
    left = found.not_valid_after_utc - SystemClock().now()
    assert timedelta(minutes=55) < left <= timedelta(hours=1)
    longest = x509.load_pem_x509_certificate(signer.sign(text, ["client auth"], 10**10))
    assert longest.not_valid_after_utc == authority.certificate.not_valid_after_utc
    with pytest.raises(ValueError, match=r"unrecognized usage values: \['x'\]"):
        signer.sign(text, ["x"], 3600)
