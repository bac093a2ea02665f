"""The directories of containers: ``PODS/SANDBOX/CONTAINER/{config.json,rootfs,upper,work}``."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudwright._base.files import make_private, write_atomic
from cloudwright.runtime.errors import ContainerSpecError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """One container's directory (0700: only root passes through it)."""

    path: Path

    @property
    def upper(self) -> Path:
        """What the container wrote; its mode is that of the container's ``/``."""
        return self.path / "upper"

    @property
    def work(self) -> Path:
        """Overlayfs' own scratch directory."""
        return self.path / "work"


def checked(kind: str, name: str) -> str:
    """``name`` when it is fit for a file name.

    Raises:
        ContainerSpecError: it is not.
    """
    if not _ID.fullmatch(name):
        raise ContainerSpecError(f"{kind} id {name!r} has other than letters, digits, _ . -")
    return name


def write(pods: Path, sandbox: str, container: str, config: dict[str, Any]) -> Bundle:
    """Make a fresh bundle; what an earlier attempt left of it is removed first.

    Raises:
        ContainerSpecError: an id is not fit for a file name.
        OSError: the disk is full, …; a part of the bundle may be left.
    """
    path = pods / checked("sandbox", sandbox) / checked("container", container)
    if path.exists():
        shutil.rmtree(path)
    make_private(pods)
    make_private(path.parent)
    make_private(path)
    for name in ("rootfs", "upper", "work"):
        directory = path / name
        directory.mkdir()
        directory.chmod(0o755)
    write_atomic(path / "config.json", json.dumps(config).encode())
    return Bundle(path)


def remove(pods: Path, container: str) -> None:
    """Remove a container's bundle, whichever pod's it is; a missing one is fine."""
    for path in pods.glob(f"*/{checked('container', container)}"):
        if is_bundle(path):
            shutil.rmtree(path)


def remove_all(pods: Path, sandbox: str) -> None:
    """Remove every bundle of a pod, and its directory when nothing else is in it."""
    pod = pods / checked("sandbox", sandbox)
    if not pod.is_dir():
        return
    for path in pod.iterdir():
        if is_bundle(path):
            shutil.rmtree(path)
    if not any(pod.iterdir()):
        pod.rmdir()


def is_bundle(path: Path) -> bool:
    """Whether ``path`` is one of ours, also a half-made one, rather than a volume of the node's."""
    if path.is_symlink() or not path.is_dir():
        return False
    return (path / "rootfs").is_dir() or not any(path.iterdir())
