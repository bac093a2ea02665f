"""Unpacked layers, one directory each, shared read-only by every container that has the layer."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from cloudwright._base.files import make_private
from cloudwright.runtime.images.errors import BadImage
from cloudwright.runtime.images.native import LayerError, extract_layer
from cloudwright.runtime.images.store import ContentStore


class LayerStore:
    """``layers/HEX/`` by diff id; made whole or not at all."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self.root = make_private(store.root / "layers")

    def path(self, diff_id: str) -> Path:
        """Where the layer is unpacked (whether or not it is yet)."""
        return self.root / self._store.path(diff_id).name

    def ensure(self, digest: str, diff_id: str) -> Path:
        """Unpack the blob ``digest`` unless that was done; returns the directory.

        Two callers of one layer wait for each other. Raises BadImage when the layer is refused,
        damaged or not
        what the image configuration says; OSError when the disk fails. Nothing half-made stays.
        """
        target = self.path(diff_id)
        if target.is_dir():
            return target
        lock = os.open(
            self.root / f".{target.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                self._unpack(digest, diff_id, target)
        finally:
            os.close(lock)
        return target

    def _unpack(self, digest: str, diff_id: str, target: Path) -> None:
        blob = self._store.path(digest)
        if not blob.is_file():
            raise BadImage(f"layer {digest} is missing", hint="build or import the image again")
        partial = self.root / f".{target.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            try:
                seen, _, _ = extract_layer(blob, partial)
            except LayerError as error:
                raise BadImage(f"layer {digest} cannot be used", cause=str(error)) from error
            if seen != diff_id:
                raise BadImage(
                    f"layer {digest} is not what its image says",
                    cause=f"diff id is {seen}, expected {diff_id}",
                )
            partial.chmod(0o755)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def prune(self, needed: set[str]) -> list[str]:
        """Remove unpacked layers whose diff id is not in ``needed`` (nobody may have them
        mounted).
        """
        keep = {self.path(diff_id).name for diff_id in needed}
        removed = []
        for entry in sorted(self.root.iterdir()):
            stem = entry.name.strip(".").split(".")[0]
            if stem in keep:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
                removed.append(f"sha256:{stem}")
            else:
                entry.unlink(missing_ok=True)
        return removed
