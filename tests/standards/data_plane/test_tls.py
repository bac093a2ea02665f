"""TLS as a scanner looks at it: the edge's versions, ciphers and ALPN, the mesh's identities."""

from __future__ import annotations

import datetime
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.peers.pki import Authority
from tests.standards.data_plane.recorder import recording
from tests.standards.data_plane.world import EDGE_NAME, WAYS, Edge, edge, sidecar


@pytest.fixture(scope="module", params=WAYS)
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    directory: Path = tmp_path_factory.mktemp("tls")
    with recording() as recorder, edge(directory, request.param, recorder.port) as made:
        yield made


def context(front: Edge, *alpn: str) -> ssl.SSLContext:
    """A client that trusts the edge's authority."""
    made = ssl.create_default_context(cafile=str(front.authority.file))
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def handshake(port: int, made: ssl.SSLContext, name: str | None = EDGE_NAME) -> ssl.SSLSocket:
    """A connection after its handshake."""
    sock = socket.create_connection(("127.0.0.1", port), 20)
    return made.wrap_socket(sock, server_hostname=name)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_versions_of_today(front: Edge, version: str) -> None:
    made = context(front)
    made.minimum_version = made.maximum_version = ssl.TLSVersion[version]
    with handshake(front.secure, made) as sock:
        assert sock.version() == version.replace("_", ".")
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_of_yesterday_are_refused(front: Edge, version: str) -> None:
    made = context(front)
    made.set_ciphers("ALL:@SECLEVEL=0")
    made.minimum_version = ssl.TLSVersion.TLSv1
    made.maximum_version = ssl.TLSVersion[version]
    with pytest.raises(ssl.SSLError), handshake(front.secure, made):
        pass


def test_only_ciphers_with_forward_secrecy_and_authentication(front: Edge) -> None:
    """Each cipher of TLS 1.2 that this OpenSSL has, one by one."""
    every = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    every.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    accepted = set()
    for name in {str(one["name"]) for one in every.get_ciphers() if one["protocol"] != "TLSv1.3"}:
        made = context(front)
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers(f"{name}:@SECLEVEL=0")
        try:
            with handshake(front.secure, made) as sock:
                accepted.add(str((sock.cipher() or ("",))[0]))
        except (ssl.SSLError, OSError):
            continue
    assert accepted
    bad = {one for one in accepted if not one.startswith("ECDHE-")}
    bad |= {one for one in accepted if "GCM" not in one and "CHACHA20" not in one}
    assert not bad


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("h2", "http/1.1"), "h2"),
        (("http/1.1", "h2"), "h2"),
        (("http/1.1",), "http/1.1"),
        ((), None),
    ],
)
def test_alpn(front: Edge, offered: tuple[str, ...], chosen: str | None) -> None:
    with handshake(front.secure, context(front, *offered)) as sock:
        assert sock.selected_alpn_protocol() == chosen


def test_a_protocol_that_nobody_speaks_is_refused(front: Edge) -> None:
    """RFC 7301, 3.2: no_application_protocol, rather than a guess."""
    with pytest.raises(ssl.SSLError), handshake(front.secure, context(front, "spdy/3")):
        pass


def test_compression_and_renegotiation_are_off(front: Edge) -> None:
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{front.secure}", "-tls1_2"]
    done = subprocess.run(words, input=b"", capture_output=True, timeout=60)
    said = done.stdout.decode(errors="replace")
    assert "Compression: NONE" in said, said[-2000:]
    assert "Secure Renegotiation IS supported" in said, said[-2000:]


def test_clear_text_on_the_secure_port_is_no_request(front: Edge) -> None:
    with socket.create_connection(("127.0.0.1", front.secure), 20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        try:
            text = sock.recv(1000)
        except ConnectionError:
            text = b""
    assert not text.startswith(b"HTTP/1.1 200")


# The mesh's own connections: a sidecar asks its clients who they are.


@pytest.fixture(scope="module")
def inbound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Authority]]:
    directory: Path = tmp_path_factory.mktemp("mtls")
    authority = Authority(directory / "pki")
    with (
        recording() as recorder,
        sidecar(directory, authority, "app-0", recorder.port) as (port, _),
    ):
        yield port, authority


def certificate(
    authority: Authority,
    directory: Path,
    identity: str,
    *,
    begins: float = -1,
    ends: float = 1,
    uris: int = 1,
) -> tuple[Path, Path]:
    """A client's certificate, its validity in hours from now."""
    loaded = serialization.load_pem_private_key((authority.directory / "ca.key").read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(authority.file.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    names = [
        x509.UniformResourceIdentifier(identity + ("x" * number if number else ""))
        for number in range(uris)
    ]
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(hours=begins))
        .not_valid_after(now + datetime.timedelta(hours=ends))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(loaded, hashes.SHA256())
    )
    files = directory / "client.crt", directory / "client.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def accepted(port: int, files: tuple[Path, Path] | None, alpn: str = "h2") -> bool:
    """Whether a client with this certificate gets HTTP/2's first frame."""
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols([alpn])
    if files:
        made.load_cert_chain(*files)
    try:
        with (
            socket.create_connection(("127.0.0.2", port), 20) as plain,
            made.wrap_socket(plain, server_hostname="x") as sock,
        ):
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            return bool(sock.recv(100))
    except OSError:
        return False


GOOD = "spiffe://cluster.local/ns/default/sa/client"


def test_a_client_of_the_mesh_is_accepted(inbound: tuple[int, Authority], tmp_path: Path) -> None:
    port, authority = inbound
    assert accepted(port, certificate(authority, tmp_path, GOOD))


def test_a_client_without_certificate_is_refused(inbound: tuple[int, Authority]) -> None:
    assert not accepted(inbound[0], None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"begins": -2, "ends": -1},
        {"begins": 1, "ends": 2},
        {"uris": 2},
        {"identity": "spiffe://other.local/ns/default/sa/client"},
        {"identity": "https://cluster.local/ns/default/sa/client"},
        {"identity": "spiffe://cluster.local"},
    ],
    ids=["expired", "not yet valid", "two identities", "other domain", "no SPIFFE ID", "no path"],
)
def test_a_client_with_a_wrong_certificate_is_refused(
    inbound: tuple[int, Authority], tmp_path: Path, wrong: dict[str, object]
) -> None:
    port, authority = inbound
    files = certificate(authority, tmp_path, **{"identity": GOOD, **wrong})  # type: ignore[arg-type]
    assert not accepted(port, files)


def test_a_client_of_another_authority_is_refused(
    inbound: tuple[int, Authority], tmp_path: Path
) -> None:
    assert not accepted(inbound[0], certificate(Authority(tmp_path / "pki"), tmp_path, GOOD))


def test_the_mesh_speaks_no_old_version(inbound: tuple[int, Authority], tmp_path: Path) -> None:
    port, authority = inbound
    files = certificate(authority, tmp_path, GOOD)
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(*files)
    with (
        socket.create_connection(("127.0.0.2", port), 20) as plain,
        pytest.raises((ssl.SSLError, OSError)),
    ):
        made.wrap_socket(plain, server_hostname="x")
