"""Resources from files: what is read, and how an error says where it is."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from cloudwright._base.errors import NotAllowedError, UsageError
from cloudwright.mesh.xds import listening
from cloudwright.mesh.xds.documents import DocumentError, Documents, parse
from cloudwright.mesh.xds.files import FileSource, dangling, read
from cloudwright.mesh.xds.source import Node, Peer
from cloudwright.mesh.xds.types import CLUSTER, ENDPOINT, LISTENER, SECRET

CLUSTER_A = """\
"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
name: a
type: EDS
eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}
"""


def parsed(text: str) -> Documents:
    found = Documents()
    parse(text, "file.yaml", found)
    return found


def test_all_forms_are_read() -> None:
    lists = """\
static_resources:
  listeners: [{name: l, address: {socket_address: {address: 0.0.0.0, port_value: 1}}}]
  secrets: [{name: s, generic_secret: {secret: {inline_string: x}}}]
resources:
- {"@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, clusterName: a}
"""
    found = parsed(f"{CLUSTER_A}---\n{lists}---\n")
    assert {url: sorted(names) for url, names in found.resources.items()} == {
        CLUSTER: ["a"],
        LISTENER: ["l"],
        SECRET: ["s"],
        ENDPOINT: ["a"],
    }
    assert found.resources[CLUSTER]["a"].refs == ("a",)
    assert not dangling(found)
    assert "waits for endpoints 'a'" in dangling(parsed(CLUSTER_A))[0]


@pytest.mark.parametrize(
    ("text", "line", "wanted"),
    [
        (CLUSTER_A + "conect_timeout: 1s\n", 5, "conect_timeout: Cluster has no such field (did"),
        (CLUSTER_A + "connect_timeout: 1x\n", 5, "connect_timeout: "),
        (
            CLUSTER_A + "load_assignment:\n  endpoints:\n  - {priority: many}\n",
            7,
            "endpoints[0].priority: ",
        ),
        (f"resources:\n- name: x\n- {CLUSTER_A!r}\n", 2, "@type"),
        (CLUSTER_A.replace("name: a", "alt_stat_name: a"), 1, "name: required"),
        (f"{CLUSTER_A}---\n{CLUSTER_A}", 6, "has 'a' already, from file.yaml:1"),
        ("a: [1", 2, "not YAML"),
        ("just text", 1, "neither a resource"),
        ("static_resources:\n  lisners: []\n", 2, "static_resources.lisners: there is no such"),
        (CLUSTER_A.replace("cluster.v3.Cluster", "cluster.v9.Cluster"), 1, "@type"),
        (
            CLUSTER_A + "transport_socket: {name: t, typed_config: {'@type': a/b.c.D}}\n",
            5,
            "transport_socket.typed_config.@type: there is no message b.c.D",
        ),
    ],
)
def test_an_error_says_where(text: str, line: int, wanted: str) -> None:
    with pytest.raises(DocumentError) as error:
        parsed(text)
    assert wanted in error.value.message
    assert error.value.place is not None
    assert (error.value.place.file, error.value.place.line) == ("file.yaml", line)


def test_missing_and_unreadable_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml cannot be read"):
        read([tmp_path / "nowhere.yaml"])
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read([tmp_path])


@pytest.mark.anyio
async def test_files_are_followed_and_bad_content_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(CLUSTER_A)
    source = FileSource([file])
    source.load()
    node = source.admit(Peer("loopback"), Node("n"))
    changed = anyio.Event()
    source.listen(lambda: changed.set())
    async with anyio.create_task_group() as group:
        group.start_soon(source.follow)
        file.write_text(CLUSTER_A + "name: [\n")
        with anyio.fail_after(20):
            while source.error is None:
                await anyio.sleep(0.01)
        assert list((await source.view(node))[CLUSTER].resources) == ["a"]
        assert not changed.is_set()
        file.write_text(CLUSTER_A.replace("name: a", "name: b"))
        with anyio.fail_after(20):
            await changed.wait()
        assert list((await source.view(node))[CLUSTER].resources) == ["b"]
        group.cancel_scope.cancel()


def test_addresses_that_would_let_anybody_in_are_refused(tmp_path: Path) -> None:
    assert listening.listen("127.0.0.1:80").target == "127.0.0.1:80"
    assert listening.listen("::1:80").target == "[::1]:80"
    assert listening.listen("unix:x").path == Path("x").absolute()
    for text in ("0.0.0.0:80", "10.0.0.1:80"):
        with pytest.raises(UsageError, match="without TLS"):
            listening.listen(text)
    for text in ("localhost:80", "127.0.0.1", "127.0.0.1:99999", "unix:" + "x" * 200):
        with pytest.raises(UsageError):
            listening.listen(text)
    tls = listening.Tls(tmp_path / "c", tmp_path / "k", tmp_path / "a")
    with pytest.raises(UsageError, match="cannot be read"):
        tls.read()
    assert listening.identity_in(b"nonsense") == ""
    assert NotAllowedError.exit_code == 5
