"""The content store: names and blobs appear whole or not at all, for several processes at once."""

from __future__ import annotations

import io
import json
import multiprocessing
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.runtime.images import references
from cloudwright.runtime.images.errors import BadImage, BadReference, ImageNotFound
from cloudwright.runtime.images.images import Images, architecture
from cloudwright.runtime.images.native import extract_layer
from cloudwright.runtime.images.store import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    ContentStore,
    canonical,
    digest_of,
)
from cloudwright.runtime.images.transfer import export_layout, import_layout


def layer(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def add_image(
    store: ContentStore,
    reference: str,
    files: dict[str, bytes],
    *,
    diff_id: str = "",
    arch: str = "",
) -> str:
    blob = layer(files)
    config = canonical(
        {
            "architecture": arch or architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": ["/run"],
                "Env": ["A=1", "B=x=y"],
                "User": "7",
                "WorkingDir": "/w",
            },
            "rootfs": {"type": "layers", "diff_ids": [diff_id or digest_of(blob)]},
        }
    )
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": store.put(config), "size": len(config)},
            "layers": [{"mediaType": LAYER_TYPE, "digest": store.put(blob), "size": len(blob)}],
        }
    )
    digest = store.put(manifest)
    store.tag(reference, {"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(manifest)})
    return digest


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "images")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("payment:1.12.0", "payment:1.12.0"),
        ("payment", "payment:latest"),
        ("docker.io/library/nginx", "nginx:latest"),
        ("localhost/shop/web:1", "shop/web:1"),
        ("registry.local:5000/a/b:c", "registry.local:5000/a/b:c"),
        ("a@sha256:" + "0" * 64, "a@sha256:" + "0" * 64),
    ],
)
def test_a_reference_has_one_canonical_form(text: str, name: str) -> None:
    assert str(references.parse(text)) == name
    assert references.parse(name) == references.parse(text)


