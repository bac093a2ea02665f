"""Import and export of OCI layouts (a directory, or a tar of one) that skopeo and podman read."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from cloudwright.runtime.images.errors import BadImage
from cloudwright.runtime.images.images import architecture
from cloudwright.runtime.images.references import parse
from cloudwright.runtime.images.store import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEX_TYPE,
    MANIFEST_TYPE,
    NAME,
    ContentStore,
    Json,
)

_INDEXES = (INDEX_TYPE, DOCKER_LIST)
_MANIFESTS = (MANIFEST_TYPE, DOCKER_MANIFEST)


def export_layout(store: ContentStore, reference: str, target: Path) -> None:
    """Write one image as an OCI layout: a directory, or a tar file when ``target`` ends in
    ``.tar``.

    The name inside is the tag alone, as ``skopeo copy oci:DIR:TAG …`` expects. An existing
    directory must be a
    layout; the image is added to it. Raises ImageNotFound, BadImage, OSError.
    """
    if target.suffix == ".tar":
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            export_layout(store, reference, Path(folder) / "layout")
            partial = target.with_name(f".{target.name}.partial")
            with tarfile.open(partial, "w") as archive:
                for file in sorted((Path(folder) / "layout").rglob("*")):
                    archive.add(
                        file, str(file.relative_to(Path(folder) / "layout")), recursive=False
                    )
            partial.replace(target)
        return
    if target.exists() and any(target.iterdir()) and not (target / "oci-layout").is_file():
        raise BadImage(f"{target} exists and is not an OCI layout", hint="name another directory")
    descriptor = store.descriptor(reference)
    manifest = store.read(descriptor["digest"])
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for digest in _blobs(descriptor, manifest):
        source = store.path(digest)
        shutil.copyfile(source, blobs / source.name)
    (target / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    tag = parse(reference).tag or "latest"
    kept = [e for e in _index(target)["manifests"] if e.get("annotations", {}).get(NAME) != tag]
    kept.append({**descriptor, "annotations": {NAME: tag}})
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": kept}
    (target / "index.json").write_text(json.dumps(index))


def import_layout(store: ContentStore, source: Path, name: str | None = None) -> list[str]:
    """Take in every image of an OCI layout directory or tar; returns the names they got.

    ``name`` names the image when the layout has one; otherwise each entry's own name is taken (a
    bare tag needs
    ``name`` as its repository). Every blob's digest is checked. Raises BadImage, BadReference.
    """
    if source.is_file():
        with tempfile.TemporaryDirectory(dir=store.scratch()) as folder:
            try:
                with tarfile.open(source) as archive:
                    _unpack(archive, Path(folder))
            except tarfile.TarError as error:
                raise BadImage(
                    f"{source} is not a tar of an OCI layout", cause=str(error)
                ) from error
            return import_layout(store, Path(folder), name)
    if not (source / "index.json").is_file():
        raise BadImage(f"{source} is not an OCI layout", cause="it has no index.json")
    entries = _index(source)["manifests"]
    if not entries:
        raise BadImage(f"{source} holds no image")
    names = []
    for entry in entries:
        reference = _name(entry, name, len(entries))
        descriptor = _choose(source, entry)
        manifest = json.loads(_blob(source, descriptor["digest"]).read_bytes())
        for digest in _blobs(descriptor, manifest):
            _take(store, _blob(source, digest), digest)
        wanted = {k: descriptor[k] for k in ("mediaType", "digest", "size")}
        store.tag(reference, wanted)
        names.append(str(parse(reference)))
    return names


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """The directories and regular files of a layout: there is nothing else in one, and nothing may
    lie outside of it; ``extractall`` has a filter for that only since Python 3.11.4.
    """
    for member in archive:
        parts = PurePosixPath(member.name).parts
        if member.name.startswith("/") or ".." in parts:
            raise BadImage(f"the tar has a member outside of its directory: {member.name!r}")
        target = folder.joinpath(*parts)
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        data = archive.extractfile(member) if member.isreg() else None
        if data is None:
            raise BadImage(f"the tar has a member that is no file: {member.name!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with data, target.open("wb") as file:
            shutil.copyfileobj(data, file)


def _index(layout: Path) -> Json:
    file = layout / "index.json"
    if not file.exists():
        return {"manifests": []}
    try:
        value = json.loads(file.read_bytes())
        value["manifests"] = list(value["manifests"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadImage(f"{file} is not an OCI index", cause=str(error)) from error
    return dict(value)


def _name(entry: Json, name: str | None, count: int) -> str:
    own = entry.get("annotations", {}).get(NAME, "")
    if name is None:
        if not own:
            raise BadImage("the image has no name", hint="give one: `--name REPOSITORY:TAG`")
        return str(own)
    named = parse(name)
    if count == 1 or ":" in name.rpartition("/")[2]:
        return name
    return f"{named.name}:{own or 'latest'}"


def _choose(source: Path, entry: Json) -> Json:
    """The manifest for this machine, when the entry is an index of several."""
    for _ in range(4):
        if entry.get("mediaType") in _MANIFESTS:
            return entry
        if entry.get("mediaType") not in _INDEXES:
            raise BadImage(f"media type {entry.get('mediaType')!r} is not an image")
        nested = json.loads(_blob(source, entry["digest"]).read_bytes())["manifests"]
        fitting = [e for e in nested if e.get("platform", {}).get("architecture") == architecture()]
        if not fitting:
            raise BadImage(f"the image has nothing for {architecture()}")
        entry = fitting[0]
    raise BadImage("the image's indexes are nested too deep")


def _blobs(descriptor: Json, manifest: Json) -> list[str]:
    layers = [str(layer["digest"]) for layer in manifest["layers"]]
    return [str(descriptor["digest"]), str(manifest["config"]["digest"]), *layers]


def _blob(source: Path, digest: str) -> Path:
    algorithm, _, hexadecimal = digest.partition(":")
    if algorithm != "sha256" or len(hexadecimal) != 64 or not hexadecimal.isalnum():
        raise BadImage(f"{digest!r} is not a sha256 digest")
    file = source / "blobs" / "sha256" / hexadecimal
    if not file.is_file() or file.is_symlink():
        raise BadImage(f"blob {digest} is missing from {source}")
    return file


def _take(store: ContentStore, file: Path, digest: str) -> None:
    if store.has(digest):
        return
    with tempfile.NamedTemporaryFile(dir=store.scratch(), delete=False) as copy:
        partial = Path(copy.name)
        try:
            with file.open("rb") as blob:
                hasher = hashlib.sha256()
                while block := blob.read(1 << 20):
                    hasher.update(block)
                    copy.write(block)
            copy.flush()
            if f"sha256:{hasher.hexdigest()}" != digest:
                raise BadImage(f"blob {digest} is damaged", cause="its content has another digest")
            store.adopt(partial, digest)
        finally:
            partial.unlink(missing_ok=True)
