import json
import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from cloudwright._base.errors import CloudwrightError, ConflictError
from cloudwright._base.paths import Paths
from cloudwright.apiserver import certificates, ports, tls
from cloudwright.apiserver.authn import Authenticator, Peer, TokenFile, issue_token, peer_of
from cloudwright.apiserver.authn.keys import SigningKeys
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.identity import User

START = datetime(2026, 1, 1, tzinfo=UTC)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_pki_is_private_and_stays_as_it_is(tmp_path):
    first = tls.Pki(tmp_path / "pki")
    server = first.server(tls.server_names())
    admin = first.client("admin", "root", ["system:masters", "ops"])
    assert mode(tmp_path / "pki") == 0o700
    assert {mode(p.key_file) for p in (first.ca, server, admin)} == {0o600}
    again = tls.Pki(tmp_path / "pki")
    assert again.ca.certificate == first.ca.certificate
    assert again.server(tls.server_names()).certificate == server.certificate
    assert again.client("admin", "root", ["system:masters", "ops"]).certificate == (
        admin.certificate
    )


def test_the_server_certificate_has_its_names_and_follows_them(tmp_path):
    pki = tls.Pki(tmp_path / "pki")
    names = tls.server_names("10.96.0.0/16")
    first = pki.server(names)
    found = first.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(found.get_values_for_type(x509.DNSName)) == {
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    }
    addresses = {str(a) for a in found.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "::1", "10.96.0.1"}
    assert pki.server([*names, "api.example"]).certificate != first.certificate


def test_certificates_are_renewed_before_their_end_but_not_earlier(tmp_path):
    now = START
    pki = tls.Pki(tmp_path / "pki", lambda: now)
    first = pki.client("admin", "root").certificate
    now = START + timedelta(days=300)
    assert pki.client("admin", "root").certificate == first
    now = START + timedelta(days=340)
    assert pki.client("admin", "root").certificate != first
    now = START + timedelta(days=4000)
    with pytest.raises(CloudwrightError, match="has expired"):
        tls.Pki(tmp_path / "pki", lambda: now)


def test_a_certificate_that_lasts_as_long_as_its_authority_is_not_renewed(tmp_path):
    now = START
    pki = tls.Pki(tmp_path / "pki", lambda: now)
    now = pki.ca.until - timedelta(days=20)
    first = pki.client("admin", "root")
    assert first.until == pki.ca.until
    now += timedelta(days=19)
    assert pki.client("admin", "root").pems == first.pems


def test_a_crash_between_key_and_certificate_heals(tmp_path):
    pki = tls.Pki(tmp_path / "pki")
    pair = pki.client("admin", "root")
    pair.key_file.write_bytes(pki.client("other", "other").key_pem)
    healed = pki.client("admin", "root")
    assert healed.key.public_key() == healed.certificate.public_key()


def test_nonsense_in_a_key_file_is_said(tmp_path):
    pair = tls.Pki(tmp_path / "pki").client("admin", "root")
    pair.key_file.write_text("nonsense")
    with pytest.raises(CloudwrightError, match=r"admin\.key is not a PEM"):
        tls.Pki(tmp_path / "pki").client("admin", "root")


