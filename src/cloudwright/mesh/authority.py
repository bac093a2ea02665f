"""The certificate authorities: one that the mesh trusts, one for the gateway's own TLS.

ECDSA P-256, X.509 v3. Leaves of the mesh are SPIFFE X509-SVIDs (exactly one URI name, no DNS name).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloudwright._base.files import make_private, write_atomic
from cloudwright.mesh.errors import AuthorityError

CA_LIFETIME = timedelta(days=3650)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Issued:
    """A new certificate and its key, as PEM."""

    cert_pem: bytes
    key_pem: bytes
    not_before: datetime
    not_after: datetime


class Authority:
    """A certificate authority whose key lies in a private directory."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, cert: x509.Certificate) -> None:
        self._key = key
        self._cert = cert
        self.ca_pem = cert.public_bytes(serialization.Encoding.PEM)

    @property
    def not_after(self) -> datetime:
        """When the authority itself ends."""
        return self._cert.not_valid_after_utc

    @classmethod
    def load_or_create(cls, directory: Path, name: str, now: datetime) -> Authority:
        """The authority in ``directory`` (``ca.key``, ``ca.pem``, both 0600); made when missing.

        Raises:
            AuthorityError: the files are damaged, do not belong together, or have expired.
        """
        key_file, cert_file = directory / "ca.key", directory / "ca.pem"
        make_private(directory)
        if not key_file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            write_atomic(key_file, _key_pem(key), durable=True)
            cert_file.unlink(missing_ok=True)
        key = _read_key(key_file)
        if not cert_file.exists():  # also when we died between the two files
            cert = _self_signed(key, name, now)
            write_atomic(cert_file, cert.public_bytes(serialization.Encoding.PEM), durable=True)
        cert = _read_cert(cert_file)
        if cert.public_key() != key.public_key():
            raise _damaged(cert_file, f"it is not the certificate of {key_file.name}")
        if cert.not_valid_after_utc <= now:
            raise _damaged(cert_file, f"it ended at {cert.not_valid_after_utc:%Y-%m-%d}")
        return cls(key, cert)

    def issue_identity(
        self,
        identity: str,
        *,
        now: datetime,
        lifetime: timedelta,
        skew: timedelta = _SKEW,
        hosts: Iterable[str] = (),
    ) -> Issued:
        """A certificate for a workload; ``identity`` is its SPIFFE URI. ``hosts`` (DNS names and
        IP addresses) are for a server that is also called by clients which check those.
        """
        uri = x509.UniformResourceIdentifier(identity)
        names = x509.SubjectAlternativeName([uri, *(_general_name(host) for host in hosts)])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        # RFC 5280: with an empty subject the alternative names are critical
        return self._issue(x509.Name([]), names, usages, now, lifetime, skew, critical=True)

    def issue_serving(self, hosts: Iterable[str], *, now: datetime, lifetime: timedelta) -> Issued:
        """A certificate for a TLS server; ``hosts`` are DNS names and IP addresses."""
        listed = list(hosts)
        names = x509.SubjectAlternativeName([_general_name(host) for host in listed])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, listed[0])])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        return self._issue(subject, names, usages, now, lifetime, _SKEW, critical=False)

    def issued(self, cert: x509.Certificate) -> bool:
        """Whether ``cert`` was signed by this authority."""
        try:
            cert.verify_directly_issued_by(self._cert)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _issue(
        self,
        subject: x509.Name,
        names: x509.SubjectAlternativeName,
        usages: list[x509.ObjectIdentifier],
        now: datetime,
        lifetime: timedelta,
        skew: timedelta,
        *,
        critical: bool,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        not_before = (now - skew).replace(microsecond=0)
        not_after = min((now + lifetime).replace(microsecond=0), self.not_after)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._cert.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(names, critical=critical)
            .add_extension(_authority_key(self._cert), critical=False)
        )
        cert = builder.sign(self._key, hashes.SHA256())
        pem = cert.public_bytes(serialization.Encoding.PEM)
        return Issued(pem, _key_pem(key), not_before, not_after)


def key_matches(cert: x509.Certificate, key_pem: bytes) -> bool:
    """Whether ``key_pem`` is the private key of ``cert``."""
    try:
        key = serialization.load_pem_private_key(key_pem, None)
    except (ValueError, TypeError):
        return False
    return key.public_key() == cert.public_key()


def identity_of(cert: x509.Certificate) -> str | None:
    """The one URI name of a certificate; ``None`` when it has none or several."""
    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else None


def _self_signed(key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - timedelta(days=1)).replace(microsecond=0))
        .not_valid_after((now + CA_LIFETIME).replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(own, critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(cert: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, OSError) as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _damaged(path, "it is no elliptic-curve key")
    return key


def _read_cert(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (ValueError, OSError) as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, reason: str) -> AuthorityError:
    return AuthorityError(
        f"the certificate authority in {path} cannot be used: {reason}",
        hint=f"restore {path.parent} from a backup; or remove it, which gives every proxy a new"
        " identity (running pods must be started again)",
    )
