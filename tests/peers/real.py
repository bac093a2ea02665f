"""kube-apiserver with etcd (or kine on SQLite), alone or with its controllers, on loopback."""

from __future__ import annotations

import json
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.peers.build import built
from tests.peers.cluster import ADMIN, MASTERS, TOKEN_USERS, Cluster
from tests.peers.pki import Authority
from tests.peers.processes import Program, free_port, running, start

ISSUER = "https://kubernetes.default.svc.cluster.local"
SERVICES = "10.96.0.0/16"
Words = list[str | Path]
Made = tuple[Program, Callable[[], bool]]


@contextmanager
def real_cluster(
    directory: Path,
    *,
    store: str = "etcd",
    controllers: bool = False,
    flags: Sequence[str] = (),
) -> Iterator[Cluster]:
    """A ready kube-apiserver with RBAC; ``store`` is ``etcd`` or ``kine``.

    ``controllers`` adds kube-controller-manager and kube-scheduler. Starting again in the same
    directory finds the same objects and credentials.

    Raises:
        Unavailable: a program is not built.
        NotStarted: one did not become ready.
    """
    directory.mkdir(parents=True, exist_ok=True)
    authority = Authority(directory / "pki")
    cluster = Cluster(store, "", authority, directory, _tokens(directory))
    if store == "etcd":
        cluster.name = "real"
    endpoints: list[str] = []

    def add(name: str, make: Callable[[], Made]) -> None:
        program = start(make)
        stack.enter_context(running(program))
        cluster.programs[name] = program

    with ExitStack() as stack:
        add(store, lambda: (_etcd if store == "etcd" else _kine)(directory, endpoints))
        add("kube-apiserver", lambda: _api(cluster, endpoints[-1], flags))
        if controllers:
            add("kube-controller-manager", lambda: _controller_manager(cluster))
            add("kube-scheduler", lambda: _controller(cluster, "kube-scheduler", []))
        yield cluster


def answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether ``GET url`` gives 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def listens(port: int) -> bool:
    """Whether something listens on the port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except OSError:
        return False
    return True


def _etcd(directory: Path, endpoints: list[str]) -> Made:
    client, own = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    endpoints.append(client)
    words: Words = [built("etcd"), "--name", "default", "--data-dir", directory / "etcd"]
    words += ["--listen-client-urls", client, "--advertise-client-urls", client]
    words += ["--listen-peer-urls", own, "--initial-advertise-peer-urls", own]
    words += ["--initial-cluster", f"default={own}", "--log-level", "warn"]
    return Program(words, directory / "etcd.log"), lambda: answers(f"{client}/readyz")


def _kine(directory: Path, endpoints: list[str]) -> Made:
    port = free_port()
    endpoints.append(f"http://127.0.0.1:{port}")
    dsn = (
        f"sqlite://{directory}/state.db?_journal_mode=WAL&_busy_timeout=30000"
        "&_synchronous=FULL&_txlock=immediate&_stmt_cache_size=20&cache=shared"
    )
    words: Words = [built("kine"), "--endpoint", dsn, "--listen-address", f"127.0.0.1:{port}"]
    words += ["--metrics-bind-address", "0"]
    return Program(words, directory / "kine.log"), lambda: listens(port)


def _anonymous(directory: Path) -> Path:
    """Who is nobody may ask for health and version, as ours lets him, and for nothing else."""
    conditions = [{"path": path} for path in ("/healthz", "/livez", "/readyz", "/version")]
    file = directory / "authentication.json"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "AuthenticationConfiguration",
                "anonymous": {"enabled": True, "conditions": conditions},
            }
        )
    )
    return file


def _tokens(directory: Path) -> dict[str, str]:
    file = directory / "tokens.csv"
    if file.exists():
        lines = [line.split(",") for line in file.read_text().splitlines()]
        return {line[1]: line[0] for line in lines}
    tokens = {user: f"token-of-{user}-{os.urandom(8).hex()}" for user in TOKEN_USERS}
    file.touch(0o600)
    file.write_text(
        "".join(
            ",".join([tokens[user], user, "", *([f'"{",".join(groups)}"'] if groups else [])])
            + "\n"
            for user, groups in TOKEN_USERS.items()
        )
    )
    return tokens


def _signing_key(directory: Path) -> tuple[Path, Path]:
    private, public = directory / "sa.key", directory / "sa.pub"
    if not private.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = serialization.Encoding.PEM
        form = serialization.PrivateFormat.TraditionalOpenSSL
        private.touch(0o600)
        private.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public.write_bytes(key.public_key().public_bytes(pem, form))
    return private, public


def _api(cluster: Cluster, endpoint: str, flags: Sequence[str]) -> Made:
    certificate, key = cluster.authority.server()
    private, public = _signing_key(cluster.directory)
    port = free_port()
    cluster.url = f"https://127.0.0.1:{port}"
    words: Words = [
        built("kube-apiserver"),
        f"--etcd-servers={endpoint}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--client-ca-file={cluster.authority.file}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--token-auth-file={cluster.directory / 'tokens.csv'}",
        f"--authentication-config={_anonymous(cluster.directory)}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={private}",
        f"--service-cluster-ip-range={SERVICES}",
        "--allow-privileged=true",
        *flags,
    ]
    context = cluster.context(ADMIN, (MASTERS,))
    ready = f"{cluster.url}/readyz"
    return Program(words, cluster.directory / "apiserver.log"), lambda: answers(ready, context)


def _controller_manager(cluster: Cluster) -> Made:
    private, _ = _signing_key(cluster.directory)
    more = [
        f"--service-account-private-key-file={private}",
        f"--root-ca-file={cluster.authority.file}",
        "--use-service-account-credentials=true",
        f"--service-cluster-ip-range={SERVICES}",
        f"--cluster-signing-cert-file={cluster.authority.file}",
        f"--cluster-signing-key-file={cluster.authority.directory / 'ca.key'}",
    ]
    return _controller(cluster, "kube-controller-manager", more)


def _controller(cluster: Cluster, name: str, more: Sequence[str]) -> Made:
    config, port = cluster.kubeconfig(f"system:{name}", ()), free_port()
    words: Words = [built(name), f"--kubeconfig={config}", f"--secure-port={port}"]
    words += [f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}"]
    words += ["--bind-address=127.0.0.1", *more]
    program = Program(words, cluster.directory / f"{name}.log")
    return program, lambda: answers(f"https://127.0.0.1:{port}/healthz", _unverified())


def _unverified() -> ssl.SSLContext:
    """For health of programs that make their own certificate at each start."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
