"""Reading files: every field knows its place, every mistake is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.errors import UsageError, render
from cloudwright.cli import manifests

GOOD = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data:
  on: yes
  at: 2026-11-24
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata:
    name: b
"""


def test_documents_and_lists_are_taken_apart() -> None:
    first, second = manifests.parse(GOOD, "x.yaml")
    assert first.body["kind"] == "ConfigMap"
    assert second.body["metadata"]["name"] == "b"


def test_dates_stay_texts_as_kubectl_reads_them() -> None:
    assert manifests.parse(GOOD, "x.yaml")[0].body["data"]["at"] == "2026-11-24"


def test_every_field_knows_its_place() -> None:
    first, second = manifests.parse(GOOD, "x.yaml")
    place = first.place("data.at")
    assert place is not None
    assert (place.file, place.line, place.column, place.text) == (
        "x.yaml",
        6,
        7,
        "  at: 2026-11-24",
    )
    inner = second.place("metadata.name")
    assert inner is not None
    assert inner.line == 14
    parent = first.place("data.missing[3].deep")
    assert parent is not None
    assert parent.line == 5


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: [1\nb: 2", "not valid YAML", 2),
        ("apiVersion: v1\nkind: X\nkind: Y", "there twice", 3),
        ("- 1", "not an object", 1),
        ("kind: X", "without apiVersion", 1),
        ("apiVersion: v1", "without kind", 1),
        ("apiVersion: v1\nkind: X\n? [a]\n: 2", "not valid YAML", 3),
    ],
)
def test_a_mistake_is_said_with_its_line(text: str, message: str, line: int) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        manifests.parse(text, "bad.yaml")
    assert caught.value.place is not None
    assert caught.value.place.line == line
    assert f"bad.yaml:{line}:" in render(caught.value)


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("not yaml: [")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.json").write_text('{"apiVersion":"v1","kind":"Pod"}')
    assert len(manifests.read([str(tmp_path)])) == 2
    assert len(manifests.read([str(tmp_path)], recursive=True)) == 3
    with pytest.raises(UsageError, match="does not exist"):
        manifests.read([str(tmp_path / "no.yaml")])
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(UsageError, match="no objects"):
        manifests.read([str(tmp_path / "empty.yaml")])
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        manifests.read([str(tmp_path / "latin.yaml")])


@given(st.text(max_size=60))
def test_any_text_is_objects_or_a_usage_error(text: str) -> None:
    try:
        found = manifests.parse(text, "f")
    except UsageError:
        return
    assert all(isinstance(manifest.body, dict) for manifest in found)
