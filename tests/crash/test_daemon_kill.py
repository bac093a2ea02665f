"""``kill -9`` of the daemon, twenty times, at random points of roll-outs.

The state converges to the last version, no acknowledged write is lost, nothing leaks. The seed is
printed and can be given again with ``CLOUDWRIGHT_TEST_SEED``.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cloudwright.platform.lifecycle import daemon_state
from tests.machine import Machine, machine

pytestmark = [pytest.mark.root, pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = 20
LATEST_SECONDS = 1.5
"""The last moment after a patch at which the daemon is killed."""
START_KILLS = 0.3
"""How often the daemon is also killed while it starts again."""
START_SECONDS = 0.8
SETTLE = "90s"
REPLICAS = 2
VERSIONS = ("1.11.0", "1.12.0")

PROGRAM = """\
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["RELEASE"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Answers).serve_forever()
"""

SERVICE: dict[str, Any] = {
    "apiVersion": "platform.example.com/v1",
    "kind": "MicroService",
    "metadata": {"name": "echo"},
    "spec": {
        "version": VERSIONS[-1],
        "replicas": REPLICAS,
        "readinessProbePath": "/",
        "lifecyclePolicy": {"preStopHook": "pre-stop.sh"},
        "terminationGracePeriodSeconds": 5,
    },
}


@dataclass
class Footprint:
    """How many kernel objects there are of each sort, and the names of the containers."""

    counts: dict[str, int]
    containers: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    source = tmp_path_factory.mktemp("echo")
    (source / "main.py").write_text(PROGRAM)
    script = source / "pre-stop.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    with machine(f"cwt-kill-{os.getpid()}", Path(f"/tmp/cwt-kill-{os.getpid()}")) as made:
        for version in VERSIONS:
            made.build(str(source), "-t", f"echo:{version}", "--env", f"RELEASE={version}")
        made.run("up")
        made.apply(SERVICE)
        settled(made, VERSIONS[-1])
        yield made


def settled(made: Machine, version: str) -> None:
    """Wait until ``version`` is there, Ready, and the old pods are gone."""
    reached = f"jsonpath={{.status.version}}={version}"
    made.run("wait", "ms/echo", "--for", reached, "--timeout", SETTLE)
    made.run("wait", "ms/echo", "--for", "condition=Ready", "--timeout", SETTLE)
    made.run("rollout", "status", "deployment/echo", "--timeout", SETTLE)
    deadline = time.monotonic() + 60
    while len(made.get("pods")["items"]) != REPLICAS:  # old ones are still ending
        assert time.monotonic() < deadline, made.run("get", "pods").stdout
        time.sleep(0.2)


def footprint(made: Machine) -> Footprint:
    """What the instance holds now."""
    found = made.inventory()
    counts = {
        "processes": len(found.processes),
        "namespaces": len(found.namespaces),
        "links": len(found.links),
        "mounts": len(found.mounts),
        "tables": len(found.tables),
    }
    groups = [
        str(group)
        for root in found.cgroups
        for group in Path(root).rglob("*")
        if group.is_dir() and not any(child.is_dir() for child in group.iterdir())
    ]
    counts["cgroups"] = len(groups)
    folders = [entry.name for entry in made.paths.pods.iterdir()]
    counts["folders"] = len(folders)
    return Footprint(counts, found.processes, sorted(folders), sorted(groups))


def write_counter(made: Machine, number: int) -> None:
    """One acknowledged write: when this returns, the API server has said that it is kept."""
    made.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"counter-{number}"},
            "data": {"number": str(number)},
        }
    )


def kill(pid: int) -> None:
    """SIGKILL; returns when the process has ended, as it is still seen while it ends."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        assert select.select([handle], [], [], 10)[0], f"{pid} does not end"
    finally:
        os.close(handle)


def kill_in_rollout(made: Machine, chance: random.Random, number: int) -> str:
    """Patch, kill the daemon a moment later, start it again. Returns the version patched."""
    version = VERSIONS[number % 2]
    made.run("patch", "ms", "echo", "-p", json.dumps({"spec": {"version": version}}))
    write_counter(made, number)
    time.sleep(chance.uniform(0, LATEST_SECONDS))  # the random moment is the point
    kill(made.daemon)
    if chance.random() < START_KILLS:
        kill_in_start(made, chance)
    made.run("up")
    return version


def kill_in_start(made: Machine, chance: random.Random) -> None:
    """Start the daemon and kill it while it takes over."""
    starting = made.popen(
        *(sys.executable, "-m", "cloudwright.cli.main", "up"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    while not daemon_state(made.paths).running:
        assert starting.poll() is None, starting.communicate()
        time.sleep(0.01)
    time.sleep(chance.uniform(0, START_SECONDS))
    kill(made.daemon)
    said, _ = starting.communicate(timeout=60)
    if starting.returncode != 0:  # else it was ready first
        assert "ended while starting" in said, said


def test_twenty_kills_in_rollouts_lose_and_leak_nothing(echo: Machine) -> None:
    seed = int(os.environ.get("CLOUDWRIGHT_TEST_SEED", random.randrange(2**32)))
    print(f"CLOUDWRIGHT_TEST_SEED={seed}")
    chance = random.Random(seed)
    before = footprint(echo)
    version = VERSIONS[-1]
    seen: set[str] = set()
    for number in range(KILLS):
        version = kill_in_rollout(echo, chance, number)
        seen |= {pod["metadata"]["uid"] for pod in echo.get("pods")["items"]}
    settled(echo, version)
    assert len(seen) >= KILLS, f"seed {seed}: the kills met hardly any roll-out"

    kept = {item["metadata"]["name"]: item for item in echo.get("configmaps")["items"]}
    for number in range(KILLS):
        assert kept[f"counter-{number}"]["data"] == {"number": str(number)}, f"seed {seed}"
    pods = echo.get("pods")["items"]
    uids = {pod["metadata"]["uid"] for pod in pods}
    after = footprint(echo)
    assert after.counts == before.counts, f"seed {seed}: {before} → {after}"
    assert set(after.folders) == uids, f"seed {seed}"
    for pod in pods:
        images = [c["image"] for c in pod["spec"]["containers"]]
        assert images == [f"echo:{version}"], f"seed {seed}"
    assert echo.get("ms", "echo")["spec"]["version"] == version
    answer = echo.curl("/echo/")
    assert answer.stdout.split() == [version, "200"], f"seed {seed}: {answer}"
