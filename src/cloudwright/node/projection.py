"""Writing volumes: files swapped all at once through ``..data`` (upstream's atomic writer).

A reader sees the old set of files or the new one, never a mixture: ``KEY → ..data/KEY``,
``..data → ..TIMESTAMP``, and only the rename of ``..data`` makes the change. Blocking; call it in
a worker thread.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cloudwright.node.errors import VolumeError
from cloudwright.node.volumes import WRITABLE_MODE, Content, VolumePlan

DATA = "..data"


def write(root: Path, plan: VolumePlan, group: int | None) -> bool:
    """Make the volume's directory below ``root`` what ``plan`` says; whether files changed.

    ``root`` lies in a directory that only root may enter: other pods cannot get there, so files
    may carry the modes the pod asked for. ``group`` (fsGroup) additionally owns them.

    Raises:
        VolumeError: the disk is full, a host path is missing, …
    """
    if plan.host_path is not None:
        if not Path(plan.host_path).exists():
            raise VolumeError(f'volume "{plan.name}": host path {plan.host_path} does not exist')
        return False
    directory = root / plan.name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if plan.files is None:
            _writable(directory, group)
            return False
        directory.chmod(0o755)
        if _current(directory) == plan.files:
            return False
        _swap(directory, plan.files, group)
    except OSError as error:
        raise VolumeError(
            f'MountVolume.SetUp failed for volume "{plan.name}": {error.strerror}',
            hint=f"look at the disk of {root}",
        ) from error
    return True


def sub_path(base: Path, plan: VolumePlan, relative: str, group: int | None) -> Path:
    """The path of a ``subPath`` mount, made when missing in an emptyDir.

    Raises:
        VolumeError: it does not exist in a projected volume, or a part of it is a symbolic link.
    """
    if plan.files is not None:
        return (base / DATA).resolve() / _existing(base / DATA, plan, relative)
    current = base
    for part in Path(relative).parts:
        current = current / part
        if current.is_symlink():
            raise VolumeError(f'volume "{plan.name}": subPath {relative} is a symbolic link')
        if not current.exists():
            current.mkdir()
            _writable(current, group)
    return current


def _existing(data: Path, plan: VolumePlan, relative: str) -> str:
    if not (data / relative).exists():
        raise VolumeError(f'volume "{plan.name}" has no file for subPath {relative}')
    return relative


def _writable(directory: Path, group: int | None) -> None:
    if group is not None and os.geteuid() == 0:
        os.chown(directory, -1, group)
    directory.chmod(WRITABLE_MODE if group is None else WRITABLE_MODE | 0o2000)


def _current(directory: Path) -> dict[str, Content] | None:
    data = directory / DATA
    if not data.is_dir():
        return None
    found = {}
    for file in sorted(data.resolve().rglob("*")):
        if file.is_file():
            mode = file.stat().st_mode & 0o7777
            found[str(file.relative_to(data.resolve()))] = Content(file.read_bytes(), mode)
    return found


def _swap(directory: Path, files: Mapping[str, Content], group: int | None) -> None:
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=directory))
    try:
        fresh.chmod(0o755)
        for name, content in files.items():
            _file(fresh, name, content, group)
        pointer = directory / "..data_tmp"
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(fresh.name)
        pointer.replace(directory / DATA)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    wanted = {name.split("/", 1)[0] for name in files}
    for entry in directory.iterdir():
        if entry.name == DATA or entry == fresh:
            continue
        if entry.name.startswith(".."):
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name not in wanted:
            entry.unlink()
    for name in wanted:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")


def _file(root: Path, name: str, content: Content, group: int | None) -> None:
    path = root / name
    for parent in reversed(path.relative_to(root).parents):
        (root / parent).mkdir(exist_ok=True)
        (root / parent).chmod(0o755)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.data)
        if group is not None and os.geteuid() == 0:
            os.fchown(descriptor, -1, group)
        os.fchmod(descriptor, content.mode)
