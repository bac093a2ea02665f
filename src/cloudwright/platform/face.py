"""The daemon's listeners: the API over TLS, and its metrics."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio

from cloudwright._base import http1, logs
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

_log = logs.get("platform")
_TEXT = "text/plain; charset=utf-8"


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
    from prometheus_client import REGISTRY, generate_latest

    async def metrics(asked: http1.Asked) -> http1.Answer:
        if asked.path != "/metrics":
            return http1.Answer(404, b"only /metrics is here\n", _TEXT)
        if asked.method not in ("GET", "HEAD"):
            return http1.Answer(405, b"metrics can only be read\n", _TEXT)
        registries = (REGISTRY, core.vitals.registry, parts.node.node.vitals.registry)
        own = "".join(generate_latest(registry).decode() for registry in registries)
        text = own + await parts.mesh.metrics()
        return http1.Answer(200, text.encode(), "text/plain; version=0.0.4")

    host, port = address(config.metrics, "metrics")
    try:
        made = await anyio.create_tcp_listener(local_host=host, local_port=port, reuse_port=False)
    except OSError as error:
        holder = holder_of(port) or error.strerror
        _log.warning("metrics are not served: %s is taken by %s", config.metrics, holder)
        return
    listener = await stack.enter_async_context(made)
    tasks = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(tasks.cancel_scope.cancel)
    tasks.start_soon(http1.serve, listener, metrics)
