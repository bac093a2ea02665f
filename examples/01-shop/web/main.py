"""The front of the shop: what people see. It calls payment and inventory by name."""

from __future__ import annotations

import asyncio
import os
import signal

from aiohttp import ClientError, ClientSession, ClientTimeout, web

NEEDS = ("payment", "inventory")


async def fetch(session: ClientSession, url: str) -> tuple[int, object]:
    try:
        async with session.get(url) as answer:
            return answer.status, await answer.json(content_type=None)
    except (ClientError, TimeoutError, ValueError) as error:
        return 502, {"error": f"{url}: {type(error).__name__}"}


def application(session: ClientSession) -> web.Application:
    async def ready(_: web.Request) -> web.Response:
        checks = [fetch(session, f"http://{name}/health/ready") for name in NEEDS]
        answers = dict(zip(NEEDS, await asyncio.gather(*checks), strict=True))
        missing = [name for name, (status, _) in answers.items() if status != 200]
        return web.json_response(
            {"ready": not missing, "waiting_for": missing}, status=503 if missing else 200
        )

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def front(_: web.Request) -> web.Response:
        (_, items), (_, payment) = await asyncio.gather(
            fetch(session, "http://inventory/items"), fetch(session, "http://payment/version")
        )
        return web.json_response({"shop": "01-shop", "stock": items, "payment": payment})

    async def checkout(request: web.Request) -> web.Response:
        sku, cents = request.query.get("sku", "tea"), request.query.get("cents", "500")
        status, receipt = await fetch(session, f"http://payment/pay?sku={sku}&cents={cents}")
        return web.json_response({"receipt": receipt}, status=status)

    app = web.Application()
    app.router.add_get("/", front)
    app.router.add_get("/checkout", checkout)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/health/live", live)
    return app


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with ClientSession(timeout=ClientTimeout(total=5)) as session:
        runner = web.AppRunner(application(session), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", int(os.environ.get("PORT", "8080"))).start()
        print("web is up", flush=True)
        await stop.wait()
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
