"""Blobs and names as an OCI image layout (image-spec ``image-layout.md``): ``index.json``,
``blobs/``.

Blobs are immutable and named by their digest; a name is one entry of ``index.json`` with the
annotation
``org.opencontainers.image.ref.name``. Writers of any process hold ``lock`` while they change the
index.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudwright._base.files import make_private, write_atomic
from cloudwright.runtime.images.errors import BadImage, ImageNotFound
from cloudwright.runtime.images.references import parse

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
NAME = "org.opencontainers.image.ref.name"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One name in the store. ``size`` is the sum of its blobs in bytes."""

    reference: str
    digest: str
    size: int
    created: str
    layers: int


def canonical(value: Json) -> bytes:
    """The one encoding of a manifest or configuration, so that equal content has one digest."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest_of(data: bytes) -> str:
    """``sha256:…`` of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class ContentStore:
    """The layout in one directory, made when it does not exist."""

    def __init__(self, root: Path) -> None:
        self.root = make_private(root)
        self.blobs = root / "blobs" / "sha256"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self._index = root / "index.json"
        if not self._index.exists():
            write_atomic(root / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', mode=0o644)
            with self._locked():
                if not self._index.exists():
                    self._write_index([])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write_index(self, manifests: list[Json]) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
        write_atomic(self._index, canonical(index), mode=0o644, durable=True)

    def _entries(self) -> list[Json]:
        try:
            return list(json.loads(self._index.read_bytes())["manifests"])
        except (ValueError, KeyError) as error:
            raise BadImage(
                f"{self._index} is damaged",
                cause=str(error),
                hint="restore it, or rebuild the images",
            ) from error

    # Blobs

    def path(self, digest: str) -> Path:
        """Where a blob lies (whether or not it exists). Raises BadImage for another algorithm."""
        algorithm, _, hexadecimal = digest.partition(":")
        if algorithm != "sha256" or len(hexadecimal) != 64 or not hexadecimal.isalnum():
            raise BadImage(f"{digest!r} is not a sha256 digest")
        return self.blobs / hexadecimal

    def has(self, digest: str) -> bool:
        """Whether the blob is here."""
        return self.path(digest).is_file()

    def put(self, data: bytes) -> str:
        """Keep ``data`` durably; returns its digest."""
        digest = digest_of(data)
        if not self.has(digest):
            write_atomic(self.path(digest), data, mode=0o644, durable=True)
        return digest

    def adopt(self, file: Path, digest: str) -> None:
        """Move a finished, synced file of the same file system in as the blob ``digest``."""
        file.chmod(0o644)
        file.replace(self.path(digest))

    def scratch(self) -> Path:
        """A directory on the store's file system for files that will be adopted."""
        directory = self.root / "tmp"
        directory.mkdir(exist_ok=True)
        return directory

    def read(self, digest: str) -> Json:
        """A JSON blob, its digest checked. Raises BadImage when it is missing or damaged."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise BadImage(
                f"blob {digest} is missing", hint="build or import the image again"
            ) from error
        if digest_of(data) != digest:
            raise BadImage(f"blob {digest} is damaged", hint="remove and build the image again")
        value = json.loads(data)
        if not isinstance(value, dict):
            raise BadImage(f"blob {digest} is not an object")
        return value

    # Names

    def tag(self, reference: str, descriptor: Json) -> None:
        """Let ``reference`` name the manifest ``descriptor`` (mediaType, digest, size)."""
        name = str(parse(reference))
        entry = {**descriptor, "annotations": {**descriptor.get("annotations", {}), NAME: name}}
        with self._locked():
            kept = [e for e in self._entries() if e.get("annotations", {}).get(NAME) != name]
            kept.append(entry)
            kept.sort(key=lambda e: e["annotations"][NAME])
            self._write_index(kept)

    def untag(self, reference: str) -> None:
        """Forget a name; its blobs stay until ``prune``. Raises ImageNotFound."""
        name = str(parse(reference))
        with self._locked():
            entries = self._entries()
            kept = [e for e in entries if e.get("annotations", {}).get(NAME) != name]
            if len(kept) == len(entries):
                raise self._missing(reference)
            self._write_index(kept)

    def descriptor(self, reference: str) -> Json:
        """The index entry that a name (or ``NAME@DIGEST``) has. Raises ImageNotFound."""
        wanted = parse(reference)
        for entry in self._entries():
            known = parse(entry["annotations"][NAME])
            if wanted.digest and entry["digest"] == wanted.digest and known.name == wanted.name:
                return entry
            if not wanted.digest and known == wanted:
                return entry
        raise self._missing(reference)

    def _missing(self, reference: str) -> ImageNotFound:
        names = [e["annotations"][NAME] for e in self._entries()]
        same = [n for n in names if parse(n).name == parse(reference).name]
        known = f"; there is {', '.join(same)}" if same else ""
        return ImageNotFound(
            f"image {reference} is not in the local store{known}",
            hint=f"build it with `cloudwright build DIR -t {reference}`,"
            " or take it in with `cloudwright images import`",
        )

    def manifest(self, reference: str) -> Json:
        """The image manifest of a name. Raises ImageNotFound, BadImage."""
        return self.read(self.descriptor(reference)["digest"])

    def records(self) -> list[ImageRecord]:
        """Every name, in order."""
        return [self._record(entry) for entry in self._entries()]

    def _record(self, entry: Json) -> ImageRecord:
        manifest = self.read(entry["digest"])
        config = self.read(manifest["config"]["digest"])
        blobs = [manifest["config"], *manifest["layers"]]
        return ImageRecord(
            reference=entry["annotations"][NAME],
            digest=entry["digest"],
            size=sum(int(blob["size"]) for blob in blobs),
            created=str(config.get("created", "")),
            layers=len(manifest["layers"]),
        )

    def prune(self) -> list[str]:
        """Remove blobs that no name needs; returns their digests."""
        with self._locked():
            needed: set[str] = set()
            for entry in self._entries():
                manifest = self.read(entry["digest"])
                needed |= {entry["digest"], manifest["config"]["digest"]}
                needed |= {layer["digest"] for layer in manifest["layers"]}
            removed = []
            for blob in sorted(self.blobs.iterdir()):
                digest = f"sha256:{blob.name}"
                if digest not in needed and not blob.name.startswith("."):
                    blob.unlink()
                    removed.append(digest)
            return removed
