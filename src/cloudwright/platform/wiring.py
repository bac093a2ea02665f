"""The parts of one machine, made from the settings and given to each other.

Here, and only here, a part's protocol meets the part that fills it; the type checker proves the
fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network

from cloudwright._base.paths import Paths
from cloudwright.apiserver.authn import AUTHENTICATED
from cloudwright.apiserver.authz import policy
from cloudwright.apiserver.authz.nodes import NODES
from cloudwright.apiserver.authz.nodes import PREFIX as NODE_PREFIX
from cloudwright.apiserver.config import CoreConfig, StoreConfig
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.local import LocalTransport
from cloudwright.client.client import Client
from cloudwright.mesh.config import MeshConfig
from cloudwright.mesh.controller import MeshControl
from cloudwright.mesh.hooks import MeshHooks
from cloudwright.model.streams import PodStreams
from cloudwright.network.config import ApiDoor, NetworkConfig
from cloudwright.network.driver import BridgeNetwork
from cloudwright.network.policy.control import PolicyControl
from cloudwright.node import ports
from cloudwright.node.agent import NodeAgent
from cloudwright.node.config import NodeConfig
from cloudwright.node.streams import NodeStreams
from cloudwright.platform.config import PlatformConfig, address
from cloudwright.runtime.config import RuntimeConfig
from cloudwright.runtime.engine import RuntimeEngine
from cloudwright.runtime.images.images import Images
from cloudwright.runtime.images.store import ContentStore

API_PORT = 443
"""Of the Service ``kubernetes``."""


def network_config(paths: Paths, config: PlatformConfig) -> NetworkConfig:
    """The pod network's settings."""
    return NetworkConfig(
        instance=paths.instance,
        store=paths.state / "network" / "leases.db",
        bridge=config.bridge,
        pod_cidr=IPv4Network(config.pod_cidr),
        service_cidr=IPv4Network(config.service_cidr),
        api=ApiDoor(
            next(IPv4Network(config.service_cidr).hosts()),
            API_PORT,
            address(config.api, "api")[1],
        ),
    )


def store_config(paths: Paths) -> StoreConfig:
    """The store's settings."""
    return StoreConfig(path=paths.database)


def core_config(config: PlatformConfig) -> CoreConfig:
    """The API core's settings."""
    first = str(next(IPv4Network(config.service_cidr).hosts()))
    return CoreConfig(
        service_cidr=config.service_cidr,
        reserved_ips=(first, config.dns_address),
        service_accounts=True,
        taint_nodes=True,
    )


def runtime_config(paths: Paths) -> RuntimeConfig:
    """The runtime's settings."""
    return RuntimeConfig.of(paths)


def client_of(core: ApiCore, name: str, *groups: str) -> Client:
    """A client in this process for the user of one part, who has the rights of its roles only."""
    return Client(LocalTransport(core, User(name, (*groups, AUTHENTICATED))))


def node_client(core: ApiCore, node: str) -> Client:
    """The node agent's client: it may what concerns its own pods."""
    return client_of(core, f"{NODE_PREFIX}{node}", NODES)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything on this machine beside the API."""

    images: Images
    runtime: RuntimeEngine
    network: BridgeNetwork
    policies: PolicyControl
    mesh: MeshControl
    hooks: MeshHooks
    node: NodeAgent
    streams: NodeStreams


def assemble(paths: Paths, config: PlatformConfig, core: ApiCore) -> Parts:
    """Make the parts; nothing is started yet."""
    images = Images(ContentStore(paths.images))
    runtime = RuntimeEngine(runtime_config(paths), images)
    pod_network = network_config(paths, config)
    policies = PolicyControl(pod_network, client_of(core, policy.NETWORK))
    network = BridgeNetwork(pod_network, guard=policies)
    mesh_config = MeshConfig(
        paths,
        trust_domain=config.trust_domain,
        lifetime=timedelta(seconds=config.cert_lifetime_seconds),
    )
    mesh, hooks = MeshControl(mesh_config), MeshHooks(mesh_config)
    node_config = NodeConfig(
        paths,
        config.node,
        node_ip=str(next(IPv4Network(config.pod_cidr).hosts())),
        pod_cidr=config.pod_cidr,
        dns_address=config.dns_address,
        backoff_base=config.restart_backoff_seconds,
        api_address=(str(next(IPv4Network(config.service_cidr).hosts())), API_PORT),
    )
    node = NodeAgent(node_client(core, config.node), runtime, network, mesh, hooks, node_config)
    return Parts(images, runtime, network, policies, mesh, hooks, node, NodeStreams(node))


def _fits(
    parts: Parts,
) -> tuple[ports.Runtime, ports.PodNetwork, ports.Mesh, ports.Hooks, PodStreams]:
    """For the type checker: each part is what the node agent asks for."""
    return parts.runtime, parts.network, parts.mesh, parts.hooks, parts.streams
