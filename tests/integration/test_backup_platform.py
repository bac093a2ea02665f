"""``cloudwright backup`` and ``restore`` of a whole platform, and a platform on etcd."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import etcd
from tests.machine import Machine, machine

pytestmark = [pytest.mark.root, pytest.mark.netns, pytest.mark.slow]

MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}}}
data: {{n: "{n}"}}
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A short path: the proxies' sockets are below."""
    directory = Path(tempfile.mkdtemp(prefix="cwb-", dir="/tmp"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def apply(one: Machine, name: str, n: int) -> None:
    one.run("apply", "-f", "-", input=MAP.format(name=name, n=n))


def found(one: Machine, name: str) -> str:
    done = one.run("get", "configmap", name, "-o", "jsonpath={.data.n}", check=False)
    return done.stdout.strip() if done.returncode == 0 else f"exit code {done.returncode}"


def test_backup_while_it_runs_and_restore(scratch: Path) -> None:
    target = str(scratch / "one.cwb")
    with machine("cw-backup", scratch / "state") as one:
        one.run("up")
        apply(one, "kept", 1)
        facts = json.loads(one.run("backup", target, "-o", "json").stdout)
        names = {entry["path"] for entry in facts["files"]}
        assert "apiserver/store.db" in names
        for part in ("pki/", "pki/mesh/", "pki/service-accounts"):
            assert any(name.startswith(part) for name in names), (part, names)
        apply(one, "kept", 2)
        apply(one, "lost", 1)
        assert one.run("restore", target, "--yes", check=False).returncode == 7
        assert found(one, "kept") == "2"
        one.run("down", "--daemon-only")
        # A restore that was decided and then killed: the next start finishes it.
        ready = one.paths.state / ".restore-ready"
        script = (
            "from cloudwright._base.paths import Paths; from pathlib import Path\n"
            "from cloudwright.platform import backups; import os, sys\n"
            "backups.finish = lambda paths: os._exit(9)\n"
            f"backups.restore(Paths.find({str(one.paths.state)!r}), Path({target!r}))"
        )
        assert one.call(sys.executable, "-c", script, check=False).returncode == 9
        assert ready.is_dir()
        one.run("up")
        assert not ready.exists()
        assert found(one, "kept") == "1"
        assert found(one, "lost") == "exit code 3"
        apply(one, "kept", 3)
        assert found(one, "kept") == "3"


def test_a_platform_on_etcd(scratch: Path) -> None:
    with machine("cw-etcd", scratch / "state") as one:
        url, peer = "http://127.0.0.1:23790", "http://127.0.0.1:23800"
        process = one.popen(
            etcd.needed(), "--data-dir", str(scratch / "etcd"), "--listen-client-urls", url,
            "--advertise-client-urls", url, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
            "--log-level", "fatal", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            refused = one.run("up", "--store", "etcd:127.0.0.1", check=False)
            assert refused.returncode == 2
            assert "etcd://HOST:PORT" in refused.stderr
            one.run("up", "--store", "etcd://127.0.0.1:23790/one")
            apply(one, "kept", 1)
            assert not one.paths.database.exists()
            assert one.run("backup", str(scratch / "b"), check=False).returncode == 3
            one.run("down", "--daemon-only")
            one.run("up")  # the setting is kept
            assert found(one, "kept") == "1"
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
