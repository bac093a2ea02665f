"""What this machine offers: kernel, programs, ports, disk, clock. Every check says what to do."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio

from cloudwright._base.errors import CloudwrightError
from cloudwright._base.paths import Paths, native_binary
from cloudwright._base.sockets import holder_of
from cloudwright.network import probe as network_probe
from cloudwright.platform import lifecycle
from cloudwright.platform.config import address, load
from cloudwright.runtime import probe as runtime_probe

OK, WARNING, MISSING = "ok", "warning", "missing"
NEEDED_DISK_MB = 500
SLOW_SYNC_MS = 20.0
BUILT = 1_793_000_000
"""A moment (seconds since the epoch) that has passed for certain."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``verdict``: ok, warning (works, worse) or missing (does not
    work).
    """

    name: str
    verdict: str
    fact: str
    fix: str = ""


def examine(paths: Paths) -> list[Check]:
    """Look at everything; changes nothing but a scratch file."""
    return [*_process(), *_programs(), *_kernel(), *_places(paths), *_ports(paths)]


def _process() -> Iterator[Check]:
    root = os.geteuid() == 0
    yield Check("root", OK if root else MISSING, f"uid {os.geteuid()}", "run with sudo")
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", OK if sys.version_info >= (3, 11) else MISSING, version)
    try:
        yield Check("native parts", OK, str(native_binary()))
    except CloudwrightError as error:
        yield Check("native parts", MISSING, error.message, error.hint or "")


def _programs() -> Iterator[Check]:
    for program, package in (("nft", "nftables"), ("ip", "iproute2")):
        path = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
        yield Check(
            program, OK if path else MISSING, path or "not found", f"apt-get install {package}"
        )
    for program, package in (("kubectl", "kubernetes-client"), ("curl", "curl")):
        path = shutil.which(program)
        fact = path or "not found (not needed by the platform)"
        yield Check(program, OK if path else WARNING, fact, f"apt-get install {package}")


def _kernel() -> Iterator[Check]:
    for finding in anyio.run(runtime_probe.findings):
        yield Check(finding.name, OK if finding.ok else MISSING, finding.detail, finding.hint)
    for found in anyio.run(network_probe.look):
        yield Check(found.name, OK if found.works else MISSING, found.detail, found.hint)


def _places(paths: Paths) -> Iterator[Check]:
    place = paths.state
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // 1_000_000
    verdict = OK if free > NEEDED_DISK_MB else MISSING
    yield Check("disk space", verdict, f"{free} MB free at {place}", "make room, or --state-dir")
    millis = _sync_millis(place)
    fact = f"{millis:.1f} ms for a write that reaches the disk"
    yield Check("disk sync", OK if millis < SLOW_SYNC_MS else WARNING, fact, "a faster disk")
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    verdict = OK if time.time() > BUILT else MISSING
    yield Check("clock", verdict, now, "set the clock: certificates depend on it")


def _sync_millis(place: Path) -> float:
    if not os.access(place, os.W_OK):
        return 0.0
    with tempfile.NamedTemporaryFile(dir=place) as file:
        took = []
        for _ in range(5):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - start) * 1000)
    return sorted(took)[2]


def _ports(paths: Paths) -> Iterator[Check]:
    config = load(paths.state / "config.toml", {})
    if lifecycle.daemon_state(paths).running:
        yield Check("ports", OK, "held by the running platform")
        return
    for key in ("api", "gateway", "gateway_tls", "metrics"):
        text = getattr(config, key)
        holder = holder_of(address(text, key)[1])
        flag = f"cloudwright up --{key.replace('_', '-')} IP:PORT"
        fact = f"{text} is taken by {holder}" if holder else f"{text} is free"
        yield Check(f"port {key}", MISSING if holder else OK, fact, flag)
