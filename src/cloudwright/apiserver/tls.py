"""The certificates of the API server and its clients, kept in ``Paths.pki``.

    ca.crt ca.key                 the cluster's authority: signs what is below
    apiserver.crt apiserver.key   the server's certificate
    admin.crt admin.key           the administrator's client certificate
    NAME.crt NAME.key             further clients (``Pki.client``)
    examined.json                 which of them were looked at closely (``examined``)

Keys are 0600 in a directory of 0700. Everything is made when missing, renewed before it expires,
and otherwise left alone, so that a restart changes nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from cloudwright._base.clock import Now, SystemClock
from cloudwright._base.errors import CloudwrightError
from cloudwright._base.files import make_private, write_atomic
from cloudwright._base.paths import Paths
from cloudwright.apiserver.examined import Examined

if TYPE_CHECKING:
    import ssl

    from cryptography import x509

    from cloudwright.apiserver.certificates import Key, Parsed

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
SKEW = timedelta(minutes=5)
ADMIN = "cloudwright-admin"
MASTERS = "system:masters"


class Pems(NamedTuple):
    """A certificate and its key, both as PEM; the key is PKCS 8."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Wish:
    """What a certificate is for: its subject (CN, O) and alternative names."""

    use: Literal["ca", "server", "client"]
    user: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def as_bytes(self) -> bytes:
        """The same for the same wish only."""
        return json.dumps([self.use, self.user, self.groups, sorted(set(self.names))]).encode()


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, with the files they are in."""

    certificate_file: Path
    key_file: Path
    pems: Pems
    until: datetime
    """When the certificate ends."""

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.pems.certificate

    @property
    def key_pem(self) -> bytes:
        """The key as PEM (PKCS 8)."""
        return self.pems.key

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate."""
        return self.parsed().certificate

    @property
    def key(self) -> Key:
        """The key."""
        return self.parsed().key

    def parsed(self) -> Parsed:
        """Both, read from the PEMs."""
        from cloudwright.apiserver import certificates

        found = certificates.parse(self.pems)
        assert found is not None, "they were looked at before"
        return found


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
        self._examined = Examined(directory / "examined.json")
        self._ca: Pair | None = None
        self._ca = self._load_or_make("ca", Wish("ca", "cloudwright-ca"))

    @property
    def ca(self) -> Pair:
        """The authority."""
        assert self._ca is not None, "made first"
        return self._ca

    def server(self, names: Iterable[str]) -> Pair:
        """The server's certificate; made anew when its names or the authority changed."""
        return self._load_or_make("apiserver", Wish("server", "kube-apiserver", (), tuple(names)))

    def client(self, file: str, user: str, groups: Iterable[str] = ()) -> Pair:
        """A client certificate for ``user`` (CN) in ``groups`` (O), kept as ``file.crt``."""
        return self._load_or_make(file, Wish("client", user, tuple(groups)))

    def _load_or_make(self, name: str, wish: Wish) -> Pair:
        certificate_file = self._directory / f"{name}.crt"
        key_file = self._directory / f"{name}.key"
        if certificate_file.exists() and key_file.exists():
            pems = Pems(certificate_file.read_bytes(), key_file.read_bytes())
            until = self._examined.until(name, self._parts(wish, pems))
            end = datetime.fromtimestamp(until, UTC) if until is not None else None
            if end is not None and self._lasts(end):
                return Pair(certificate_file, key_file, pems, end)
            found = self._examine(name, wish, pems)
            if found is not None:
                return Pair(certificate_file, key_file, *found)
        from cloudwright.apiserver import certificates

        authority = self._ca.parsed() if self._ca is not None else None
        made = certificates.make(wish, authority, self._now())
        pems = made.pems()
        write_atomic(key_file, pems.key, mode=0o600, durable=True)
        write_atomic(certificate_file, pems.certificate, mode=0o644, durable=True)
        end = made.certificate.not_valid_after_utc
        self._examined.note(name, self._parts(wish, pems), end.timestamp())
        return Pair(certificate_file, key_file, pems, end)

    def _examine(self, name: str, wish: Wish, pems: Pems) -> tuple[Pems, datetime] | None:
        """The PEMs in their plain form, and their end, when they are good; ``None``: new ones are
        needed.

        Raises:
            CloudwrightError: they cannot be read, or an authority's time is over.
        """
        from cloudwright.apiserver import certificates

        try:
            found = certificates.parse(pems)
        except ValueError as error:
            raise self._unreadable(name, error) from error
        if found is None:
            return None
        until = found.certificate.not_valid_after_utc
        authority = self._ca.parsed() if self._ca is not None else None
        suits = certificates.suits(found.certificate, wish, authority)
        if suits and self._lasts(until):
            plain = found.pems()
            if plain == pems:
                self._examined.note(name, self._parts(wish, pems), until.timestamp())
            return plain, until
        if wish.use == "ca":
            file = self._directory / f"{name}.crt"
            raise CloudwrightError(
                f"the cluster's certificate authority {file} has expired",
                code="CW3201",
                hint="move the pki directory away and start again; clients need new kubeconfigs",
            )
        return None

    def _unreadable(self, name: str, error: ValueError) -> CloudwrightError:
        return CloudwrightError(
            f"{self._directory / name}.crt or {name}.key is not a PEM certificate and key",
            code="CW3202",
            cause=str(error),
            hint="restore both from a backup, or remove both to have new ones made",
        )

    def _parts(self, wish: Wish, pems: Pems) -> tuple[bytes, ...]:
        """Everything from which follows that the PEMs are good, but the time."""
        authority = self._ca.certificate_pem if self._ca is not None else b""
        return (wish.as_bytes(), authority, *pems)

    def _lasts(self, until: datetime) -> bool:
        """Whether a certificate with this end will do: a new one must last longer."""
        left = until - self._now()
        if self._ca is None or left <= timedelta(0):
            return left > timedelta(0)
        return left >= RENEW_BEFORE or until >= self._ca.until


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
