"""Identities that verify, keys that stay private, damage that is told."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store

from cloudwright.mesh.authority import Authority, identity_of, key_matches
from cloudwright.mesh.errors import AuthorityError

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
IDENTITY = "spiffe://cluster.local/ns/shop/sa/cashier"


def authority(tmp_path: Path, now: datetime = NOW) -> Authority:
    return Authority.load_or_create(tmp_path / "mesh", "test mesh", now)


def issue(ca: Authority, lifetime: timedelta = timedelta(hours=24)) -> x509.Certificate:
    issued = ca.issue_identity(IDENTITY, now=NOW, lifetime=lifetime)
    cert = x509.load_pem_x509_certificate(issued.cert_pem)
    assert key_matches(cert, issued.key_pem)
    return cert


def test_a_leaf_is_a_spiffe_svid_that_verifies(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    cert = issue(ca)
    assert identity_of(cert) == IDENTITY
    assert ca.issued(cert)
    root = x509.load_pem_x509_certificate(ca.ca_pem)
    for role in (PolicyBuilder().store(Store([root])).time(NOW).build_client_verifier(),):
        verified = role.verify(cert, [])
        assert [name.value for name in verified.subjects or []] == [IDENTITY]
    basic = cert.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not basic.ca
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical  # the subject is empty
    assert cert.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert cert.not_valid_after_utc == NOW + timedelta(hours=24)


def test_openssl_agrees(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = authority(tmp_path, now)
    issued = ca.issue_identity(IDENTITY, now=now, lifetime=timedelta(hours=1))
    (tmp_path / "leaf.pem").write_bytes(issued.cert_pem)
    for purpose in ("sslserver", "sslclient"):
        words = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile"]
        done = subprocess.run(
            [*words, str(tmp_path / "mesh/ca.pem"), str(tmp_path / "leaf.pem")],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_gateways_certificate_names_its_hosts(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = Authority.load_or_create(tmp_path / "gateway", "gateway", now)
    issued = ca.issue_serving(["localhost", "127.0.0.1"], now=now, lifetime=timedelta(days=90))
    both = tmp_path / "both.pem"
    both.write_bytes(issued.cert_pem + issued.key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(both)
    client = ssl.create_default_context(cadata=ca.ca_pem.decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    right = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (left, right):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert left.version() == "TLSv1.3"


def test_the_authority_survives_and_another_one_does_not_pass(tmp_path: Path) -> None:
    first = authority(tmp_path)
    cert = issue(first)
    assert authority(tmp_path).issued(cert)
    other = Authority.load_or_create(tmp_path / "other", "test mesh", NOW)
    assert not other.issued(cert)


def test_keys_are_private(tmp_path: Path) -> None:
    authority(tmp_path)
    folder = tmp_path / "mesh"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600


def test_a_crash_between_key_and_certificate_is_repaired(tmp_path: Path) -> None:
    authority(tmp_path)
    (tmp_path / "mesh/ca.pem").unlink()
    ca = authority(tmp_path)
    assert ca.issued(issue(ca))


@pytest.mark.parametrize("damage", ["ca.key", "ca.pem", "swapped", "expired"])
def test_damage_is_told_and_never_papered_over(tmp_path: Path, damage: str) -> None:
    authority(tmp_path)
    now = NOW
    if damage == "swapped":
        Authority.load_or_create(tmp_path / "other", "x", NOW)
        (tmp_path / "mesh/ca.pem").write_bytes((tmp_path / "other/ca.pem").read_bytes())
    elif damage == "expired":
        now = NOW + timedelta(days=3651)
    else:
        (tmp_path / "mesh" / damage).write_text("nonsense")
    with pytest.raises(AuthorityError, match=str(tmp_path / "mesh")) as caught:
        authority(tmp_path, now)
    assert caught.value.hint is not None


def test_a_leaf_never_outlives_the_authority(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    cert = issue(ca, lifetime=timedelta(days=10_000))
    assert cert.not_valid_after_utc == ca.not_after
    assert cert.serial_number.bit_length() > 64
    key = cert.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert key
