"""Certificates and keys made, read and looked at. Loaded only where ``tls`` has to do that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloudwright.apiserver.tls import CA_LIFE, LEAF_LIFE, SKEW, Pems, Wish

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Parsed:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    def pems(self) -> Pems:
        """Both as PEM, the key as PKCS 8."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pems(self.certificate.public_bytes(Encoding.PEM), key)


def parse(pems: Pems) -> Parsed | None:
    """What the files have; ``None`` when they do not belong together (a crash between writing the
    key and the certificate), or the key is of another kind.

    Raises:
        ValueError: one is no PEM of its kind.
    """
    certificate = x509.load_pem_x509_certificate(pems.certificate)
    key = load_pem_private_key(pems.key, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return Parsed(certificate, key) if key.public_key() == certificate.public_key() else None


def suits(certificate: x509.Certificate, wish: Wish, authority: Parsed | None) -> bool:
    """Whether it was made as ``wish`` says, and by ``authority``."""
    if authority is None:
        return True
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    if wish.use == "server":
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return set(names.value) == set(_alternative_names(wish.names))
    return certificate.subject == _subject(wish)


def make(wish: Wish, authority: Parsed | None, now: datetime) -> Parsed:
    """A new key and its certificate; without an authority it becomes one."""
    key = ec.generate_private_key(ec.SECP256R1())
    if authority is None:
        return Parsed(_make_authority(key, wish, now), key)
    return Parsed(_sign(key, wish, authority, now), key)


def _make_authority(key: Key, wish: Wish, now: datetime) -> x509.Certificate:
    name = _subject(wish)
    builder = _builder(name, name, key, now, CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    builder = builder.add_extension(_usage(sign=True), critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return builder.sign(key, hashes.SHA256())


def _sign(key: Key, wish: Wish, authority: Parsed, now: datetime) -> x509.Certificate:
    issuer = authority.certificate
    life = min(LEAF_LIFE, issuer.not_valid_after_utc - now)
    use = (
        ExtendedKeyUsageOID.SERVER_AUTH if wish.use == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
    )
    builder = _builder(_subject(wish), issuer.subject, key, now, life)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_usage(sign=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    if wish.names:
        names = x509.SubjectAlternativeName(_alternative_names(wish.names))
        builder = builder.add_extension(names, critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
    )


def _subject(wish: Wish) -> x509.Name:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in wish.groups]
    return x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, wish.user)])


def _alternative_names(names: Iterable[str]) -> list[x509.GeneralName]:
    out: list[x509.GeneralName] = []
    for name in names:
        try:
            out.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            out.append(x509.DNSName(name))
    return out


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )
