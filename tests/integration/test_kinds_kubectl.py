"""kubectl (current) with every kind: it finds them, explains them to the last field, and what it
checks by our schemas before it sends is what the server takes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudwright.model.resources import BUILT_IN, Resource
from tests.integration.kinds_corpus import CASES, NAMESPACE
from tests.peers.build import Unavailable, built
from tests.peers.ours import our_server

pytestmark = [pytest.mark.foreign, pytest.mark.slow]
PATHS = {r.path(NAMESPACE if r.namespaced else ""): r for r in BUILT_IN}


class Kubectl:
    """kubectl of the peers, on our server."""

    def __init__(self, program: Path, config: Path) -> None:
        self._words = [str(program), "--kubeconfig", str(config)]
        self._home = config.parent

    def __call__(self, *words: str, text: str = "", fine: bool = True) -> str:
        environment = {"HOME": str(self._home), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            [*self._words, *words],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=120,
        )
        assert (done.returncode == 0) == fine, done.stderr + done.stdout
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    try:
        program = built("kubectl")
    except Unavailable as missing:
        pytest.skip(str(missing))
    with our_server(tmp_path_factory.mktemp("kinds")) as ours:
        found = Kubectl(program, ours.kubeconfig())
        found("create", "namespace", NAMESPACE)
        yield found


def named(resource: Resource) -> str:
    return f"{resource.plural}.{resource.version}.{resource.group}".rstrip(".")


def test_every_kind_is_found(kubectl: Kubectl) -> None:
    listed = kubectl("api-resources", "--no-headers", "-o", "name").split()
    wanted = {f"{r.plural}.{r.group}".rstrip(".") for r in BUILT_IN}
    assert wanted <= set(listed)
    assert kubectl("api-resources", "--categories=all", "--no-headers", "-o", "name").split()


def test_every_kind_is_explained_to_the_last_field(kubectl: Kubectl) -> None:
    def explain(resource: Resource) -> tuple[Resource, str]:
        version = resource.api_version
        word = f"--api-version={version}"
        return resource, kubectl("explain", resource.plural, "--recursive", word)

    with ThreadPoolExecutor(2) as pool:
        for resource, text in pool.map(explain, BUILT_IN):
            assert f"KIND:       {resource.kind}" in text
            assert "\n  metadata\t<" in text
            assert "<empty>" not in text, resource


def test_good_objects_pass_both_checks_and_strange_fields_neither(kubectl: Kubectl) -> None:
    good = [c for c in CASES if not c[0].startswith(("system", "notan")) and "-" not in c[0]]
    objects = [
        {"apiVersion": PATHS[path].api_version, "kind": PATHS[path].kind, **body}
        for name, path, body, _ in good
        if path in PATHS and len(name) < 50 and "-bad" not in name
    ]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    words = ("create", "-n", NAMESPACE, "--dry-run=server", "--validate=strict", "-f", "-")
    shown = kubectl(*words, text=text)
    assert shown.count("created (server dry run)") == len(objects) > 30
    objects[0]["spec"]["surprise"] = 1
    refused = kubectl(*words, text=json.dumps(objects[0]), fine=False)
    assert 'unknown field "spec.surprise"' in refused
