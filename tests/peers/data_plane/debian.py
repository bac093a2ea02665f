"""Programs of Debian that a machine may lack: unpacked into the cache, never installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.peers.build import CACHE, Unavailable

HAPROXY = ("haproxy", "liblua5.3-0", "libopentracing1", "libopentracing-c-wrapper0")


@cache
def on_path(program: str, package: str) -> str:
    """A program that the machine has.

    Raises:
        Unavailable: it has not.
    """
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    found = shutil.which(program, path=path)
    if found is None:
        raise Unavailable(f"there is no {program} (apt-get install {package})")
    return found


@cache
def haproxy() -> tuple[str, dict[str, str]]:
    """haproxy and the environment that it needs.

    Raises:
        Unavailable: the machine has none, and Debian's package cannot be had.
    """
    try:
        return on_path("haproxy", "haproxy"), {}
    except Unavailable:
        pass
    root = CACHE / "debian-haproxy"
    program = root / "usr" / "sbin" / "haproxy"
    if not program.is_file():
        _unpack(HAPROXY, root)
    libraries = root / "usr" / "lib" / "x86_64-linux-gnu"
    environment = {"LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(
        [program, "-v"], env={**os.environ, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        raise Unavailable(f"haproxy does not run: {done.stderr.strip()}")
    return str(program), environment


def _unpack(packages: tuple[str, ...], root: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise Unavailable(f"there is no {packages[0]}, and no apt-get to fetch it with")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (
        (CACHE / "debian.lock").open("w") as lock,
        tempfile.TemporaryDirectory(dir=CACHE, prefix=".debian-") as directory,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.is_dir():
            return
        for attempt in ("download", "update"):
            if attempt == "update":  # an empty list of packages is what a fresh machine has
                subprocess.run(["apt-get", "update", "-qq"], capture_output=True, timeout=300)
            done = subprocess.run(
                ["apt-get", "download", "-qq", *packages],
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=300,
            )
            if done.returncode == 0:
                break
        else:
            raise Unavailable(f"{packages[0]} cannot be downloaded: {done.stderr.strip()[-200:]}")
        unpacked = Path(directory) / "root"
        for package in Path(directory).glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, unpacked], check=True, capture_output=True)
        unpacked.rename(root)
