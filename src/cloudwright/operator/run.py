"""All controllers on one client: the entry point for the platform and for ``__main__``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskStatus

from cloudwright._base.clock import Clock
from cloudwright.client.client import Client
from cloudwright.operator.config import Config
from cloudwright.operator.controllers.certificates import CertificateController
from cloudwright.operator.controllers.cronjob import CronJobController
from cloudwright.operator.controllers.daemonset import DaemonSetController
from cloudwright.operator.controllers.deployment import DeploymentController
from cloudwright.operator.controllers.disruption import DisruptionController
from cloudwright.operator.controllers.endpoints import EndpointsController
from cloudwright.operator.controllers.ephemeral import EphemeralVolumeController
from cloudwright.operator.controllers.gc import GarbageCollector
from cloudwright.operator.controllers.horizontal import HorizontalController
from cloudwright.operator.controllers.ingress import IngressController
from cloudwright.operator.controllers.job import JobController
from cloudwright.operator.controllers.microservice import MicroServiceController
from cloudwright.operator.controllers.mirroring import MirroringController
from cloudwright.operator.controllers.namespace import NamespaceController
from cloudwright.operator.controllers.nodes import NodeController
from cloudwright.operator.controllers.podgc import PodGarbageCollector
from cloudwright.operator.controllers.quota import QuotaController
from cloudwright.operator.controllers.replicaset import (
    ReplicaSetController,
    ReplicationControllerController,
)
from cloudwright.operator.controllers.serviceaccount import ServiceAccountController
from cloudwright.operator.controllers.statefulset import StatefulSetController
from cloudwright.operator.controllers.tainteviction import TaintEvictionController
from cloudwright.operator.controllers.volumes import VolumeController
from cloudwright.operator.manager import Controller, Manager
from cloudwright.operator.ports import Hooks, Meter, PodCommands, Signer
from cloudwright.operator.vitals import Vitals, shared

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_PLAIN: dict[str, Callable[[], Controller]] = {
    "deployment": DeploymentController,
    "replicaset": ReplicaSetController,
    "replicationcontroller": ReplicationControllerController,
    "statefulset": StatefulSetController,
    "daemonset": DaemonSetController,
    "job": JobController,
    "cronjob": CronJobController,
    "disruption": DisruptionController,
    "quota": QuotaController,
    "volumes": VolumeController,
    "ingress": IngressController,
    "endpoints": EndpointsController,
    "gc": GarbageCollector,
    "namespace": NamespaceController,
    "serviceaccount": ServiceAccountController,
    "nodes": NodeController,
    "podgc": PodGarbageCollector,
    "tainteviction": TaintEvictionController,
    "mirroring": MirroringController,
    "ephemeral": EphemeralVolumeController,
}
ALL: tuple[str, ...] = (*_PLAIN, "certificates", "horizontal", "microservice")
"""The names of all controllers."""


def build(
    client: Client,
    *,
    hooks: Hooks,
    meter: Meter | None = None,
    commands: PodCommands | None = None,
    signer: Signer | None = None,
    clock: Clock | None = None,
    config: Config | None = None,
    controllers: Collection[str] = ALL,
    extra: Collection[Controller] = (),
    registry: CollectorRegistry | None = None,
) -> Manager:
    """A manager with these controllers (names of ``ALL``) and your own in ``extra``.

    Raises:
        ValueError: a name is unknown.
    """
    vitals = Vitals(registry) if registry is not None else shared()
    manager = Manager(client, clock=clock, config=config, vitals=vitals)
    add(manager, controllers, hooks=hooks, meter=meter, commands=commands, signer=signer)
    for controller in extra:
        manager.add(controller)
    return manager


def add(
    manager: Manager,
    controllers: Collection[str],
    *,
    hooks: Hooks,
    meter: Meter | None = None,
    commands: PodCommands | None = None,
    signer: Signer | None = None,
) -> None:
    """Give a manager some of the controllers in ``ALL``.

    Raises:
        ValueError: a name is unknown.
    """
    unknown = set(controllers) - set(ALL)
    if unknown:
        raise ValueError(f"no such controller: {', '.join(sorted(unknown))}; there are {ALL}")
    for name in ALL:
        if name not in controllers:
            continue
        if name == "microservice":
            manager.add(MicroServiceController(hooks, meter, commands))
        elif name == "horizontal":
            manager.add(HorizontalController(meter))
        elif name == "certificates":
            manager.add(CertificateController(signer))
        else:
            manager.add(_PLAIN[name]())


async def run(
    client: Client,
    *,
    hooks: Hooks,
    meter: Meter | None = None,
    commands: PodCommands | None = None,
    signer: Signer | None = None,
    clock: Clock | None = None,
    config: Config | None = None,
    controllers: Collection[str] = ALL,
    extra: Collection[Controller] = (),
    registry: CollectorRegistry | None = None,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run controllers until cancelled; reports started once their caches are full.

    Metrics go to the process's registry unless another one is given.
    """
    manager = build(
        client,
        hooks=hooks,
        meter=meter,
        commands=commands,
        signer=signer,
        clock=clock,
        config=config,
        controllers=controllers,
        extra=extra,
        registry=registry,
    )
    await manager.run(task_status=task_status)
