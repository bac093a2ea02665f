"""The daemon's listeners: the API over TLS, and its metrics."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from cloudwright._base import logs
from cloudwright._base.paths import Paths
from cloudwright._base.sockets import holder_of
from cloudwright.apiserver import server
from cloudwright.apiserver.authn import Authenticator
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.identity import Authorizer
from cloudwright.apiserver.tls import Pki
from cloudwright.model.streams import PodStreams
from cloudwright.platform.config import PlatformConfig, address
from cloudwright.platform.wiring import Parts

if TYPE_CHECKING:
    from aiohttp import web

_log = logs.get("platform")


async def serve_api(
    stack: AsyncExitStack,
    paths: Paths,
    config: PlatformConfig,
    core: ApiCore,
    authorizer: Authorizer,
    authenticator: Authenticator,
    streams: PodStreams,
) -> server.Serving:
    """The Kubernetes API over TLS until the stack unwinds. Raises ConflictError for a busy port."""
    host, port = address(config.api, "api")
    served = server.serve(
        core,
        server.FaceConfig(host=host, port=port, service_cidr=config.service_cidr),
        pki=Pki(paths.pki),
        authenticator=authenticator,
        authorizer=authorizer,
        streams=streams,
    )
    return await stack.enter_async_context(served)


async def serve_metrics(
    stack: AsyncExitStack, config: PlatformConfig, core: ApiCore, parts: Parts
) -> None:
    """``/metrics`` of the daemon and, merged, of every proxy, until the stack unwinds.

    A port that was taken since the start began is logged and left out: metrics are not worth it.
    """
    from aiohttp import web
    from prometheus_client import REGISTRY, generate_latest

    async def metrics(_: web.Request) -> web.Response:
        registries = (REGISTRY, core.vitals.registry, parts.node.node.vitals.registry)
        own = "".join(generate_latest(registry).decode() for registry in registries)
        text = own + await parts.mesh.metrics()
        return web.Response(text=text, headers={"content-type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    host, port = address(config.metrics, "metrics")
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        holder = holder_of(port) or error.strerror
        _log.warning("metrics are not served: %s is taken by %s", config.metrics, holder)
