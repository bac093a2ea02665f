"""A small mesh on the loopback: an authority, proxies as processes, applications in this process.

Sidecars listen on addresses of 127.0.0.0/8; ``app_port`` stands in for the redirect of a pod.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloudwright._base.errors import CloudwrightError
from cloudwright._base.paths import native_binary

DOMAIN = "cluster.local"


def binary() -> Path:
    """The native binary that was built; the test is skipped without one."""
    try:
        return native_binary()
    except CloudwrightError as error:
        pytest.skip(str(error))


def spiffe(namespace: str, account: str = "default") -> str:
    """The identity of a service account."""
    return f"spiffe://{DOMAIN}/ns/{namespace}/sa/{account}"


class Authority:
    """Signs certificates of one trust domain."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.cert = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self.cert.public_bytes(serialization.Encoding.PEM)

    def issue(self, identity: str, *, dns: str = "") -> tuple[bytes, bytes]:
        """Certificate and key as PEM, for a SPIFFE id (and a DNS name)."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity)]
        if dns:
            names = [x509.DNSName(dns)]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        cert = (
            self._builder(x509.Name([]), key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return cert.public_bytes(serialization.Encoding.PEM), secret


def replace(path: Path, data: bytes) -> None:
    """Write by rename, as the control plane does."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody uses now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