@pytest.mark.parametrize(
    "text", ["", "UPPER", "a b", "a:", ":1", "a@sha256:12", "../a", "a//b", "-a"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BadReference):
        references.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_a_clear_error(text: str) -> None:
    try:
        parsed = references.parse(text)
    except BadReference:
        return
    assert references.parse(str(parsed)) == parsed


def test_an_image_is_found_by_name_and_by_digest(store: ContentStore) -> None:
    digest = add_image(store, "shop/web:1", {"run": b"x"})
    assert store.descriptor("docker.io/shop/web:1")["digest"] == digest
    assert store.descriptor(f"shop/web@{digest}")["digest"] == digest
    assert [r.reference for r in store.records()] == ["shop/web:1"]
    with pytest.raises(
        ImageNotFound, match=r"shop/web:2 is not in .* there is shop/web:1"
    ) as caught:
        store.descriptor("shop/web:2")
    assert "cloudwright build" in str(caught.value.hint)


def test_a_name_moves_and_prune_removes_what_nobody_names(store: ContentStore) -> None:
    old = add_image(store, "a:1", {"f": b"old"})
    new = add_image(store, "a:1", {"f": b"new"})
    images = Images(store)
    assert Path(images.prepare("a:1").layers[0], "f").read_bytes() == b"new"
    removed, _ = images.prune()
    assert old in removed
    assert store.has(new)
    store.untag("a:1")
    removed, layers = images.prune()
    assert new in removed
    assert len(layers) == 1
    with pytest.raises(ImageNotFound):
        store.untag("a:1")


def test_the_configuration_is_what_the_image_says(store: ContentStore) -> None:
    add_image(store, "a:1", {"etc/x": b"1"})
    config = Images(store).prepare("a:1")
    assert config.entrypoint == ("/run",)
    assert config.env == {"A": "1", "B": "x=y"}
    assert (config.user, config.working_dir) == ("7", "/w")
    assert (Path(config.layers[0]) / "etc/x").read_bytes() == b"1"


def test_a_layer_that_is_not_what_the_image_says_is_not_kept(store: ContentStore) -> None:
    add_image(store, "a:1", {"f": b"1"}, diff_id="sha256:" + "1" * 64)
    images = Images(store)
    with pytest.raises(BadImage, match="not what its image says"):
        images.prepare("a:1")
    assert [f for f in images.layers.root.iterdir() if f.is_dir()] == []


def test_an_image_for_another_machine_is_refused(store: ContentStore) -> None:
    add_image(store, "a:1", {"f": b"1"}, arch="riscv64")
    with pytest.raises(BadImage, match="riscv64"):
        Images(store).prepare("a:1")


def test_a_damaged_or_missing_blob_is_named(store: ContentStore) -> None:
    digest = add_image(store, "a:1", {"f": b"1"})
    store.path(digest).write_bytes(b"{}")
    with pytest.raises(BadImage, match="damaged"):
        store.manifest("a:1")
    store.path(digest).unlink()
    with pytest.raises(BadImage, match="missing"):
        store.manifest("a:1")


@pytest.mark.parametrize("form", ["layout", "layout.tar"])
def test_export_and_import_keep_the_digest(store: ContentStore, tmp_path: Path, form: str) -> None:
    digest = add_image(store, "shop/web:1.2", {"f": b"1"})
    target = tmp_path / form
    export_layout(store, "shop/web:1.2", target)
    other = ContentStore(tmp_path / "other")
    assert import_layout(other, target, "renamed/web:3") == ["renamed/web:3"]
    assert other.descriptor("renamed/web:3")["digest"] == digest
    assert Images(other).prepare("renamed/web:3").digest == digest


@pytest.mark.parametrize("name", ["../index.json", "/index.json", "blobs/../../x"])
def test_a_tar_cannot_write_outside(store: ContentStore, tmp_path: Path, name: str) -> None:
    source = tmp_path / "hostile.tar"
    with tarfile.open(source, "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(BadImage, match="outside"):
        import_layout(store, source, "a:1")


def test_a_tar_has_no_links(store: ContentStore, tmp_path: Path) -> None:
    source = tmp_path / "hostile.tar"
    with tarfile.open(source, "w") as archive:
        link = tarfile.TarInfo("index.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(BadImage, match="no file"):
        import_layout(store, source, "a:1")


def test_an_import_checks_every_blob(store: ContentStore, tmp_path: Path) -> None:
    add_image(store, "a:1", {"f": b"1"})
    target = tmp_path / "layout"
    export_layout(store, "a:1", target)
    config = json.loads(store.path(store.descriptor("a:1")["digest"]).read_bytes())["config"]
    (target / "blobs" / "sha256" / config["digest"][7:]).write_bytes(b"other")
    other = ContentStore(tmp_path / "other")
    with pytest.raises(BadImage, match="damaged"):
        import_layout(other, target, "a:1")
    assert other.records() == []
    with pytest.raises(BadImage, match="not an OCI layout"):
        import_layout(other, tmp_path / "other" / "blobs")


def test_an_export_does_not_overwrite_a_foreign_folder(store: ContentStore, tmp_path: Path) -> None:
    add_image(store, "a:1", {"f": b"1"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    with pytest.raises(BadImage, match="not an OCI layout"):
        export_layout(store, "a:1", tmp_path / "mine")


def test_an_empty_layer_directory_is_the_target(tmp_path: Path) -> None:
    blob = tmp_path / "l.tar"
    blob.write_bytes(layer({"a/b": b"1"}))
    (tmp_path / "t").mkdir()
    diff_id, size, entries = extract_layer(blob, tmp_path / "t")
    assert (diff_id, size, entries) == (digest_of(blob.read_bytes()), blob.stat().st_size, 1)


def _tag_many(root: Path, worker: int) -> None:
    store = ContentStore(root)
    for number in range(15):
        add_image(store, f"w{worker}:{number}", {"f": f"{worker}{number}".encode()})


def test_several_processes_lose_no_name(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_tag_many, args=(tmp_path / "i", n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(ContentStore(tmp_path / "i").records()) == 45
