"""``kubectl top`` on a real machine: what is used is measured, and the Gateway API is at hand."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import Machine, machine
from tests.peers import build

pytestmark = [pytest.mark.root, pytest.mark.netns, pytest.mark.foreign, pytest.mark.slow]
IMAGE = "busy:1"
PROGRAM = "while True:\n    pass\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A platform with one busy pod that may take a tenth of a core."""
    source = tmp_path_factory.mktemp("busy")
    (source / "main.py").write_text(PROGRAM)
    name = f"cwt-top-{os.getpid()}"
    with machine(name, Path(f"/tmp/{name}")) as made:
        made.build(str(source), "-t", IMAGE)
        made.run("up", "--gateway-api", "standard")
        container = {"name": "app", "image": IMAGE, "resources": {"limits": {"cpu": "100m"}}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "busy"}}
        made.apply({**pod, "spec": {"containers": [container]}})
        made.run("wait", "pod/busy", "--for", "condition=Ready", "--timeout", "90s")
        yield made


def test_top_pods_and_nodes(made: Machine) -> None:
    try:
        kubectl = str(build.built("kubectl"))
    except build.Unavailable as problem:
        pytest.skip(str(problem))
    end = time.monotonic() + 120
    while True:
        found = made.call(kubectl, "top", "pods", "--no-headers", check=False)
        if found.returncode == 0 and found.stdout.startswith("busy"):
            break
        assert time.monotonic() < end, (found.stdout, found.stderr)
        time.sleep(0.2)
    name, cpu, memory = found.stdout.split()
    assert (name, cpu[-1], memory[-2:]) == ("busy", "m", "Mi")
    node = made.call(kubectl, "top", "nodes", "--no-headers").stdout.split()
    assert node[1].endswith("m")
    assert node[3].endswith("Mi")
    listed = made.call(kubectl, "api-resources", "--api-group=metrics.k8s.io", "-o", "name")
    assert listed.stdout.split() == ["nodes.metrics.k8s.io", "pods.metrics.k8s.io"]


def test_the_gateway_api_is_served(made: Machine) -> None:
    assert made.get("gateways.gateway.networking.k8s.io")["items"] == []
