"""The certificates of one test cluster: its authority, the server's, any client's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=30)
SERVER_NAMES = (
    "localhost",
    "127.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "10.96.0.1",
)
Key = ec.EllipticCurvePrivateKey


def write_key(file: Path, key: Key) -> None:
    """The key as unencrypted PKCS 8."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.touch(0o600)
    file.write_bytes(pem)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFE)
    )


def _name(user: str, groups: Iterable[str] = ()) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


class Authority:
    """A CA in ``directory``: ``ca.crt`` and ``ca.key``, made when they are missing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "ca.crt"
        key_file = directory / "ca.key"
        if not self.file.exists():
            directory.mkdir(parents=True, exist_ok=True)
            self._key = ec.generate_private_key(ec.SECP256R1())
            write_key(key_file, self._key)
            self._make()
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        self._key = loaded
        self._subject = x509.load_pem_x509_certificate(self.file.read_bytes()).subject

    def _make(self) -> None:
        subject = _name("test-ca")
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        made = (
            _builder(subject, subject, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def server(self, names: Iterable[str] = SERVER_NAMES) -> tuple[Path, Path]:
        """The files of a server's certificate and key."""
        found: list[x509.GeneralName] = []
        for name in names:
            try:
                found.append(x509.IPAddress(ip_address(name)))
            except ValueError:
                found.append(x509.DNSName(name))
        more = x509.SubjectAlternativeName(found)
        return self._leaf("server", _name("server"), more, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, user: str, groups: Iterable[str] = ()) -> tuple[Path, Path]:
        """The files of a certificate and key for ``user`` (CN) in ``groups`` (O)."""
        file = f"client-{user.replace(':', '-')}"
        return self._leaf(file, _name(user, groups), None, ExtendedKeyUsageOID.CLIENT_AUTH)

    def workload(self, name: str, identity: str, *more: str) -> tuple[Path, Path]:
        """The files for a SPIFFE ID, as client and as server; ``more`` are DNS names."""
        found: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity)]
        found += [x509.DNSName(one) for one in more]
        return self._leaf(
            f"workload-{name}",
            x509.Name([]),
            x509.SubjectAlternativeName(found),
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
        )

    def _leaf(
        self,
        file: str,
        subject: x509.Name,
        names: x509.SubjectAlternativeName | None,
        *usage: x509.ObjectIdentifier,
    ) -> tuple[Path, Path]:
        certificate, key_file = self.directory / f"{file}.crt", self.directory / f"{file}.key"
        if not certificate.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = (
                _builder(subject, self._subject, key)
                .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
                .add_extension(issuer, critical=False)
            )
            if names is not None:
                # RFC 5280, 4.2.1.6: critical when there is no subject.
                builder = builder.add_extension(names, critical=not subject.rdns)
            made = builder.sign(self._key, hashes.SHA256())
            write_key(key_file, key)
            certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return certificate, key_file
