"""Helm, built from its source: a small chart installed, upgraded, rolled back, removed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.peers.cluster import Cluster
from tests.standards.kubernetes.conftest import program

pytestmark = pytest.mark.foreign
CHART = "apiVersion: v2\nname: small\nversion: 0.1.0\nappVersion: '1'\n"
VALUES = "text: hello\nreplicas: 1\n"
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-text
data:
  text: {{ .Values.text | quote }}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      containers: [{name: app, image: "web:1"}]
"""
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kites.h.example.com}
spec:
  group: h.example.com
  scope: Namespaced
  names: {kind: Kite, plural: kites}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""


def test_helm_lives_a_release_through(served: Cluster, tmp_path: Path) -> None:
    path = program("helm")
    chart = tmp_path / "small"
    for name, text in {
        "Chart.yaml": CHART,
        "values.yaml": VALUES,
        "templates/config.yaml": CONFIG,
        "templates/deployment.yaml": DEPLOYMENT,
        "crds/kites.yaml": DEFINITION,
    }.items():
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        (chart / name).write_text(text)
    environment = {
        **os.environ,
        "KUBECONFIG": str(served.kubeconfig()),
        "HOME": str(tmp_path),
        "HELM_CACHE_HOME": str(tmp_path / "cache"),
        "HELM_CONFIG_HOME": str(tmp_path / "config"),
        "HELM_DATA_HOME": str(tmp_path / "data"),
    }

    def helm(*words: str) -> str:
        done = subprocess.run(
            [path, *words], capture_output=True, text=True, timeout=180, env=environment
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    helm("install", "shop", str(chart), "-n", "charts", "--create-namespace")
    assert json.loads(helm("list", "-n", "charts", "-o", "json"))[0]["status"] == "deployed"
    assert "hello" in helm("get", "manifest", "shop", "-n", "charts")
    helm("upgrade", "shop", str(chart), "-n", "charts", "--set", "text=changed,replicas=3")
    assert "changed" in helm("get", "manifest", "shop", "-n", "charts")
    history = json.loads(helm("history", "shop", "-n", "charts", "-o", "json"))
    assert [entry["revision"] for entry in history] == [1, 2]
    helm("rollback", "shop", "1", "-n", "charts")
    assert "hello" in helm("get", "manifest", "shop", "-n", "charts")
    assert "STATUS: deployed" in helm("status", "shop", "-n", "charts")
    helm("uninstall", "shop", "-n", "charts")
    assert json.loads(helm("list", "-n", "charts", "-o", "json")) == []
