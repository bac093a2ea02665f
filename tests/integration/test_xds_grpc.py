"""A proxyless gRPC client (``xds:///…``) under the mesh's xDS server: endpoints, splits, and mutual
TLS with the mesh's identities, without any proxy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import grpc
import pytest
from anyio import to_thread

from cloudwright._base.paths import Paths
from cloudwright.mesh.config import MeshConfig
from cloudwright.mesh.controller import MeshControl
from cloudwright.mesh.xds.status import Registry
from cloudwright.platform import xds
from cloudwright.platform.config import PlatformConfig
from tests.unit.mesh.mesh_objects import endpoint, piece, pod, service

pytestmark = pytest.mark.anyio
TARGET = "xds:///payment.default.svc.cluster.local:80"
CLIENT = """
import grpc, sys
credentials = grpc.xds_channel_credentials(grpc.ssl_channel_credentials())
with grpc.secure_channel(sys.argv[1], credentials) as channel:
    call = channel.unary_unary("/test.Names/Name")
    for line in sys.stdin:
        try:
            print(call(b"", timeout=20).decode(), flush=True)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", flush=True)
"""


class World:
    def __init__(self, mesh: MeshControl, registry: Registry) -> None:
        self.mesh = mesh
        self.registry = registry
        self.servers: list[grpc.Server] = []
        self.ports: dict[str, int] = {}
        self.client: subprocess.Popen[str] | None = None

    def backend(self, name: str, identity: str) -> None:
        """A gRPC server that answers its name, as a workload with ``identity``."""
        made = self.mesh.authority.issue_identity(
            identity, now=datetime.now(UTC), lifetime=timedelta(hours=1)
        )
        credentials = grpc.ssl_server_credentials(
            [(made.key_pem, made.cert_pem)], self.mesh.authority.ca_pem, require_client_auth=True
        )
        method = grpc.unary_unary_rpc_method_handler(lambda request, context: name.encode())
        server = grpc.server(ThreadPoolExecutor(2))
        handler = grpc.method_handlers_generic_handler("test.Names", {"Name": method})
        server.add_generic_rpc_handlers((handler,))
        self.ports[name] = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        self.servers.append(server)

    async def publish(self, backends: dict[str, int] | None = None, **apps: str) -> None:
        """Services with one backend each: ``payment="one"``."""
        services, slices, pods = [], [], []
        for number, (app, name) in enumerate(apps.items()):
            made = service(app, f"10.96.0.{number + 20}", ports=[{"name": "grpc", "port": 80}])
            if backends and app == "payment":
                note = {"cloudwright.dev/backends": json.dumps(backends)}
                made["metadata"]["annotations"] = note
            services.append(made)
            pods.append(pod(f"{app}-1", "127.0.0.1", app=app))
            port = [{"name": "grpc", "port": self.ports[name]}]
            slices.append(piece(app, endpoint(pods[-1]), ports=port))
            pods[-1]["metadata"]["uid"] = slices[-1]["endpoints"][0]["targetRef"]["uid"]
        await self.mesh.update(services, slices, pods, [])

    def start_client(self, folder: Path) -> None:
        gateway = self.mesh.files.directory("gateway")
        provider = {
            "certificate_file": str(gateway / "cert.pem"),
            "private_key_file": str(gateway / "key.pem"),
            "ca_certificate_file": str(gateway / "ca.pem"),
            "refresh_interval": "600s",
        }
        server = {
            "server_uri": f"unix:{self.mesh.config.paths.run / 'xds.sock'}",
            "channel_creds": [{"type": "insecure"}],
            "server_features": ["xds_v3"],
        }
        bootstrap = {
            "xds_servers": [server],
            "node": {"id": "client-1", "metadata": {"role": "grpc"}},
            "certificate_providers": {"default": {"plugin_name": "file_watcher"}},
        }
        bootstrap["certificate_providers"]["default"]["config"] = provider  # type: ignore[index]
        file = folder / "bootstrap.json"
        file.write_text(json.dumps(bootstrap))
        words = [sys.executable, "-c", CLIENT, TARGET]
        environment = {**os.environ, "GRPC_XDS_BOOTSTRAP": str(file)}
        self.client = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    async def ask(self) -> str:
        def one() -> str:
            assert self.client is not None
            assert self.client.stdin is not None
            assert self.client.stdout is not None
            self.client.stdin.write("\n")
            self.client.stdin.flush()
            return self.client.stdout.readline().strip()

        return await to_thread.run_sync(one)

    async def until(self, wanted: str) -> list[str]:
        """Ask until ``wanted`` answers; everything that was heard."""
        heard: list[str] = []
        with anyio.move_on_after(60):
            while not heard or heard[-1] != wanted:
                heard.append(await self.ask())
            return heard
        raise AssertionError(f"{wanted} never answers: {heard[-5:]} {self.registry.summary()}")

    def close(self) -> None:
        if self.client is not None:
            self.client.kill()
            self.client.communicate()
        for server in self.servers:
            server.stop(None).wait()


@pytest.fixture(scope="module")
async def world(anyio_backend: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cwg")))
        paths = Paths(folder / "s", folder / "r", folder / "u")
        mesh = MeshControl(MeshConfig(paths, uid=os.geteuid(), gid=os.getegid()))
        await mesh.start()
        await mesh.gateway(["127.0.0.1:8080"])
        registry = await xds.serve(stack, paths, ["unix"], mesh, PlatformConfig())
        made = World(mesh, registry)
        stack.callback(made.close)
        for name in ("one", "two"):
            made.backend(name, mesh.config.identity("default", "default"))
        made.backend("stranger", mesh.config.identity("other", "default"))
        await made.publish(payment="one")
        made.start_client(folder)
        yield made


async def test_endpoints_and_splits_arrive(world: World) -> None:
    assert await world.until("one") == ["one"]
    await world.publish(payment="two")
    assert set(await world.until("two")) <= {"one", "two"}
    await world.publish({"payment": 0, "canary": 1}, payment="two", canary="one")
    assert set(await world.until("one")) <= {"one", "two"}
    await world.publish(payment="two")
    assert set(await world.until("two")) <= {"one", "two"}


async def test_an_endpoint_with_another_identity_is_not_believed(world: World) -> None:
    await world.publish(payment="two")
    await world.until("two")
    await world.publish(payment="stranger")

    async def failing() -> list[str]:
        heard = [""]
        with anyio.fail_after(60):
            while heard[-1] in ("", "two"):
                heard.append(await world.ask())
        return heard

    heard = await failing()
    assert "stranger" not in heard
    assert heard[-1].startswith(("UNAVAILABLE", "DEADLINE_EXCEEDED"))
    await world.publish(payment="one")
    await world.until("one")


async def test_a_client_is_seen_and_told_nothing_secret(world: World) -> None:
    await world.until("one")

    def client() -> dict[str, Any]:
        return next(one for one in world.registry.summary() if one["node"] == "client-1")

    types = client()["types"]
    assert {"listeners", "routes", "clusters", "endpoints"} == set(types)
    assert all("refused" not in one for one in types.values())
