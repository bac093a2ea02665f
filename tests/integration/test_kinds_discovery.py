"""What we say of ourselves in discovery, beside what upstream's documents say.

The documents come with Kubernetes' own Go module (``api/discovery``), which is fetched once.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cloudwright.apiserver import built_ins
from cloudwright.apiserver.discovery import Discovery, storage_version_hash
from cloudwright.apiserver.registry import Registry
from cloudwright.model import resources

pytestmark = [pytest.mark.foreign, pytest.mark.slow]
MODULE = "k8s.io/kubernetes@v1.36.0"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
OURS = {"platform.example.com", "cloudwright.dev"}
# upstream's documents have these switched on, a server by default has not
OFF = ("alpha", "beta")
ABSENT = {
    "apiservices": "read-only: no other API server is plugged in",
    "apiservices/status": "read-only",
    "serviceaccounts/token": "served by the identity room, told when it is there",
}


@pytest.fixture(scope="module")
def upstream() -> Path:
    if shutil.which("go") is None:
        pytest.skip("no Go toolchain: upstream's documents cannot be fetched")
    command = ["go", "mod", "download", "-json", MODULE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"upstream's documents cannot be fetched: {done.stderr[-200:]}")
    return Path(json.loads(done.stdout)["Dir"]) / "api/discovery"


@pytest.fixture(scope="module")
def discovery() -> Discovery:
    return Discovery(Registry(built_ins.served()))


def ask(discovery: Discovery, path: str, accept: str = "") -> Any:
    reply = discovery.answer(path, accept)
    assert reply is not None, path
    return json.loads(reply.body)


VERSIONS = sorted({r.root for r in resources.BUILT_IN if r.group not in OURS})


@pytest.mark.parametrize("root", VERSIONS)
def test_each_version_lists_what_upstream_lists(
    upstream: Path, discovery: Discovery, root: str
) -> None:
    theirs = json.loads((upstream / f"{root[1:].replace('/', '__')}.json").read_text())
    ours = ask(discovery, root)
    assert ours["groupVersion"] == theirs["groupVersion"]
    wanted = [entry for entry in theirs["resources"] if entry["name"] not in ABSENT]
    found = [entry for entry in ours["resources"] if entry["name"] not in ABSENT]
    for entry in found + wanted:
        entry.pop("storageVersionHash", None)
    assert found == wanted


def test_groups_come_in_the_same_order(upstream: Path, discovery: Discovery) -> None:
    theirs = json.loads((upstream / "apis.json").read_text())["groups"]
    stable = []
    for group in theirs:
        versions = [v for v in group["versions"] if not any(w in v["version"] for w in OFF)]
        if versions:
            stable.append({**group, "versions": versions, "preferredVersion": versions[0]})
    ours = [g for g in ask(discovery, "/apis")["groups"] if g["name"] not in OURS]
    assert ours == stable


def test_aggregated_discovery_has_the_same_resources(upstream: Path, discovery: Discovery) -> None:
    theirs = json.loads((upstream / "aggregated_v2.json").read_text())["items"]
    ours = {i["metadata"]["name"]: i for i in ask(discovery, "/apis", AGGREGATED)["items"]}
    for group in theirs:
        name = group["metadata"]["name"]
        versions = [v for v in group["versions"] if not any(w in v["version"] for w in OFF)]
        if versions and name != resources.API_SERVICE.group:
            assert ours[name]["versions"] == versions, name


def test_storage_version_hashes_are_upstreams() -> None:
    # From a real server's discovery: clients compare them, so they must be the same function.
    assert storage_version_hash("/v1/Pod") == "xPOwRZ+Yhw8="
    assert storage_version_hash("apps/v1/Deployment") == "8aSe+NMegvE="
