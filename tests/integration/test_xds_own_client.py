"""Our proxy's own xDS client under our xDS server: what the mesh says is what the proxy has, as
gateway and as sidecar, in both variants.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from cloudwright._base.paths import Paths
from cloudwright.mesh.config import MeshConfig
from cloudwright.mesh.controller import MeshControl
from cloudwright.model.sandbox import Attachment
from cloudwright.platform import xds
from cloudwright.platform.config import PlatformConfig
from tests.integration.xds_program import Lines, proxy
from tests.unit.mesh.mesh_objects import endpoint, piece, pod, route, service

pytestmark = pytest.mark.anyio
NAME = "payment.default.svc.cluster.local:80"


@pytest.fixture(scope="module")
async def mesh(anyio_backend: str) -> AsyncIterator[MeshControl]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cwo")))
        binary = folder / "native"
        binary.touch()
        paths = Paths(folder / "s", folder / "r", folder / "u")
        config = MeshConfig(paths, uid=os.geteuid(), gid=os.getegid(), binary=binary)
        made = MeshControl(config)
        await made.start()
        await made.gateway(["127.0.0.1:8080"], ["127.0.0.1:8443"])
        await xds.serve(stack, paths, ["unix", "mesh"], made, PlatformConfig())
        yield made


async def publish(mesh: MeshControl, *ips: str) -> None:
    pods = [pod(f"p{number}", ip) for number, ip in enumerate(ips)]
    routes = [route("payment", pathPrefix="/payment", stripPrefix=True)]
    await mesh.update([service("payment")], [piece("payment", *map(endpoint, pods))], pods, routes)


async def until(program: Lines, **names: str) -> dict[str, Any]:
    """The first update that has a resource of each of these kinds and names."""
    while True:
        found: dict[str, Any] = await program.until("resources")
        if all(name in found[what] for what, name in names.items()):
            return found


@pytest.mark.parametrize("delta", [True, False])
async def test_the_gateway(mesh: MeshControl, tmp_path: Path, delta: bool) -> None:
    await publish(mesh, "10.244.0.5")
    control = {
        "server": f"unix:{mesh.config.paths.run / 'xds.sock'}",
        "node": {"id": "gateway", "cluster": "mesh", "metadata": {"role": "gateway"}},
        "delta": delta,
    }
    async with proxy(tmp_path, control) as program:
        found = await until(program, listeners="http|127.0.0.1:8080")
        assert NAME in found["clusters"]
        assert "10.244.0.5" in str(found["assignments"][NAME])
        assert "/payment" in str(found["routes"])
        await publish(mesh, "10.244.0.6")
        while "10.244.0.6" not in str(found["assignments"]):
            found = await program.until("resources")
        assert "10.244.0.5" not in str(found["assignments"])


async def test_a_sidecar_over_mutual_tls(mesh: MeshControl, tmp_path: Path) -> None:
    await publish(mesh, "10.244.0.5")
    place = Attachment("uid-1", "/run/netns/x", "10.244.0.5", "10.244.0.1", "eth0")
    await mesh.enroll(pod("p0", "10.244.0.5"), place)
    own = mesh.files.directory("uid-1")
    control: dict[str, Any] = {
        "server": f"unix:{mesh.config.paths.run / 'xds-mesh.sock'}",
        "node": {"id": "uid-1", "cluster": "mesh", "metadata": {"role": "sidecar"}},
        "delta": True,
        "tls": {
            "ca": str(own / "ca.pem"),
            "certificate": str(own / "cert.pem"),
            "key": str(own / "key.pem"),
            "identity": mesh.config.identity("cloudwright-system", "xds"),
        },
    }
    async with proxy(tmp_path, control) as program:
        found = await until(program, clusters=NAME, secrets="default")
        assert "inbound|8080" in found["clusters"]
        assert sorted(found["secrets"]) == ["ROOTCA", "default"]
