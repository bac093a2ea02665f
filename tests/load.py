"""A steady, bounded load through the gateway: requests at a fixed rate, whatever the answers take.

Run inside the namespace under test: ``python load.py URL --rate 200 --seconds 60``. SIGTERM ends
it early. Prints one
JSON object: requests sent, failures (with the first twenty), answers by status and by the
``version`` in the body.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections import Counter

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector


class Tally:
    def __init__(self) -> None:
        self.sent = 0
        self.statuses: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.failures: list[str] = []
        self.failed = 0
        self.slowest = 0.0

    def fail(self, began: float, start: float, why: str) -> None:
        self.failed += 1
        if len(self.failures) < 20:
            self.failures.append(f"at {began - start:.2f}s: {why}")


async def one(session: ClientSession, url: str, tally: Tally, start: float) -> None:
    began = time.monotonic()
    try:
        async with session.get(url) as answer:
            body = await answer.read()
            tally.statuses[str(answer.status)] += 1
            if answer.status != 200:
                tally.fail(began, start, f"{answer.status} {body[:200]!r}")
            else:
                tally.versions[str(json.loads(body).get("version"))] += 1
    except (ClientError, TimeoutError, OSError, ValueError) as error:
        tally.fail(began, start, f"{type(error).__name__}: {error}")
    tally.slowest = max(tally.slowest, time.monotonic() - began)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--at-least", type=int, default=600, help="requests, also after SIGTERM")
    args = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tally = Tally()
    timeout = ClientTimeout(total=20)
    async with ClientSession(connector=TCPConnector(limit=0), timeout=timeout) as session:
        start = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            print("started", flush=True)
            while (now := time.monotonic() - start) < args.seconds:
                if stop.is_set() and tally.sent >= args.at_least:
                    break
                due = int(now * args.rate)
                for _ in range(due - tally.sent):
                    tally.sent += 1
                    tasks.create_task(one(session, args.url, tally, start))
                await asyncio.sleep(1 / args.rate)
        elapsed = time.monotonic() - start
    print(
        json.dumps(
            {
                "sent": tally.sent,
                "failed": tally.failed,
                "failures": tally.failures,
                "statuses": tally.statuses,
                "versions": tally.versions,
                "seconds": round(elapsed, 2),
                "slowest": round(tally.slowest, 3),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
