from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cloudwright._base.errors import UnreachableError, UsageError
from cloudwright.client import kubeconfig


def document(**user: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "mine"}},
            {"name": "there", "context": {"cluster": "d", "user": "u"}},
            {"name": "broken", "context": {"cluster": "nowhere", "user": "u"}},
        ],
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://127.0.0.1:6443",
                    "certificate-authority-data": base64.b64encode(b"CA").decode(),
                },
            },
            {"name": "d", "cluster": {"server": "http://d", "insecure-skip-tls-verify": True}},
        ],
        "users": [{"name": "u", "user": user}],
    }


def written(folder: Path, content: dict[str, Any] | str, name: str = "config") -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_embedded_data_and_contexts(tmp_path: Path) -> None:
    data = {
        "client-certificate-data": base64.b64encode(b"CERT").decode(),
        "client-key-data": base64.b64encode(b"KEY").decode(),
    }
    file = written(tmp_path, document(**data))
    here = kubeconfig.read(file)
    assert here.server == "https://127.0.0.1:6443"
    assert (here.namespace, here.ca, here.certificate, here.key) == ("mine", b"CA", b"CERT", b"KEY")
    there = kubeconfig.read(file, "there")
    assert there.insecure
    assert there.namespace == "default"


def test_files_are_named_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_bytes(b"CERT")
    (tmp_path / "token").write_text("secret\n")
    access = kubeconfig.read(
        written(tmp_path, document(**{"client-certificate": "c.pem", "tokenFile": "token"}))
    )
    assert access.certificate == b"CERT"
    assert access.source is not None
    assert access.source.obtain().token == "secret"


@pytest.mark.parametrize(
    ("cluster", "environment", "expected"),
    [
        ({"proxy-url": "http://proxy:3128"}, {}, "http://proxy:3128"),
        ({}, {"HTTPS_PROXY": "http://env:1"}, "http://env:1"),
        ({}, {"HTTPS_PROXY": "http://env:1", "NO_PROXY": "x, .example.com"}, ""),
        ({}, {"HTTPS_PROXY": "http://env:1", "NO_PROXY": "ample.com"}, "http://env:1"),
        (
            {"server": "https://10.1.2.3"},
            {"HTTPS_PROXY": "http://e:1", "NO_PROXY": "10.0.0.0/8"},
            "",
        ),
        ({"server": "https://127.0.0.1:6443"}, {"HTTPS_PROXY": "http://env:1"}, ""),
    ],
)
def test_proxies(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cluster: dict[str, str],
    environment: dict[str, str],
    expected: str,
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = document(token="t")
    made["clusters"][0]["cluster"] = {"server": "https://api.example.com", **cluster}
    assert kubeconfig.read(written(tmp_path, made)).proxy == expected


def test_yaml_is_read_too(tmp_path: Path) -> None:
    import yaml

    text = "# ours\n" + yaml.safe_dump(document(token="t"))
    assert kubeconfig.read(written(tmp_path, text)).token == "t"


@pytest.mark.parametrize(
    ("content", "context", "expected"),
    [
        ("a: [", None, "is not a kubeconfig"),
        ("{", None, "is not a kubeconfig"),
        ("just text", None, "is not a kubeconfig"),
        (document(), "other", "contexts has no 'other'"),
        (document(), "broken", "clusters has no 'nowhere'"),
        (document(exec={"command": "x"}), None, "exec needs a command and apiVersion"),
        (document(**{"auth-provider": {"name": "x"}}), None, "auth-provider"),
    ],
)
def test_bad_files_say_what_is_wrong(
    tmp_path: Path, content: dict[str, Any] | str, context: str | None, expected: str
) -> None:
    with pytest.raises(UsageError) as caught:
        kubeconfig.read(written(tmp_path, content), context)
    assert expected in caught.value.message
    assert str(tmp_path) in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        kubeconfig.find(str(tmp_path / "none"))


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "CLOUDWRIGHT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    state = str(tmp_path / "state")
    with pytest.raises(UnreachableError) as caught:
        kubeconfig.find(state_dir=state)
    assert "cloudwright up" in str(caught.value.hint)
    (tmp_path / "home" / ".kube").mkdir(parents=True)
    written(tmp_path / "home" / ".kube", document(token="kube"))
    assert kubeconfig.find(state_dir=state).token == "kube"
    (tmp_path / "state" / "user").mkdir(parents=True)
    written(tmp_path / "state" / "user", document(token="ours"), "kubeconfig")
    assert kubeconfig.find(state_dir=state).token == "ours"
    listed = written(tmp_path, document(token="listed"), "second")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{listed}")
    assert kubeconfig.find(state_dir=state).token == "listed"
    given = written(tmp_path, document(token="given"), "given")
    assert kubeconfig.find(str(given), state_dir=state).token == "given"


def test_inside_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("token", "t\n"), ("namespace", "ns\n"), ("ca.crt", "CA")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    access = kubeconfig.find(state_dir=str(tmp_path / "state"))
    assert (access.server, access.namespace) == ("https://10.96.0.1:443", "ns")
    assert access.source is not None
    assert access.source.obtain().token == "t"
