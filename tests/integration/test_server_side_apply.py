"""Server-side apply by foreign hands: kubectl (two of them) and our own command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import foreign

pytestmark = pytest.mark.foreign
ROOT = Path(__file__).parents[2]
Run = Callable[..., str]
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: app, image: "web:1", ports: [{containerPort: 80}]}]
"""
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: %s}
data: {%s}
"""
WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gears.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: gears, kind: Gear}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              teeth: {type: integer, default: 12}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, size: {type: integer}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served API, and how to reach it."""
    state = tmp_path_factory.mktemp("api")
    command = [foreign.python(), "-m", "tests.integration.served_api", str(state)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the server did not start"
        yield json.loads(line)["kubeconfig"]
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


def _runner(*command: str) -> Run:
    def run(*arguments: str, stdin: str | None = None, code: int = 0) -> str:
        done = subprocess.run(
            [*command, *arguments], input=stdin, capture_output=True, text=True, timeout=120
        )
        assert (done.returncode == 0) is (code == 0), f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module", params=["path", "debian"])
def kubectl(
    request: pytest.FixtureRequest, kubeconfig: str, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """Runs kubectl; ``code=1`` expects failure."""
    found = foreign.kubectl_on_path() if request.param == "path" else foreign.kubectl_debian()
    if found is None:
        pytest.skip(f"no kubectl ({request.param}) on this machine, and none can be fetched")
    cache = tmp_path_factory.mktemp("kubectl")
    return _runner(str(found), f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    text = request.node.name.removeprefix("test_").replace("_", "-").replace("[", "-")
    return str(text.rstrip("]")[:50])


def _owners(run: Run, kind: str, name: str) -> dict[str, Any]:
    flag = "--show-managed-fields"  # kubectl 1.20 shows them always
    flags = [flag] if flag in run("get", "--help") else []
    shown = run("get", kind, name, "-o", "json", *flags)
    entries = json.loads(shown)["metadata"].get("managedFields", [])
    return {f"{entry['manager']}/{entry['operation']}": entry["fieldsV1"] for entry in entries}


def test_apply_and_apply_again(kubectl: Run, name: str) -> None:
    manifest = DEPLOYMENT % (name, 2)
    apply = ("apply", "--server-side", "-f", "-")
    assert f"deployment.apps/{name} serverside-applied" in kubectl(*apply, stdin=manifest)
    version = ("get", "deployment", name, "-o", "jsonpath={.metadata.resourceVersion}")
    before = kubectl(*version)
    kubectl(*apply, stdin=manifest)
    assert kubectl(*version) == before
    fields = _owners(kubectl, "deployment", name)["kubectl/Apply"]["f:spec"]
    container = fields["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert container["f:ports"] == {
        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
    }


def test_conflicts_are_told_and_forced(kubectl: Run, name: str) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    kubectl(*apply, "--field-manager=first", stdin=CONFIG % (name, "x: '1', z: '1'"))
    mine = CONFIG % (name, "x: '2'")
    refused = kubectl(*apply, "--field-manager=second", stdin=mine, code=1)
    assert 'conflict with "first": .data.x' in refused
    kubectl(*apply, "--field-manager=second", "--force-conflicts", stdin=mine)
    assert _owners(kubectl, "configmap", name) == {
        "first/Apply": {"f:data": {"f:z": {}}},
        "second/Apply": {"f:data": {"f:x": {}}},
    }
    kubectl(*apply, "--field-manager=second", stdin=CONFIG % (name, ""))
    data = json.loads(kubectl("get", "configmap", name, "-o", "jsonpath={.data}"))
    assert data == {"z": "1"}


def test_a_dry_run_writes_nothing(kubectl: Run, name: str) -> None:
    apply = ("apply", "--server-side", "--dry-run=server", "-f", "-")
    assert "serverside-applied" in kubectl(*apply, stdin=CONFIG % (name, "x: '1'"))
    assert "NotFound" in kubectl("get", "configmap", name, code=1)


def test_from_client_side_to_server_side(kubectl: Run, name: str) -> None:
    kubectl("apply", "-f", "-", stdin=CONFIG % (name, "x: '1', z: '1'"))
    changed = CONFIG % (name, "x: '2'")
    kubectl("apply", "--server-side", "-f", "-", stdin=changed)
    data = json.loads(kubectl("get", "configmap", name, "-o", "jsonpath={.data}"))
    assert data["x"] == "2"


def test_scaling_and_labels_have_owners(kubectl: Run, name: str) -> None:
    kubectl("create", "deployment", name, "--image=web:1")
    kubectl("scale", f"deployment/{name}", "--replicas=3")
    kubectl("label", "deployment", name, "team=shop")
    owners = _owners(kubectl, "deployment", name)
    assert any("f:replicas" in fields.get("f:spec", {}) for fields in owners.values())
    labels = [fields.get("f:metadata", {}).get("f:labels", {}) for fields in owners.values()]
    assert any("f:team" in one for one in labels)


def test_custom_resources_are_applied_by_their_schema(kubectl: Run, name: str) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=WIDGETS)
    kubectl("wait", "--for=condition=Established", "crd/gears.example.org", "--timeout=60s")
    gear = "apiVersion: example.org/v1\nkind: Gear\nmetadata: {name: %s}\nspec: {parts: [%s]}\n"
    apply = ("apply", "--server-side", "-f", "-")
    one, two = "{name: a, size: 1}", "{name: b, size: 2}"
    kubectl(*apply, "--field-manager=first", stdin=gear % (name, one))
    kubectl(*apply, "--field-manager=second", stdin=gear % (name, two))
    shown = json.loads(kubectl("get", "gear", name, "-o", "json"))
    assert [part["name"] for part in shown["spec"]["parts"]] == ["a", "b"]
    assert shown["spec"]["teeth"] == 12
    kubectl(*apply, "--field-manager=first", stdin=gear % (name, ""))
    shown = json.loads(kubectl("get", "gear", name, "-o", "json"))
    assert [part["name"] for part in shown["spec"]["parts"]] == ["b"]


def test_our_own_command_line_applies(kubeconfig: str) -> None:
    program = Path(foreign.python()).with_name("cloudwright")
    run = _runner(str(program))
    where = f"--kubeconfig={kubeconfig}"
    apply = ("apply", where, "--server-side", "-f", "-")
    manifest = CONFIG % ("ours", "x: '1'")
    assert "configmap/ours serverside-applied" in run(*apply, stdin=manifest)
    other = ("--field-manager=other",)
    refused = run(*apply, *other, stdin=CONFIG % ("ours", "x: '2'"), code=7)
    assert ".data.x" in refused
    assert "--force-conflicts" in refused
    run(*apply, *other, "--force-conflicts", stdin=CONFIG % ("ours", "x: '2'"))
