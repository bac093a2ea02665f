"""Thirty minutes of load, or as long as one likes, while the mesh is shaken.

    python -m tests.soak.data_plane --minutes 30
    python -m tests.soak.data_plane --minutes 2 --rate 400 --rotate 5 -o json

GET and POST over HTTP/1.1 and HTTP/2 through the gateway and three sidecars at a fixed rate; new
certificates every 10 s, one endpoint taken away and given back every 3 s, one backend killed every
7 s for a second. The exit code is 1 when an error has no explanation (see ``tally``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.peers.build import Unavailable
from tests.peers.processes import NotStarted
from tests.soak.mesh import Mesh, shaken
from tests.soak.streams import Streams
from tests.soak.tally import Failure, Outage, Tally

TIMEOUT_SECONDS = 20.0
WARM_UP_SECONDS = 3.0
PATH = "/hold"
"""Answered after up to 60 ms, so that a backend that dies has requests under way."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how much, how often; seconds and requests a second."""

    seconds: float
    rate: float = 300
    rotate: float = 10
    flap: float = 3
    kill: float = 7
    outage: float = 1


class Run:
    """One run: load and shaking until the time is over."""

    def __init__(self, mesh: Mesh, plan: Plan) -> None:
        assert mesh.edge is not None
        self.mesh, self.plan, self.port = mesh, plan, mesh.edge.port
        self.tally = Tally()
        self.start = time.monotonic()

    @property
    def now(self) -> float:
        """Seconds of the run."""
        return time.monotonic() - self.start

    async def whole(self) -> Tally:
        """All of it."""
        limit = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(connector=limit, timeout=timeout) as session:
            self.session = session
            streams = await Streams.connect(self.port)
            async with asyncio.TaskGroup() as tasks:
                shaking = [
                    tasks.create_task(self.every(self.plan.rotate, self.rotate)),
                    tasks.create_task(self.every(self.plan.flap, self.flap)),
                    tasks.create_task(self.every(self.plan.kill, self.kill)),
                    tasks.create_task(self.every(1.0, self.weigh)),
                ]
                await self.load(streams)
                for one in shaking:
                    one.cancel()
            await streams.close()
        self.tally.memory.append(self.mesh.memory())
        return self.tally

    async def load(self, streams: Streams) -> None:
        """Requests at the rate, whatever the answers take; returns when all are answered."""
        sent = 0
        async with asyncio.TaskGroup() as tasks:
            while self.now < self.plan.seconds:
                for _ in range(int(self.now * self.plan.rate) - sent):
                    sent += 1
                    method = "POST" if sent % 4 == 0 else "GET"
                    how = self.over_http2(streams) if sent % 3 == 0 else self.over_http1
                    tasks.create_task(self.one(method, how))
                await asyncio.sleep(0.01)

    async def one(self, method: str, how: Callable[[str, list[bool]], Awaitable[int]]) -> None:
        """One request, and what became of it."""
        begun, started = self.now, [False]
        try:
            status = await how(method, started)
            what = "" if status == 200 else f"status {status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = f"{type(error).__name__}: {error}"
        if what:
            self.tally.failures.append(Failure(begun, self.now, method, what, started[0]))
        else:
            self.tally.good[method] += 1

    async def over_http1(self, method: str, started: list[bool]) -> int:
        """By aiohttp's pool, a new connection now and then."""
        url = f"http://127.0.0.1:{self.port}{PATH}"
        data = b"x" * 2000 if method == "POST" else None
        async with self.session.request(method, url, data=data) as answer:
            started[0] = True
            await answer.read()
            return answer.status

    def over_http2(self, streams: Streams) -> Callable[[str, list[bool]], Awaitable[int]]:
        """By one connection that is replaced when it is sent away."""

        async def ask(method: str, started: list[bool]) -> int:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await streams.ask(method, PATH, started)

        return ask

    async def every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do it again and again."""
        while True:
            await asyncio.sleep(seconds)
            await work()

    async def rotate(self) -> None:
        old = await asyncio.to_thread(self.mesh.serial)
        await asyncio.to_thread(self.mesh.rotate)
        assert await asyncio.to_thread(self.mesh.renewed, old), "the old certificate is still used"
        self.tally.events["rotations"] += 1

    async def flap(self) -> None:
        """One endpoint is taken away and given back."""
        number = self.tally.events["flaps"] % len(self.mesh.backends)
        self.mesh.publish(absent=self.mesh.backends[number])
        assert await asyncio.to_thread(self.mesh.applied), "the snapshot was not applied"
        await asyncio.sleep(0.3)
        self.mesh.publish()
        assert await asyncio.to_thread(self.mesh.applied), "the snapshot was not applied"
        self.tally.events["flaps"] += 1

    async def kill(self) -> None:
        """One backend dies and comes back."""
        number = self.tally.events["kills"] % len(self.mesh.backends)
        backend = self.mesh.backends[number]
        outage = Outage(backend.name, self.now)
        self.tally.outages.append(outage)
        await asyncio.to_thread(backend.kill)
        self.tally.events["kills"] += 1
        await asyncio.sleep(self.plan.outage)
        await asyncio.to_thread(backend.run)
        outage.ended = self.now

    async def weigh(self) -> None:
        """Memory, when the first seconds are over."""
        if self.now > WARM_UP_SECONDS:
            self.tally.memory.append(self.mesh.memory())


def run(directory: Path, plan: Plan) -> Tally:
    """A run in its own mesh.

    Raises:
        Unavailable: something is not built.
    """
    with shaken(directory) as mesh:
        return asyncio.run(Run(mesh, plan).whole())


def main() -> int:
    """Run and report."""
    words = argparse.ArgumentParser(
        prog="python -m tests.soak.data_plane", description=(__doc__ or "").splitlines()[0]
    )
    words.add_argument("--minutes", type=float, default=30)
    words.add_argument("--rate", type=float, default=300, help="requests a second")
    words.add_argument("--rotate", type=float, default=10, help="seconds between certificates")
    words.add_argument("--flap", type=float, default=3, help="seconds between endpoint changes")
    words.add_argument("--kill", type=float, default=7, help="seconds between deaths")
    options = words.parse_args()
    plan = Plan(options.minutes * 60, options.rate, options.rotate, options.flap, options.kill)
    with tempfile.TemporaryDirectory(prefix="cwsoak-") as directory:
        try:
            tally = run(Path(directory), plan)
        except (Unavailable, NotStarted) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    report = tally.report()
    print(json.dumps(report, indent=1, ensure_ascii=False))
    return 1 if any(tally.classify(one) == "unexplained" for one in tally.failures) else 0


if __name__ == "__main__":
    sys.exit(main())
