"""What a runtime asks of the content store: an image's configuration, with its layers unpacked."""

from __future__ import annotations

import os
import re

from anyio import to_thread

from cloudwright.model.sandbox import ImageConfig
from cloudwright.runtime.images.errors import BadImage
from cloudwright.runtime.images.layers import LayerStore
from cloudwright.runtime.images.store import ContentStore, Json

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """This machine's architecture in OCI's words (``amd64``, ``arm64``)."""
    machine = os.uname().machine
    return _MACHINES.get(machine, machine)


class Images:
    """A content store with its unpacked layers."""

    def __init__(self, store: ContentStore) -> None:
        self.store = store
        self.layers = LayerStore(store)

    async def config(self, reference: str) -> ImageConfig:
        """The image's configuration; unpacks layers that are not yet (in a worker thread).

        Raises ImageNotFound, BadImage, OSError.
        """
        return await to_thread.run_sync(self.prepare, reference)

    def prepare(self, reference: str) -> ImageConfig:
        """The same, blocking."""
        descriptor = self.store.descriptor(reference)
        manifest = self.store.read(descriptor["digest"])
        config = self.store.read(manifest["config"]["digest"])
        if config.get("architecture", architecture()) != architecture():
            raise BadImage(
                f"image {reference} is for {config['architecture']}, not {architecture()}"
            )
        diff_ids = config.get("rootfs", {}).get("diff_ids", [])
        layers = manifest["layers"]
        if len(diff_ids) != len(layers):
            raise BadImage(
                f"image {reference} has {len(layers)} layers but {len(diff_ids)} diff ids"
            )
        unpacked = [
            str(self.layers.ensure(layer["digest"], diff_id))
            for layer, diff_id in zip(layers, diff_ids, strict=True)
        ]
        return _image_config(reference, descriptor["digest"], config.get("config") or {}, unpacked)

    def prune(self, in_use: set[str] | None = None) -> tuple[list[str], list[str]]:
        """Remove blobs and unpacked layers that no name (nor a reference ``in_use``) needs.

        Returns the digests of the removed blobs and layers.
        """
        needed: set[str] = set()
        for reference in {record.reference for record in self.store.records()} | (in_use or set()):
            manifest = self.store.manifest(reference)
            config = self.store.read(manifest["config"]["digest"])
            needed |= set(config.get("rootfs", {}).get("diff_ids", []))
        return self.store.prune(), self.layers.prune(needed)


def _image_config(reference: str, digest: str, config: Json, layers: list[str]) -> ImageConfig:
    pairs = (entry.partition("=") for entry in config.get("Env") or [])
    return ImageConfig(
        reference=reference,
        digest=digest,
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        env={name: value for name, _, value in pairs if re.fullmatch(r"[^=\0]+", name)},
        working_dir=str(config.get("WorkingDir") or "/"),
        user=str(config.get("User") or ""),
        layers=tuple(layers),
    )
