"""The current kubectl, built from its source, against our server: it sends protobuf."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.peers.cluster import Cluster
from tests.standards.kubernetes.conftest import program

pytestmark = pytest.mark.foreign
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def kubectl(served: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = program("kubectl")
    cache = tmp_path_factory.mktemp("kubectl")
    config = served.kubeconfig()

    def run(*words: str, input: str | None = None, fails: bool = False):
        done = subprocess.run(
            [path, "--kubeconfig", config, "--cache-dir", cache, *words],
            input=input, capture_output=True, text=True, timeout=120,
            env={**os.environ, "HOME": str(cache)},
        )  # fmt: skip
        assert fails or done.returncode == 0, (words, done.stdout, done.stderr)
        return done

    return run


def test_version_is_known(kubectl: Run) -> None:
    told = json.loads(kubectl("version", "-o", "json").stdout)
    assert told["serverVersion"]["major"] == "1"


def test_create_by_protobuf(kubectl: Run) -> None:
    kubectl("create", "namespace", "pb")
    kubectl("create", "configmap", "settings", "-n", "pb", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "keys", "-n", "pb", "--from-literal=a=b")
    kubectl("create", "role", "reader", "-n", "pb", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "ann", "-n", "pb", "--role=reader", "--user=ann")
    kubectl("create", "serviceaccount", "robot", "-n", "pb")
    kubectl("create", "deployment", "web", "-n", "pb", "--image=web:1")
    kubectl("create", "service", "clusterip", "web", "-n", "pb", "--tcp=80:8080")
    kubectl("create", "job", "once", "-n", "pb", "--image=web:1")
    kubectl("create", "cronjob", "often", "-n", "pb", "--image=web:1", "--schedule=* * * * *")
    kubectl("create", "quota", "few", "-n", "pb", "--hard=pods=99")
    found = kubectl("get", "all,cm,secret,role,sa", "-n", "pb", "-o", "name").stdout.split()
    wanted = {
        "configmap/settings", "secret/keys", "role.rbac.authorization.k8s.io/reader",
        "serviceaccount/robot", "deployment.apps/web", "service/web", "job.batch/once",
        "cronjob.batch/often",
    }  # fmt: skip
    assert wanted <= set(found)
    settings = json.loads(kubectl("get", "cm", "settings", "-n", "pb", "-o", "json").stdout)
    assert settings["data"] == {"a": "b"}


def test_auth_can_i(kubectl: Run) -> None:
    assert kubectl("auth", "can-i", "create", "pods").stdout.strip() == "yes"
    denied = kubectl("auth", "can-i", "create", "pods", "--as=ann", fails=True)
    assert denied.stdout.strip().startswith("no")
    assert "admin" in kubectl("auth", "whoami").stdout


def test_token(kubectl: Run) -> None:
    kubectl("create", "serviceaccount", "asker")
    token = kubectl("create", "token", "asker", "--duration=10m").stdout.strip()
    assert token.count(".") == 2


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, labels: {app: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - {name: web, image: "web:1", ports: [{containerPort: 80}]}
"""


def test_apply_client_side_and_server_side(kubectl: Run) -> None:
    assert "created" in kubectl("apply", "-f", "-", input=DEPLOYMENT).stdout
    assert "unchanged" in kubectl("apply", "-f", "-", input=DEPLOYMENT).stdout
    changed = DEPLOYMENT.replace("web:1", "web:2")
    assert "differs" not in kubectl("diff", "-f", "-", input=DEPLOYMENT).stderr
    assert "web:2" in kubectl("diff", "-f", "-", input=changed, fails=True).stdout
    assert "configured" in kubectl("apply", "-f", "-", input=changed).stdout
    sided = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    conflict = kubectl(*sided, input=DEPLOYMENT, fails=True)
    assert conflict.returncode != 0
    assert "conflict" in conflict.stderr
    assert "serverside-applied" in kubectl(*sided, "--force-conflicts", input=DEPLOYMENT).stdout
    shown = kubectl("get", "deploy", "shop", "-o", "yaml", "--show-managed-fields").stdout
    assert "manager: other" in shown
    kubectl("scale", "deploy", "shop", "--replicas=5")
    kubectl("label", "deploy", "shop", "tier=front")
    kubectl("annotate", "deploy", "shop", "note=x")
    kubectl("set", "image", "deploy/shop", "web=web:3")
    kubectl("patch", "deploy", "shop", "-p", '{"spec":{"minReadySeconds":3}}')
    found = json.loads(kubectl("get", "deploy", "shop", "-o", "json").stdout)
    assert found["spec"]["replicas"] == 5
    assert found["spec"]["minReadySeconds"] == 3
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "web:3"
    kubectl("rollout", "restart", "deploy/shop")
    kubectl("delete", "deploy", "shop", "--wait=false")