class Proxy:
    """One proxy process with its directory."""

    def __init__(self, directory: Path, bootstrap: dict[str, Any], authority: Authority) -> None:
        self.directory = directory
        self.bootstrap = bootstrap
        self.identity = str(bootstrap["identity"])
        directory.mkdir(mode=0o700)
        (directory / "ca.pem").write_bytes(authority.pem)
        self.rotate(authority)
        (directory / "bootstrap.json").write_text(json.dumps(bootstrap))
        self.process: asyncio.subprocess.Process | None = None

    def rotate(self, authority: Authority) -> None:
        """A new key and certificate, by rename, key first."""
        cert, key = authority.issue(self.identity)
        replace(self.directory / "key.pem", key)
        replace(self.directory / "cert.pem", cert)

    async def start(self, *, ready: bool = True, netns: str = "") -> None:
        """Run it; returns when it is ready."""
        argv = [str(binary()), str(self.bootstrap["role"])]
        if netns:
            argv = [
                "ip",
                "netns",
                "exec",
                netns,
                "setpriv",
                "--reuid=1337",
                "--regid=1337",
                "--clear-groups",
                *argv,
            ]
        log = (self.directory / "out.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *argv, "--bootstrap", str(self.directory / "bootstrap.json"), stdout=log, stderr=log
        )
        log.close()
        if ready:
            await self.until_ready()

    async def until_ready(self) -> None:
        """Ask until it says so; its log is in the error."""
        said = ""
        for _ in range(500):
            assert self.process is not None
            assert self.process.returncode is None, self.log()
            try:
                status, said = await self.admin("GET", "/ready")
                if status == 200:
                    return
            except (aiohttp.ClientError, OSError) as error:
                said = str(error)
            await asyncio.sleep(0.01)
        raise AssertionError(f"not ready: {said}\n{self.log()}")

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await self.process.wait()

    def log(self) -> str:
        """What it wrote."""
        return (self.directory / "out.log").read_text()

    async def admin(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Ask its admin socket."""
        connector = aiohttp.UnixConnector(str(self.bootstrap["admin"]))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, "http://proxy" + path, json=body) as answer,
        ):
            return answer.status, await answer.text()

    async def config(self) -> dict[str, Any]:
        """Its ``/config``."""
        value: dict[str, Any] = json.loads((await self.admin("GET", "/config"))[1])
        return value


class World:
    """Everything of one test; ``async with``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority()
        self.proxies: list[Proxy] = []
        self.snapshot: dict[str, Any] = {
            "version": 0,
            "trust_domain": DOMAIN,
            "services": [],
            "routes": [],
        }
        self._runners: list[web.AppRunner] = []
        (directory / "mesh").mkdir()
        self.publish()

    async def __aenter__(self) -> World:
        return self

    async def __aexit__(self, *_: object) -> None:
        for proxy in self.proxies:
            if proxy.process is not None and proxy.process.returncode is None:
                proxy.process.kill()
                await proxy.process.wait()
        for runner in self._runners:
            await runner.cleanup()

    @property
    def snapshot_file(self) -> Path:
        """Where every proxy reads it."""
        return self.directory / "mesh" / "snapshot.json"

    def publish(self) -> int:
        """Write the snapshot with the next version; returns it."""
        self.snapshot["version"] += 1
        replace(self.snapshot_file, json.dumps(self.snapshot).encode())
        version: int = self.snapshot["version"]
        return version

    async def settle(self) -> None:
        """Publish, and wait until every proxy applied it."""
        version = self.publish()
        for proxy in self.proxies:
            status, said = await proxy.admin("GET", f"/wait?version={version}&timeout_ms=5000")
            assert status == 200, said

    def proxy(self, role: str, name: str, namespace: str, **more: Any) -> Proxy:
        """Files of a proxy; it is not started."""
        directory = self.directory / name
        bootstrap = {
            "role": role,
            "id": name,
            "namespace": namespace,
            "identity": spiffe(namespace),
            "trust_domain": DOMAIN,
            "cert": str(directory / "cert.pem"),
            "key": str(directory / "key.pem"),
            "ca": str(directory / "ca.pem"),
            "snapshot": str(self.snapshot_file),
            "admin": str(directory / "admin.sock"),
            "access_log": "-",
            "drain_timeout_ms": 5000,
            **more,
        }
        made = Proxy(directory, bootstrap, self.authority)
        self.proxies.append(made)
        return made

    def sidecar(
        self, name: str, ip: str, app_port: int, namespace: str = "default", **more: Any
    ) -> Proxy:
        """Files of a sidecar on a loopback address, with an application on 127.0.0.1."""
        ports = {
            "inbound_port": free_port(ip),
            "outbound_port": free_port(ip),
            "dns_port": free_port(ip),
        }
        return self.proxy(
            "sidecar",
            name,
            namespace,
            **{"pod": name, "ip": ip, "listen": ip, "app_port": app_port, **ports, **more},
        )

    def gateway(self, **more: Any) -> Proxy:
        """Files of a gateway with one clear listener and a mesh socket."""
        options = {
            "http": [f"127.0.0.1:{free_port()}"],
            "mesh_socket": str(self.directory / "gateway" / "mesh.sock"),
            **more,
        }
        return self.proxy("gateway", "gateway", "cloudwright-system", **options)

    def service(
        self, name: str, sidecars: list[Proxy], *, protocol: str = "http", ip: str = ""
    ) -> dict[str, Any]:
        """Add or replace a Service with these endpoints (not published)."""
        number = len(self.snapshot["services"]) + 10
        service = {
            "namespace": "default",
            "name": name,
            "cluster_ip": ip or f"10.96.0.{number}",
            "load_balancer": "round_robin",
            "ports": [{"name": "main", "port": 80, "protocol": protocol}],
            "endpoints": [
                {
                    "ip": one.bootstrap["ip"],
                    "pod": one.bootstrap["pod"],
                    "identity": one.identity,
                    "ports": {"main": one.bootstrap["inbound_port"]},
                }
                for one in sidecars
            ],
        }
        kept = [old for old in self.snapshot["services"] if old["name"] != name]
        self.snapshot["services"] = [*kept, service]
        return service

    def route(self, service: str, prefix: str, **more: Any) -> None:
        """Add a route of the gateway (not published)."""
        self.snapshot["routes"].append(
            {
                "namespace": "default",
                "name": service,
                "hosts": ["*"],
                "path_prefix": prefix,
                "strip_prefix": True,
                "service": service,
                "port": 80,
                "timeout_ms": 5000,
                "retries": {
                    "attempts": 2,
                    "per_try_timeout_ms": 0,
                    "on": ["connect-failure", "reset", "unavailable"],
                },
                "load_balancer": "least_request",
                **more,
            }
        )

    async def app(self, handler: Any, port: int = 0) -> int:
        """An HTTP/1.1 application on 127.0.0.1; returns its port."""
        port = port or free_port()
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self._runners.append(runner)
        return port


async def echo(request: web.Request) -> web.Response:
    """Says what it got."""
    body = await request.read()
    return web.json_response(
        {
            "path": request.path_qs,
            "method": request.method,
            "length": len(body),
            "headers": {name.lower(): value for name, value in request.headers.items()},
        }
    )
