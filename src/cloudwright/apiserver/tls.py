"""The certificates of the API server and its clients, kept in ``Paths.pki``.

    ca.crt ca.key                 the cluster's authority: signs what is below
    apiserver.crt apiserver.key   the server's certificate
    admin.crt admin.key           the administrator's client certificate
    NAME.crt NAME.key             further clients (``client_certificate``)

Keys are 0600 in a directory of 0700. Everything is made when missing, renewed before it expires,
and otherwise left alone, so that a restart changes nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

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

from cloudwright._base.clock import Now, SystemClock
from cloudwright._base.errors import CloudwrightError
from cloudwright._base.files import make_private, write_atomic
from cloudwright._base.paths import Paths

if TYPE_CHECKING:
    import ssl

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
SKEW = timedelta(minutes=5)
ADMIN = "cloudwright-admin"
MASTERS = "system:masters"
Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, with the files they are in."""

    certificate_file: Path
    key_file: Path
    certificate: x509.Certificate
    key: Key

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as PEM (PKCS 8)."""
        return _key_pem(self.key)


def server_names(service_cidr: str = "10.96.0.0/16", extra: Iterable[str] = ()) -> list[str]:
    """The names and addresses the server's certificate is good for."""
    first = str(next(ip_network(service_cidr).hosts()))
    kubernetes = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names = ["localhost", "127.0.0.1", "::1", *kubernetes]
    return list(dict.fromkeys([*names, "kubernetes.default.svc.cluster.local", first, *extra]))


class Pki:
    """The certificates in one directory.

    Raises:
        CloudwrightError: a file there cannot be read as what it should be.
    """

    def __init__(self, directory: Path, now: Now | None = None) -> None:
        self._directory = make_private(directory)
        self._now = now or SystemClock().now
        self.ca = self._load_or_make("ca", self._make_ca, lambda _: True)

    def server(self, names: Iterable[str]) -> Pair:
        """The server's certificate; made anew when its names or the authority changed."""
        wanted = _alternative_names(names)

        def fits(certificate: x509.Certificate) -> bool:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            return set(found.value) == set(wanted)

        def make(key: Key) -> x509.Certificate:
            subject = _subject("kube-apiserver", ())
            usage = ExtendedKeyUsageOID.SERVER_AUTH
            return self._sign(subject, key, usage, wanted)

        return self._load_or_make("apiserver", make, fits)

    def client(self, file: str, user: str, groups: Iterable[str] = ()) -> Pair:
        """A client certificate for ``user`` (CN) in ``groups`` (O), kept as ``file.crt``."""
        subject = _subject(user, groups)

        def make(key: Key) -> x509.Certificate:
            return self._sign(subject, key, ExtendedKeyUsageOID.CLIENT_AUTH, [])

        return self._load_or_make(file, make, lambda found: found.subject == subject)

    def _load_or_make(
        self,
        name: str,
        make: Callable[[Key], x509.Certificate],
        fits: Callable[[x509.Certificate], bool],
    ) -> Pair:
        certificate_file = self._directory / f"{name}.crt"
        key_file = self._directory / f"{name}.key"
        found = self._load(certificate_file, key_file)
        if found is not None and self._fresh(name, found.certificate) and fits(found.certificate):
            return found
        if found is not None and name == "ca":
            raise CloudwrightError(
                f"the cluster's certificate authority {certificate_file} has expired",
                code="CW3201",
                hint="move the pki directory away and start again; clients need new kubeconfigs",
            )
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = make(key)
        write_atomic(key_file, _key_pem(key), mode=0o600, durable=True)
        pem = certificate.public_bytes(Encoding.PEM)
        write_atomic(certificate_file, pem, mode=0o644, durable=True)
        return Pair(certificate_file, key_file, certificate, key)

    def _fresh(self, name: str, certificate: x509.Certificate) -> bool:
        left = certificate.not_valid_after_utc - self._now()
        if name == "ca":
            return left > timedelta(0)
        if left < RENEW_BEFORE:
            return False
        try:
            certificate.verify_directly_issued_by(self.ca.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _load(self, certificate_file: Path, key_file: Path) -> Pair | None:
        if not (certificate_file.exists() and key_file.exists()):
            return None
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = load_pem_private_key(key_file.read_bytes(), None)
        except ValueError as error:
            raise CloudwrightError(
                f"{certificate_file} or {key_file.name} is not a PEM certificate and key",
                code="CW3202",
                cause=str(error),
                hint="restore both from a backup, or remove both to have new ones made",
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            return None
        if key.public_key() != certificate.public_key():
            return None  # a crash between writing the key and the certificate
        return Pair(certificate_file, key_file, certificate, key)

    def _make_ca(self, key: Key) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloudwright-ca")])
        builder = self._builder(name, name, key, CA_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(sign=True), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        return builder.sign(key, hashes.SHA256())

    def _sign(
        self,
        subject: x509.Name,
        key: Key,
        usage: x509.ObjectIdentifier,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        authority = self.ca.certificate
        life = min(LEAF_LIFE, authority.not_valid_after_utc - self._now())
        builder = self._builder(subject, authority.subject, key, life)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_usage(sign=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.ca.key, hashes.SHA256())

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: Key, life: timedelta
    ) -> x509.CertificateBuilder:
        now: datetime = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(now + life)
        )


def server_context(pki: Pki, names: Iterable[str]) -> ssl.SSLContext:
    """TLS 1.2 or newer with the server's certificate; a client certificate is asked for, and
    must be the cluster's if one is shown.
    """
    import ssl

    pair = pki.server(names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pair.certificate_file, pair.key_file)
    context.load_verify_locations(cadata=pki.ca.certificate_pem.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def write_kubeconfig(
    paths: Paths, server_url: str, *, user: str = ADMIN, groups: Iterable[str] = (MASTERS,)
) -> Path:
    """Write ``paths.kubeconfig`` (0600) with everything embedded, and return its path.

    An unchanged file is not written again. The PKI is made when there is none.
    """
    pki = Pki(paths.pki)
    pair = pki.client("admin" if user == ADMIN else user, user, groups)
    text = kubeconfig(pki, pair, server_url, user)
    make_private(paths.user)
    if not paths.kubeconfig.exists() or paths.kubeconfig.read_bytes() != text:
        write_atomic(paths.kubeconfig, text, mode=0o600, durable=True)
    return paths.kubeconfig


def kubeconfig(pki: Pki, pair: Pair, server_url: str, user: str) -> bytes:
    """A kubeconfig (JSON, which is YAML) for ``pair``."""
    name = "cloudwright"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": server_url,
                    "certificate-authority-data": _base64(pki.ca.certificate_pem),
                },
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _base64(pair.certificate_pem),
                    "client-key-data": _base64(pair.key_pem),
                },
            }
        ],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": user, "namespace": "default"}}
        ],
        "current-context": name,
    }
    return (json.dumps(config, indent=2) + "\n").encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _subject(user: str, groups: Iterable[str]) -> x509.Name:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])


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