def test_explain_and_discovery(kubectl: Run) -> None:
    assert "containers" in kubectl("explain", "pod.spec").stdout
    assert "replicas" in kubectl("explain", "deployment.spec", "--recursive").stdout
    resources = kubectl("api-resources", "-o", "name").stdout.split()
    assert {"pods", "deployments.apps"} <= set(resources)
    assert "apps/v1" in kubectl("api-versions").stdout.split()


def test_explain_our_own_kind(kubectl: Run) -> None:
    assert "version" in kubectl("explain", "microservice.spec").stdout


def test_strict_validation_is_on(kubectl: Run) -> None:
    wrong = DEPLOYMENT.replace("replicas: 2", "replicaz: 2")
    refused = kubectl("create", "-f", "-", input=wrong, fails=True)
    assert refused.returncode != 0
    assert 'unknown field "spec.replicaz"' in refused.stderr


def test_get_watch_ends_and_wait(kubectl: Run, served: Cluster) -> None:
    kubectl("create", "configmap", "waited")
    kubectl("wait", "--for=jsonpath={.data.a}=1", "cm/waited", "--timeout=1s", fails=True)
    with subprocess.Popen(
        [program("kubectl"), "--kubeconfig", served.kubeconfig(), "wait",
         "--for=jsonpath={.data.a}=1", "cm/waited", "--timeout=60s"],
        stdout=subprocess.PIPE, text=True,
    ) as waiting:  # fmt: skip
        kubectl("patch", "cm", "waited", "-p", '{"data":{"a":"1"}}')
        assert waiting.wait(90) == 0
    kubectl("delete", "cm", "waited", "--timeout=30s")


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.k.example.com}
spec:
  group: k.example.com
  scope: Namespaced
  names: {kind: Boat, plural: boats, singular: boat, shortNames: [bt]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Length, type: integer, jsonPath: .spec.length}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              length: {type: integer, minimum: 1, default: 5, description: From bow to stern.}
"""
BOAT = "apiVersion: k.example.com/v1\nkind: Boat\nmetadata: {name: ark}\nspec: {}\n"


def test_custom_resources(kubectl: Run, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", input=CRD)
    kubectl("wait", "--for=condition=Established", "crd/boats.k.example.com", "--timeout=60s")
    kubectl("apply", "-f", "-", input=BOAT)
    table = kubectl("get", "bt").stdout.splitlines()
    assert table[0].split() == ["NAME", "LENGTH"]
    assert table[1].split() == ["ark", "5"]
    assert "From bow to stern." in kubectl("explain", "boat.spec.length").stdout
    small = kubectl(
        "patch", "boat", "ark", "--type=merge", "-p", '{"spec":{"length":0}}', fails=True
    )
    assert "should be greater than or equal to 1" in small.stderr
    kubectl("delete", "crd", "boats.k.example.com", "--timeout=60s")


def test_all_of_a_directory(kubectl: Run, tmp_path: Path) -> None:
    for number in range(5):
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"dir-{number}", "labels": {"set": "dir"}},
        }
        (tmp_path / f"{number}.json").write_text(json.dumps(document))
    kubectl("apply", "-f", str(tmp_path))
    found = kubectl("get", "cm", "-l", "set=dir", "-o", "name").stdout.split()
    assert len(found) == 5
    kubectl("apply", "-f", str(tmp_path), "--prune", "-l", "set=dir")
    kubectl("delete", "-f", str(tmp_path))
    assert not kubectl("get", "cm", "-l", "set=dir", "-o", "name").stdout


def test_describe_and_events(kubectl: Run) -> None:
    kubectl("create", "configmap", "told", "--from-literal=a=b")
    assert "BinaryData" in kubectl("describe", "cm", "told").stdout
    assert "kube-system" in kubectl("get", "ns").stdout
    kubectl("get", "events", "-A")
    kubectl("describe", "ns", "default")
    assert kubectl("get", "--raw", "/readyz").stdout == "ok"
