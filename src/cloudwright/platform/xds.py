"""The xDS server beside the mesh, when ``xds`` in the settings asks for it.

What it needs is imported only then: grpcio and the messages take some 20 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio

from cloudwright._base import logs
from cloudwright._base.clock import SystemClock
from cloudwright._base.errors import CloudwrightError, NotFoundError, UsageError
from cloudwright._base.loading import ahead
from cloudwright._base.paths import Paths
from cloudwright.mesh.controller import MeshControl
from cloudwright.platform.config import PlatformConfig
from cloudwright.platform.control import Answer
from cloudwright.platform.wiring import Parts

if TYPE_CHECKING:
    from cloudwright.mesh.xds.listening import Listen
    from cloudwright.mesh.xds.status import Registry

_log = logs.get("platform")
_MODULES = ("cloudwright.mesh.xds.server", "cloudwright.mesh.xds.mesh")


async def running(
    stack: AsyncExitStack, paths: Paths, config: PlatformConfig, parts: Parts
) -> dict[str, Answer]:
    """Serve until the stack unwinds, and what the daemon's own socket says of it.

    Raises:
        UsageError: a package is missing.
        ConflictError: an address is taken.
    """
    places = [place.strip() for place in config.xds.split(",") if place.strip()]
    registry: Registry | None = None
    if places:
        registry = await serve(stack, paths, places, parts.mesh, config)

    async def clients(_: Mapping[str, str]) -> Any:
        if registry is None:
            hint = "start it with `cloudwright up --xds unix`"
            raise NotFoundError("the platform runs without an xDS server", hint=hint)
        return registry.summary()

    return {"GET /xds": clients}


async def serve(
    stack: AsyncExitStack,
    paths: Paths,
    places: list[str],
    mesh: MeshControl,
    config: PlatformConfig,
) -> Registry:
    """Serve a started mesh on ``unix``, ``mesh`` and ``IP:PORT``s until the stack unwinds."""
    try:
        await ahead(*_MODULES)
    except ImportError as error:
        text = f"the xDS server needs packages that are not installed: {error}"
        raise UsageError(text, hint="pip install 'cloudwright[xds]'") from error
    from cloudwright.mesh.xds import server
    from cloudwright.mesh.xds.mesh import MeshSource

    group = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(group.cancel_scope.cancel)
    listens = await _listens(paths, places, mesh, group.start_soon)
    source = MeshSource(mesh, http=[config.gateway], https=[config.gateway_tls])
    served = await stack.enter_async_context(server.serving(source, listens))
    _log.info("xDS is served", extra={"on": [one.address for one in listens]})
    return served.registry


async def _listens(paths: Paths, places: list[str], mesh: MeshControl, start: Any) -> list[Listen]:
    from cloudwright.mesh.xds.certificate import OwnCertificate
    from cloudwright.mesh.xds.listening import listen

    listens = []
    if "unix" in places:
        listens.append(listen(f"unix:{paths.run / 'xds.sock'}"))
    remote = [place for place in places if place != "unix"]
    if remote:
        hosts = ["localhost", "127.0.0.1", "xds.cloudwright-system"]
        for place in filter(lambda one: one != "mesh", remote):
            host = place.rpartition(":")[0].strip("[]")
            if host not in (*hosts, "0.0.0.0", "::"):  # noqa: S104
                hosts.append(host)
        own = OwnCertificate(mesh.config, mesh.authority, SystemClock(), hosts)
        try:
            await own.prepare()
        except OSError as error:
            raise CloudwrightError(f"the xDS server has no certificate: {error}") from error
        start(own.keep)
        socket = f"unix:{paths.run / 'xds-mesh.sock'}"
        for place in remote:
            listens.append(listen(socket if place == "mesh" else place, own.tls))
    return listens
