"""A real etcd for tests: found or fetched, started on free ports of the loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

CACHE = Path.home() / ".cache" / "cloudwright"
DEBIAN = CACHE / "etcd-debian"
PEERS = CACHE / "peers"


@cache
def program() -> str | None:
    """An etcd: one that was built beside the peers, the machine's own, or Debian's, unpacked beside
    the system. ``None`` where there is none of these.
    """
    built = sorted(PEERS.glob("etcd-*/etcd"))
    if built:
        return str(built[-1])
    found = shutil.which("etcd")
    if found:
        return found
    target = DEBIAN / "usr" / "bin" / "etcd"
    if target.is_file():
        return str(target)
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        command = ["apt-get", "download", "etcd-server"]
        for again in (False, True):
            if again:
                subprocess.run(["apt-get", "update"], capture_output=True, timeout=300)
            done = subprocess.run(command, cwd=directory, capture_output=True, timeout=300)
            packages = list(Path(directory).glob("*.deb"))
            if not done.returncode and packages:
                break
        else:
            return None
        DEBIAN.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg", "-x", packages[0], DEBIAN], check=True, capture_output=True)
    return str(target) if target.is_file() else None


def needed() -> str:
    """The program; skips the test where there is none."""
    found = program()
    if found is None:
        pytest.skip("no etcd: neither built, installed, nor to be had as Debian's etcd-server")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Etcd:
    """One member; may be killed and started again on its data."""

    directory: Path
    port: int
    name: str = "one"
    peers: dict[str, int] = field(default_factory=dict)
    """Name → peer port of every member; empty: alone."""
    tls: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{'localhost' if self.tls else '127.0.0.1'}:{self.port}"

    def start(self) -> None:
        scheme = "https" if self.tls else "http"
        peers = self.peers or {self.name: free_port()}
        self.peers = peers
        own = f"http://127.0.0.1:{peers[self.name]}"
        url = f"{scheme}://127.0.0.1:{self.port}"
        command = [
            needed(), "--name", self.name, "--data-dir", str(self.directory / self.name),
            "--listen-client-urls", url, "--advertise-client-urls", url,
            "--listen-peer-urls", own, "--initial-advertise-peer-urls", own,
            "--initial-cluster",
            ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in peers.items()),
            "--log-level", "error", *self.tls,
        ]  # fmt: skip
        log = self.directory / f"{self.name}.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

    def wait(self) -> None:
        """Until the port is taken by it."""
        deadline = time.monotonic() + 60
        while True:
            assert self.process is not None
            if self.process.poll() is not None:
                log = (self.directory / f"{self.name}.log").read_text()
                raise AssertionError(f"etcd ended with {self.process.returncode}: {log[-2000:]}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline, "etcd does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        """``kill -9``, and wait for the end."""
        if self.process is not None:
            if self.process.poll() is None:
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self, on: bool) -> None:
        """Stop answering without closing anything, or go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP if on else signal.SIGCONT)


@contextmanager
def running(directory: Path, tls: tuple[str, ...] = ()) -> Iterator[Etcd]:
    """One member, alone."""
    for again in range(3):
        etcd = Etcd(directory, free_port(), f"one{again}", tls=tls)
        etcd.start()
        try:
            etcd.wait()
            break
        except AssertionError as error:
            etcd.kill()
            # Somebody took the port between our looking and etcd's listening.
            if "address already in use" not in str(error) or again == 2:
                raise
    try:
        yield etcd
    finally:
        etcd.kill()


@contextmanager
def cluster(directory: Path, members: int = 3) -> Iterator[list[Etcd]]:
    """Several members that agree with each other."""
    peers = {f"m{number}": free_port() for number in range(members)}
    found = [Etcd(directory, free_port(), name, peers) for name in peers]
    for etcd in found:
        etcd.start()
    try:
        for etcd in found:
            etcd.wait()
        yield found
    finally:
        for etcd in found:
            etcd.kill()
