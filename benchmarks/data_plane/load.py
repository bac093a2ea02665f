"""Bounded runs of h2load, the load generator of nghttp2."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.peers.data_plane.debian import on_path

LIMIT_SECONDS = 180
GRPC_MESSAGE = b"\x00\x00\x00\x00\x40" + b"g" * 64


class LoadFailed(Exception):
    """Requests failed, or the run did not end; the text has h2load's own words."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: ``requests`` in all, over ``connections`` with ``streams`` each."""

    front: str = "h1"
    requests: int = 15_000
    connections: int = 64
    streams: int = 1
    grpc: bool = False
    path: str = "/"

    def words(self, port: int, directory: Path) -> list[str]:
        """h2load's command line."""
        words = [on_path("h2load", "nghttp2-client"), "-t1"]
        words += [f"-n{self.requests}", f"-c{self.connections}", f"-m{self.streams}"]
        if self.front == "h1":
            words.append("--h1")
        else:
            words += ["-w", "20", "-W", "24"]
        path = self.path
        if self.grpc:
            body = directory / "message"
            body.write_bytes(GRPC_MESSAGE)
            words += ["-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
            path = "/test.Echo/Unary" if path == "/" else path
        return [*words, f"http://127.0.0.1:{port}{path}"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``rate`` is requests a second; ``times`` are microseconds, in order, where asked for."""

    requests: int
    rate: float
    times: list[int]

    def percentile(self, share: float) -> float:
        """Microseconds; ``share`` of the requests were as fast or faster."""
        ordered = sorted(self.times)
        return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


def run(
    load: Load,
    port: int,
    prefix: Sequence[str] = (),
    *,
    rate: float = 0,
    times: bool = False,
) -> Outcome:
    """One run; ``rate`` paces it (requests a second in all), ``times`` keeps every request's.

    Raises:
        LoadFailed: an answer was not 2xx or did not come.
    """
    with tempfile.TemporaryDirectory(prefix="cwload-") as directory:
        log = Path(directory) / "times"
        words = [*prefix, *load.words(port, Path(directory))]
        if rate:
            words.insert(len(prefix) + 1, f"--rps={rate / load.connections:.6f}")
        if times:
            words.insert(len(prefix) + 1, f"--log-file={log}")
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise LoadFailed(f"not done after {LIMIT_SECONDS} s: {' '.join(words)}") from error
        outcome = _read(done.stdout, load.requests, done.stderr)
        if times:
            found = [line.split("\t") for line in log.read_text().splitlines()]
            outcome.times.extend(int(fields[2]) for fields in found)
        return outcome


def _read(text: str, wanted: int, errors: str) -> Outcome:
    rate = re.search(r"finished in \S+, ([\d.]+) req/s", text)
    good = re.search(r"status codes: (\d+) 2xx", text)
    whole = re.search(r"(\d+) succeeded", text)
    if not rate or not good or not whole or min(int(good[1]), int(whole[1])) < wanted:
        last = [line for line in text.splitlines() if "requests:" in line or "status" in line]
        raise LoadFailed(" / ".join(last) or (errors or text).strip()[-300:])
    return Outcome(int(good[1]), float(rate[1]), [])
