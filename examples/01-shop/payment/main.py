"""Takes money for goods: HTTP on PORT, gRPC on GRPC_PORT; asks inventory whether there is stock."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import grpc
import payment_pb2
import payment_pb2_grpc
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from releases import CURRENT
from settings import Settings

POD = os.environ.get("HOSTNAME") or socket.gethostname()
DRAINING = "/tmp/draining"  # written by scripts/pre-stop.sh


class OutOfStock(Exception):
    pass


class Till:
    """The business logic, shared by both protocols."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.settings = Settings()

    async def charge(self, sku: str, cents: int) -> dict[str, object]:
        async with self.session.get(f"http://inventory/items/{sku}") as answer:
            if answer.status == 404:
                raise OutOfStock(sku)
            answer.raise_for_status()
        settings = self.settings.current()
        fee = int(settings["fee_percent"]) if CURRENT.takes_fee else 0
        return {
            "sku": sku,
            "total_cents": cents + cents * fee // 100,
            "currency": str(settings["currency"]),
            "version": CURRENT.version,
            "pod": POD,
        }

    async def missing(self) -> list[str]:
        """Names of dependencies that are not ready."""
        names = []
        for name in CURRENT.needs:
            try:
                async with self.session.get(f"http://{name}/health/ready") as answer:
                    if answer.status != 200:
                        names.append(f"{name} answers {answer.status}")
            except (ClientError, TimeoutError) as error:
                names.append(f"{name}: {type(error).__name__}")
        return names


class Service(payment_pb2_grpc.PaymentServicer):
    def __init__(self, till: Till) -> None:
        self.till = till

    async def Charge(self, request, context):
        try:
            receipt = await self.till.charge(request.sku, request.amount_cents)
        except OutOfStock:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.sku} in stock")
        return payment_pb2.Receipt(**receipt)

    async def ChargeMany(self, requests, context):
        async for request in requests:
            yield await self.Charge(request, context)


def application(till: Till) -> web.Application:
    async def ready(_: web.Request) -> web.Response:
        missing = ["draining"] if os.path.exists(DRAINING) else await till.missing()
        body = {"ready": not missing, "waiting_for": missing, "version": CURRENT.version}
        return web.json_response(body, status=503 if missing else 200)

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def pay(request: web.Request) -> web.Response:
        sku, cents = request.query.get("sku", "tea"), int(request.query.get("cents", "500"))
        try:
            return web.json_response(await till.charge(sku, cents))
        except OutOfStock:
            return web.json_response({"error": f"no {sku} in stock"}, status=404)

    async def version(request: web.Request) -> web.Response:
        mesh = {k: v for k, v in request.headers.items() if k.lower().startswith("x-")}
        return web.json_response({"version": CURRENT.version, "pod": POD, "headers": mesh})

    async def config(_: web.Request) -> web.Response:
        return web.json_response(till.settings.current())

    app = web.Application()
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/health/live", live)
    app.router.add_get("/pay", pay)
    app.router.add_get("/version", version)
    app.router.add_get("/config", config)
    app.router.add_get("/", version)
    return app


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with ClientSession(timeout=ClientTimeout(total=3)) as session:
        till = Till(session)
        server = grpc.aio.server()
        payment_pb2_grpc.add_PaymentServicer_to_server(Service(till), server)
        server.add_insecure_port(f"0.0.0.0:{os.environ.get('GRPC_PORT', '9090')}")
        await server.start()
        runner = web.AppRunner(application(till), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", int(os.environ.get("PORT", "8080"))).start()
        print(f"payment {CURRENT.version} is up in {POD}", flush=True)
        await stop.wait()
        await server.stop(grace=5)
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
