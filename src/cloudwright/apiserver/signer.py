"""Signs CertificateSigningRequests with the cluster's authority (``operator.ports.Signer``).

Source: kubernetes ``pkg/controller/certificates/authority`` (``PermissiveSigningPolicy``): names
are taken over, extensions are not; usages are the request's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from cloudwright._base.clock import Now, SystemClock
from cloudwright.apiserver.tls import SKEW, Pair

_SHORT = timedelta(hours=8)
_USES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class RequestSigner:
    """Gives certificates of the authority ``ca`` (``Pki.ca``)."""

    def __init__(self, ca: Pair, now: Now | None = None) -> None:
        self._ca = ca
        self._now = now or SystemClock().now

    def sign(self, request: bytes, usages: Sequence[str], seconds: float) -> bytes:
        """A certificate (PEM) for a request (PEM); never longer than the authority's own life.

        Raises:
            ValueError: the request is none, its signature is wrong, or a usage is unknown.
        """
        csr = x509.load_pem_x509_csr(request)
        if not csr.is_signature_valid:
            raise ValueError("the request's signature does not fit its key")
        now, life = self._now(), timedelta(seconds=seconds)
        # A short life is not shortened by the time that the start is put back.
        end = now + (life if life < _SHORT else life - SKEW)
        last = self._ca.certificate.not_valid_after_utc
        if now >= last:
            raise ValueError(f"the signer has expired: NotAfter={last}")
        authority = self._ca.certificate
        builder = (
            x509.CertificateBuilder()
            .subject_name(csr.subject)
            .issuer_name(authority.subject)
            .public_key(csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(min(end, last))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        for extension, critical in _extensions(usages):
            builder = builder.add_extension(extension, critical=critical)
        issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        known = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer)
        builder = builder.add_extension(known, critical=False)
        try:
            names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            pass
        else:
            builder = builder.add_extension(names.value, critical=names.critical)
        return builder.sign(self._ca.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _extensions(usages: Sequence[str]) -> list[tuple[x509.ExtensionType, bool]]:
    wanted = {_USES[usage] for usage in usages if usage in _USES}
    unknown = [usage for usage in usages if usage not in _USES and usage not in _EXTENDED]
    if unknown:
        raise ValueError(f"unrecognized usage values: {unknown}")
    found: list[tuple[x509.ExtensionType, bool]] = []
    if wanted:
        found.append((x509.KeyUsage(**{name: name in wanted for name in _USES.values()}), True))
    extended = dict.fromkeys(_EXTENDED[usage] for usage in usages if usage in _EXTENDED)
    if extended:
        found.append((x509.ExtendedKeyUsage(list(extended)), False))
    return found
