"""Every built-in kind in protobuf, byte for byte beside what Go's own types write.

The bodies come with Kubernetes' own Go module (``k8s.io/api/testdata``): each kind with every field
set, as JSON and as protobuf. The module is fetched once.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cloudwright.model import golang
from cloudwright.model.resources import BUILT_IN, Resource

pytestmark = [pytest.mark.foreign, pytest.mark.slow]
MODULE = "k8s.io/api@v0.36.0"
# Their types live in other modules, without such files.
ELSEWHERE = {"platform.example.com", "cloudwright.dev", "apiextensions.k8s.io"}
ELSEWHERE |= {"apiregistration.k8s.io"}
KINDS = [r for r in BUILT_IN if r.group not in ELSEWHERE]


@pytest.fixture(scope="module")
def bodies() -> Path:
    if shutil.which("go") is None:
        pytest.skip("no Go toolchain: upstream's bodies cannot be fetched")
    command = ["go", "mod", "download", "-json", MODULE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"upstream's bodies cannot be fetched: {done.stderr[-200:]}")
    return Path(json.loads(done.stdout)["Dir"]) / "testdata/HEAD"


@pytest.mark.parametrize("resource", KINDS, ids=lambda r: f"{r.kind}.{r.group}.{r.version}")
def test_bytes_are_those_of_go(bodies: Path, resource: Resource) -> None:
    group = resource.group or "core"
    file = bodies / f"{group}.{resource.version}.{resource.kind}.json"
    text, binary = file.read_bytes(), file.with_suffix(".pb").read_bytes()
    assert golang.encode(text) == binary
    assert json.loads(golang.decode(binary)) == json.loads(text)
    name = golang.type_name(resource)
    assert name is not None
    canonical, unknown = golang.canonical(name, text)
    assert (json.loads(canonical), unknown) == (json.loads(text), [])


@pytest.mark.parametrize(
    "kind", ["DeleteOptions", "CreateOptions", "PatchOptions", "ListOptions", "Status"]
)
def test_options_and_status_too(bodies: Path, kind: str) -> None:
    binary = (bodies / f"core.v1.{kind}.pb").read_bytes()
    assert json.loads(golang.decode(binary)) == json.loads(
        (bodies / f"core.v1.{kind}.json").read_bytes()
    )
