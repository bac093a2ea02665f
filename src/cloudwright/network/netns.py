"""Network namespaces by name: files below ``/run/netns`` keep them alive, as ``ip netns`` does.

A network namespace belongs to a thread. Work inside another one is done in a worker thread that
enters, works, and comes back before the thread serves anything else.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cloudwright.network.errors import KernelError

T = TypeVar("T")

_NEW_NETNS = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MNT_DETACH, _UMOUNT_NOFOLLOW = 0x2, 0x8
_OWN = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, result: int) -> None:
    if result != 0:
        raise KernelError(what, ctypes.get_errno())


def _mount(source: str, target: str, flags: int, what: str) -> None:
    result = _libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None)
    _call(what, result)


def _unmount(target: str) -> bool:
    """Whether something was mounted there."""
    if _libc.umount2(target.encode(), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOENT):
        return False
    raise KernelError(f"unmount {target}", number)


def _come_back(home: int) -> None:
    """Return to the namespace of descriptor ``home``; a thread that cannot must not live on, it
    would do the next caller's work in a pod's network.
    """
    if _libc.setns(home, _NEW_NETNS) != 0:
        os.abort()


def inside(path: str, work: Callable[[], T]) -> T:
    """Run ``work`` in the namespace at ``path``, in this thread.

    Raises:
        KernelError: there is no such namespace, or we may not enter it.
    """
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise KernelError(f"open the network namespace {path}", error.errno or 0) from None
        try:
            _call(f"enter the network namespace {path}", _libc.setns(target, _NEW_NETNS))
        finally:
            os.close(target)
        try:
            return work()
        finally:
            _come_back(home)
    finally:
        os.close(home)


def inside_new(work: Callable[[], T]) -> T:
    """Run ``work`` in a new namespace that ends with it, in this thread.

    Raises:
        KernelError: no namespace can be made.
    """
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("make a network namespace", _libc.unshare(_NEW_NETNS))
        try:
            return work()
        finally:
            _come_back(home)
    finally:
        os.close(home)


def share(directory: Path) -> bool:
    """Let every mount namespace see the pods' namespaces come and go below ``directory``.

    False when it is no mount yet, so that it cannot be shared: then ``mount`` comes first.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    flags = ctypes.c_ulong(_MS_SHARED | _MS_REC)
    if _libc.mount(b"", str(directory).encode(), b"none", flags, None) == 0:
        return True
    if ctypes.get_errno() != errno.EINVAL:
        raise KernelError(f"share the mount {directory}", ctypes.get_errno())
    return False


def mount(directory: Path) -> None:
    """Make ``directory`` a mount of itself."""
    _mount(str(directory), str(directory), _MS_BIND | _MS_REC, f"mount {directory}")


def unmount(directory: Path) -> None:
    """Undo ``mount`` when nothing is left below ``directory``."""
    if not directory.is_dir() or any(directory.iterdir()):
        return
    _unmount(str(directory))


def exists(path: Path) -> bool:
    """Whether a namespace is kept at ``path`` (a file alone is what a crash leaves)."""
    try:
        return path.stat().st_dev == os.stat(_OWN).st_dev
    except OSError:
        return False


def ensure(path: Path) -> bool:
    """Make sure that a namespace is kept at ``path``; whether it is new."""
    if exists(path):
        return False
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
        _call("make a network namespace", _libc.unshare(_NEW_NETNS))
        try:
            _mount(_OWN, str(path), _MS_BIND, f"keep the network namespace {path}")
        finally:
            _come_back(home)
    except KernelError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(home)
    return True


def remove(path: Path) -> bool:
    """Let a namespace go (its last process frees it); whether anything was there."""
    was_there = path.exists()
    while _unmount(str(path)):  # a crash between two repairs may have stacked mounts
        pass
    path.unlink(missing_ok=True)
    return was_there


def names(directory: Path, prefix: str) -> list[str]:
    """The namespaces (and files left by a crash) whose name begins with ``prefix``."""
    try:
        return sorted(e.name for e in os.scandir(directory) if e.name.startswith(prefix))
    except FileNotFoundError:
        return []
