"""What an operator that runs alone shows: ``/healthz``, ``/readyz`` and ``/metrics`` over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from cloudwright._base.errors import UsageError


def address_of(text: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``:PORT``. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


@asynccontextmanager
async def served(
    address: str, registry: CollectorRegistry, ready: Callable[[], bool]
) -> AsyncIterator[int]:
    """Answer on ``address``; gives the port. ``ready`` says whether the operator works or waits
    for its turn with full caches.

    Raises:
        UsageError: it is no address, or cannot be listened on.
    """
    host, port = address_of(address)

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readiness(_: web.Request) -> web.Response:
        good = ready()
        return web.Response(text="ok\n" if good else "starting\n", status=200 if good else 503)

    async def metrics(_: web.Request) -> web.Response:
        page = generate_latest(registry)
        return web.Response(body=page, headers={"content-type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes(
        [
            web.get("/healthz", health),
            web.get("/readyz", readiness),
            web.get("/metrics", metrics),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host or None, port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(f"{address} cannot be listened on", cause=error.strerror) from None
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
