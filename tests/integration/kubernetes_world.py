"""A real kube-apiserver with etcd and its controllers, the operator's deployment of ``deploy/``
(its rights, its definitions) and a node that pretends.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest

from cloudwright._base.clock import SystemClock, rfc3339_micro
from cloudwright.client.client import Client
from cloudwright.client.errors import Conflict
from cloudwright.client.kubeconfig import Access, read
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.model.objects import Object
from cloudwright.model.resources import LEASE, SERVICE_ACCOUNT
from tests.integration.operator_world import Node
from tests.peers.build import Unavailable, built
from tests.peers.cluster import Cluster
from tests.peers.real import real_cluster

DEPLOY = Path(__file__).parents[2] / "deploy"
SYSTEM = "cloudwright-system"


@contextmanager
def kubernetes(folder: Path) -> Iterator[Cluster]:
    """The cluster, with ``deploy/`` applied by its kubectl. Skips the test when it is not built."""
    try:
        built("kube-controller-manager")
        with real_cluster(folder, controllers=True) as cluster:
            kubectl(cluster, "apply", "-f", str(DEPLOY / "namespace.yaml"))
            for file in ("crds", "rbac.yaml"):
                kubectl(cluster, "apply", "-f", str(DEPLOY / file))
            words = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]
            kubectl(cluster, *words)
            yield cluster
    except Unavailable as error:
        pytest.skip(str(error))


def kubectl(cluster: Cluster, *words: str) -> str:
    """What kubectl prints. Raises CalledProcessError."""
    command = [str(built("kubectl")), "--kubeconfig", str(cluster.kubeconfig()), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@asynccontextmanager
async def admin(cluster: Cluster) -> AsyncIterator[Client]:
    """A client that may do everything."""
    transport = HttpsTransport(read(cluster.kubeconfig()))
    try:
        yield Client(transport)
    finally:
        await transport.aclose()


@asynccontextmanager
async def operator_transport(cluster: Cluster, client: Client) -> AsyncIterator[HttpsTransport]:
    """The operator's own access: a token of its service account, with the rights of ``deploy/``."""
    wish = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = await client.create(
        SERVICE_ACCOUNT, wish, SYSTEM, name="cloudwright-operator", subresource="token"
    )
    access = read(cluster.kubeconfig())
    token = made["status"]["token"]
    transport = HttpsTransport(Access(access.server, SYSTEM, access.ca, token=token))
    try:
        yield transport
    finally:
        await transport.aclose()


class BeatingNode(Node):
    """A ``Node`` that renews its Lease, as kube-controller-manager expects."""

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._beat)
            await super().run()

    async def _beat(self) -> None:
        lease: Object = {
            "metadata": {"name": "node", "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": "node", "leaseDurationSeconds": 40},
        }
        while True:
            lease["spec"]["renewTime"] = rfc3339_micro(SystemClock().now())
            try:
                await self.client.create_or_update(LEASE, lease)
            except Conflict:
                continue
            await anyio.sleep(5)
