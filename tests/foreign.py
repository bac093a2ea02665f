"""Foreign clients for tests: which there are, and where."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

DEBIAN_PACKAGE = "kubernetes-client"
CACHE = Path.home() / ".cache" / "cloudwright" / "kubectl-debian"


def kubectl_on_path() -> str | None:
    """The machine's own kubectl."""
    return shutil.which("kubectl")


@cache
def kubectl_debian() -> str | None:
    """Debian's kubectl (1.20 on Debian 12), unpacked beside the system, never installed.

    ``None`` where there is no apt or no such package; the caller skips.
    """
    program = CACHE / "usr" / "bin" / "kubectl"
    if program.is_file():
        return str(program)
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        command = ["apt-get", "download", DEBIAN_PACKAGE]
        done = subprocess.run(command, cwd=directory, capture_output=True, timeout=120)
        packages = list(Path(directory).glob("*.deb"))
        if done.returncode or not packages:
            return None
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg", "-x", packages[0], CACHE], check=True, capture_output=True)
    return str(program) if program.is_file() else None


def python() -> str:
    """The interpreter that has the Python clients."""
    return sys.executable
