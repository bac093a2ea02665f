from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.node import environment, etcfiles, projection, specs, volumes
from cloudwright.node.errors import ConfigError, NodeError, VolumeError
from cloudwright.node.volumes import Content, VolumePlan

CM = {
    "kind": "ConfigMap",
    "metadata": {"name": "cm", "resourceVersion": "7"},
    "data": {"a": "1", "b-c": "2"},
    "binaryData": {"bin": base64.b64encode(b"\xff").decode()},
}
SECRET = {
    "kind": "Secret",
    "metadata": {"name": "s", "resourceVersion": "8"},
    "data": {"key": base64.b64encode(b"hush").decode()},
}


def lookup(kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    return {("ConfigMap", "cm"): CM, ("Secret", "s"): SECRET}.get((kind, name))


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "p", "namespace": "d", "uid": "u", "labels": {"app": "x"},
            "annotations": {"note": 'a "b"'},
        },
        "spec": {"containers": [{"name": "app", "image": "i"}], **spec},
        "status": {"podIP": "10.0.0.1"},
    }  # fmt: skip


def env(*entries: dict[str, Any], **container: Any) -> dict[str, str]:
    body = {"name": "app", "env": list(entries), **container}
    return environment.resolve(body, pod(nodeName="n"), lookup, {"cpu": "2", "memory": "1Gi"})


def source(name: str, **value_from: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": value_from}


def test_variables_from_everywhere() -> None:
    found = env(
        {"name": "A", "value": "one"},
        {"name": "B", "value": "$(A)-$(NO)-$$(A)"},
        source("C", configMapKeyRef={"name": "cm", "key": "a"}),
        source("S", secretKeyRef={"name": "s", "key": "key"}),
        source("IP", fieldRef={"fieldPath": "status.podIP"}),
        source("L", fieldRef={"fieldPath": "metadata.labels['app']"}),
        source("CPU", resourceFieldRef={"resource": "limits.cpu", "divisor": "1m"}),
        source("MEM", resourceFieldRef={"resource": "limits.memory", "divisor": "1Mi"}),
        source("O", configMapKeyRef={"name": "none", "key": "a", "optional": True}),
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "cm"}}],
        resources={"limits": {"cpu": "250m"}},
    )
    assert found == {
        "P_a": "1", "P_b-c": "2", "P_bin": "\ufffd", "A": "one", "B": "one-$(NO)-$(A)", "C": "1",
        "S": "hush", "IP": "10.0.0.1", "L": "x", "CPU": "250", "MEM": "1024",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (source("X", configMapKeyRef={"name": "none", "key": "a"}), 'configmap "none" not found'),
        (source("X", secretKeyRef={"name": "s", "key": "z"}), "couldn't find key z in Secret d/s"),
        (source("X", fieldRef={"fieldPath": "spec.magic"}), "unsupported fieldPath: spec.magic"),
        (source("X", resourceFieldRef={"resource": "limits.gold"}), "unsupported resource"),
    ],
)
def test_what_is_missing_is_named(entry: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        env(entry)


@given(st.text(max_size=40))
def test_text_without_dollars_is_not_changed(text: str) -> None:
    plain = text.replace("$", "")
    assert environment.expand(plain, {"A": "1"}) == plain


def plan(body: dict[str, Any], **options: Any) -> VolumePlan:
    return volumes.plan(pod(volumes=[{"name": "v", **body}]), lookup, {}, **options)[0]


def test_plans_of_all_kinds() -> None:
    files = plan({"configMap": {"name": "cm", "defaultMode": 0o400}})
    assert files.files is not None
    assert files.files["a"] == Content(b"1", 0o400)
    assert files.files["bin"].data == b"\xff"
    assert volumes.applied([files]) == "cm@7"
    picked = plan({"secret": {"secretName": "s", "items": [{"key": "key", "path": "d/k"}]}})
    assert picked.files == {"d/k": Content(b"hush")}
    both = {
        "sources": [
            {"configMap": {"name": "cm", "items": [{"key": "a", "path": "x"}]}},
            {"downwardAPI": {"items": [
                {"path": "notes", "fieldRef": {"fieldPath": "metadata.annotations"}}]}},
        ]
    }  # fmt: skip
    assert plan({"projected": both}).files == {
        "x": Content(b"1"), "notes": Content(b'note="a \\"b\\""')
    }  # fmt: skip
    assert plan({"emptyDir": {"sizeLimit": "1Mi"}}).size_limit == 1 << 20
    assert plan({"configMap": {"name": "none", "optional": True}}).files == {}
    assert plan({"hostPath": {"path": "/x"}}, allow_host_path=True).host_path == "/x"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"configMap": {"name": "none"}}, 'for volume "v": configmap "none" not found'),
        ({"hostPath": {"path": "/"}}, "hostPath volumes are not allowed"),
        ({"nfs": {"server": "x"}}, "unsupported type: nfs"),
        (
            {"configMap": {"name": "cm", "items": [{"key": "a", "path": "../x"}]}},
            "must be relative",
        ),
        ({"configMap": {"name": "cm", "items": [{"key": "z", "path": "x"}]}}, 'has no key "z"'),
        ({"emptyDir": {"sizeLimit": "much"}}, "sizeLimit"),
    ],
)
def test_bad_volumes_are_refused_with_the_reason(body: dict[str, Any], text: str) -> None:
    with pytest.raises(VolumeError, match=text):
        plan(body)