def test_kubeconfig_embeds_everything_for_its_owner_only(tmp_path):
    paths = Paths.find(tmp_path)
    file = tls.write_kubeconfig(paths, "https://127.0.0.1:6443")
    before = file.stat().st_mtime_ns
    assert mode(file) == 0o600
    content = json.loads(file.read_text())
    assert content["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert "client-key-data" in content["users"][0]["user"]
    tls.write_kubeconfig(paths, "https://127.0.0.1:6443")
    assert file.stat().st_mtime_ns == before


def test_server_context_asks_for_certificates_and_has_no_old_tls(tmp_path):
    context = tls.server_context(tls.Pki(tmp_path / "pki"), tls.server_names())
    assert context.verify_mode is ssl.CERT_OPTIONAL
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_peer_of_a_certificate():
    subject = ((("organizationName", "a"),), (("organizationName", "b"),), (("commonName", "me"),))
    assert peer_of({"subject": subject}) == Peer("me", ("a", "b"))
    assert peer_of({"subject": ()}) is None
    assert peer_of({}) is None
    assert peer_of(None) is None


@pytest.mark.anyio
async def test_tokens_are_kept_as_digests_and_can_be_revoked(tmp_path):
    paths = Paths.find(tmp_path)
    token = issue_token(paths, "ann", ["cloudwright:viewers"])
    file = tmp_path / "apiserver" / "tokens.json"
    assert token not in file.read_text()
    assert mode(file) == 0o600
    tokens = TokenFile.of(paths)
    who = Authenticator(tokens)
    assert await who.user(None, {"authorization": f"Bearer {token}"}) == User(
        "ann", ("cloudwright:viewers", "system:authenticated")
    )
    assert tokens.revoke("ann") == 1
    with pytest.raises(ApiError, match="Unauthorized"):
        await who.user(None, {"authorization": f"Bearer {token}"})


@pytest.mark.anyio
async def test_wrong_tokens_are_refused_and_other_schemes_not_looked_at(tmp_path):
    who = Authenticator(TokenFile(tmp_path / "none.json"))
    with pytest.raises(ApiError) as error:
        await who.user(None, {"authorization": "Bearer wrong"})
    assert error.value.http_status == 401
    for header in ("", "Bearer", "Bearer ", "Basic YTpi", "x y z"):
        assert await who.user(None, {"authorization": header}) is None


@pytest.mark.anyio
async def test_no_credentials_are_nobody_and_a_certificate_wins(tmp_path):
    who = Authenticator(TokenFile(tmp_path / "none.json"))
    assert await who.user(None, {}) is None
    user = await who.user(Peer("me", ("g",)), {"authorization": "Bearer wrong"})
    assert user == User("me", ("g", "system:authenticated"))


def test_a_broken_token_file_is_said(tmp_path):
    file = tmp_path / "tokens.json"
    file.write_text('{"tokens": [{"user": 1}]}')
    with pytest.raises(CloudwrightError, match="is not a token file"):
        TokenFile(file).review("x")


def test_a_busy_port_names_its_holder():
    with ports.listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(ConflictError, match=rf"port {port} on 127.0.0.1 .* by .*\(pid \d+\)"):
            ports.listen("127.0.0.1", port)


def test_an_address_of_somebody_else_cannot_be_used():
    with pytest.raises(CloudwrightError, match=r"cannot listen on 192\.0\.2\.1:"):
        ports.listen("192.0.2.1", 0)


def examined(monkeypatch):
    """What is looked at closely from now on."""
    seen = []
    parse = certificates.parse
    monkeypatch.setattr(certificates, "parse", lambda pems: seen.append(pems) or parse(pems))
    return seen


def test_certificates_are_looked_at_closely_once(tmp_path, monkeypatch):
    pki = tls.Pki(tmp_path / "pki")
    pair = pki.client("admin", "root", ["ops"])
    pki.server(tls.server_names())
    seen = examined(monkeypatch)
    again = tls.Pki(tmp_path / "pki")
    assert again.client("admin", "root", ["ops"]).pems == pair.pems
    again.server(tls.server_names())
    assert not seen
    assert again.client("admin", "root", ["others"]).pems != pair.pems  # another wish
    assert seen


@pytest.mark.parametrize("what", ["admin.crt", "admin.key", "ca.crt"])
def test_a_certificate_that_changed_is_looked_at_again(tmp_path, monkeypatch, what):
    pki = tls.Pki(tmp_path / "pki")
    pair = pki.client("admin", "root")
    other = tls.Pki(tmp_path / "other")
    other.client("admin", "root")
    (tmp_path / "pki" / what).write_bytes((tmp_path / "other" / what).read_bytes())
    if what == "ca.crt":
        (tmp_path / "pki" / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    seen = examined(monkeypatch)
    healed = tls.Pki(tmp_path / "pki").client("admin", "root")
    assert seen
    assert healed.pems != pair.pems
    assert healed.key.public_key() == healed.certificate.public_key()
    healed.certificate.verify_directly_issued_by(tls.Pki(tmp_path / "pki").ca.certificate)


def test_a_certificate_with_more_in_its_file_is_taken_without_the_rest(tmp_path, monkeypatch):
    pki = tls.Pki(tmp_path / "pki")
    pair = pki.client("admin", "root")
    other = tls.Pki(tmp_path / "other").ca
    pair.certificate_file.write_bytes(pair.certificate_pem + other.certificate_pem)
    assert tls.Pki(tmp_path / "pki").client("admin", "root").pems == pair.pems
    seen = examined(monkeypatch)
    assert tls.Pki(tmp_path / "pki").client("admin", "root").pems == pair.pems
    assert seen


def test_what_was_examined_is_kept_privately_and_may_be_lost_or_damaged(tmp_path):
    pair = tls.Pki(tmp_path / "pki").client("admin", "root")
    file = tmp_path / "pki" / "examined.json"
    assert mode(file) == 0o600
    for damage in ("", "[]", '{"admin": 1}', '{"admin": ["x", "y"]}', "{"):
        file.write_text(damage)
        assert tls.Pki(tmp_path / "pki").client("admin", "root").pems == pair.pems
    file.unlink()
    assert tls.Pki(tmp_path / "pki").client("admin", "root").pems == pair.pems


def test_signing_keys_are_read_when_a_token_needs_them(tmp_path):
    first = SigningKeys(tmp_path / "keys")
    first.rotate()
    kids = [key.kid for key in first.all()]
    assert len(kids) == 2
    again = SigningKeys(tmp_path / "keys")
    assert again._loaded is None
    assert [key.kid for key in again.all()] == kids
    assert again.find("nobody's") is None
    (tmp_path / "keys" / "signing.key").write_text("nonsense")
    with pytest.raises(CloudwrightError, match="is not a signing key"):
        SigningKeys(tmp_path / "keys")