def test_files_are_swapped_at_once_and_only_when_they_change(tmp_path: Path) -> None:
    old = VolumePlan("v", {"a": Content(b"1"), "d/x": Content(b"2", 0o400)})
    assert projection.write(tmp_path, old, None)
    assert not projection.write(tmp_path, old, None)
    root = tmp_path / "v"
    assert (root / "d" / "x").read_bytes() == b"2"
    assert (root / "d" / "x").stat().st_mode & 0o777 == 0o400
    reader = os.open(root / "..data" / "a", os.O_RDONLY)
    new = VolumePlan("v", {"a": Content(b"3"), "e": Content(b"4")})
    assert projection.write(tmp_path, new, None)
    assert os.read(reader, 9) == b"1", "an open file stays as it was"
    os.close(reader)
    assert sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("..")) == [
        "a",
        "e",
    ]
    assert (root / "a").read_bytes() == b"3"
    assert len([e for e in root.iterdir() if e.name.startswith("..")]) == 2


def test_a_swap_that_was_cut_off_is_repaired(tmp_path: Path) -> None:
    content = VolumePlan("v", {"a": Content(b"1")})
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "..half").mkdir()
    (tmp_path / "v" / "..data_tmp").symlink_to("..half")
    projection.write(tmp_path, content, None)
    assert (tmp_path / "v" / "a").read_bytes() == b"1"
    assert not (tmp_path / "v" / "..half").exists()


def test_sub_paths_cannot_leave_their_volume(tmp_path: Path) -> None:
    empty = VolumePlan("v")
    projection.write(tmp_path, empty, None)
    assert projection.sub_path(tmp_path / "v", empty, "x/y", None).is_dir()
    (tmp_path / "v" / "bad").symlink_to("/etc")
    with pytest.raises(VolumeError, match="symbolic link"):
        projection.sub_path(tmp_path / "v", empty, "bad/ssh", None)
    whole = {"name": "v", "mountPath": "/whole"}
    part = {"name": "v", "mountPath": "/part", "subPath": "x"}
    both = [
        {"name": "writer", "image": "i", "volumeMounts": [whole]},
        {"name": "app", "image": "i", "volumeMounts": [part]},
    ]
    risky = pod(volumes=[{"name": "v", "emptyDir": {}}], containers=both)
    with pytest.raises(ConfigError, match='container "writer" may write to'):
        volumes.mounts(risky, both[1], {})


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"securityContext": {"runAsUser": 1337}}, "belongs to the sidecar"),
        ({"securityContext": {"runAsUser": 0, "runAsNonRoot": True}}, "non-root policy"),
        ({"resources": {"limits": {"memory": "lots"}}}, "resources"),
    ],
)
def test_containers_that_may_not_run(container: dict[str, Any], text: str) -> None:
    from cloudwright.model.sandbox import ImageConfig, LogTarget

    with pytest.raises(NodeError, match=text):
        specs.container_spec(
            pod(), {"name": "app", "image": "i", **container}, 0, image=ImageConfig("i", "d"),
            env={}, mounts=(), log=LogTarget("/x"),
        )  # fmt: skip


def test_files_of_etc() -> None:
    lines = etcfiles.resolv_conf(pod(), "10.96.0.10", "cluster.local").splitlines()
    assert lines == [
        "nameserver 10.96.0.10",
        "search d.svc.cluster.local svc.cluster.local cluster.local",
        "options ndots:2",
    ]
    assert "10.0.0.9\tp\n" in etcfiles.hosts(pod(), "10.0.0.9", "cluster.local")
    own = pod(dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"]})
    assert etcfiles.resolv_conf(own, "10.96.0.10", "x") == "nameserver 1.1.1.1\n"
