"""A source that serves the resources of YAML files to every client, and follows the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import anyio
from anyio import to_thread
from inotify_simple import INotify, flags  # type: ignore[import-untyped]

from cloudwright._base import logs
from cloudwright._base.errors import UsageError
from cloudwright.mesh import vitals
from cloudwright.mesh.notices import Notices
from cloudwright.mesh.xds.cache import EMPTY, TypeSet, View, type_set
from cloudwright.mesh.xds.documents import Documents, parse
from cloudwright.mesh.xds.source import Node, Peer
from cloudwright.mesh.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, SHORT

_log = logs.get("mesh.xds")
SUFFIXES = (".yaml", ".yml", ".json")
_SETTLE_SECONDS = 0.02
_CHANGES = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.CREATE


class FileSource:
    """Resources of files and folders. Whoever gets to the server may have them all."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = [path.absolute() for path in paths]
        self._changes = Notices()
        self._view: dict[str, TypeSet] = {}
        self.error: str | None = None
        """Why the newest content of the files is not served; the content before it is."""

    def admit(self, peer: Peer, node: Node) -> Node:
        """Everybody who could connect."""
        return Node(node.id, node.cluster, node.role, peer.identity, node.metadata, node.agent)

    async def view(self, node: Node) -> View:
        """The same for everybody."""
        return self._view

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """See ``Source.listen``."""
        return self._changes.listen(wake)

    def load(self) -> Documents:
        """Read the files, and serve them from now on. Blocks.

        Raises:
            UsageError: they cannot be read or used; what was served before still is.
        """
        found = read(self._paths)
        for text in dangling(found):
            _log.warning(text)
        view = dict(self._view)
        for url in {*view, *found.resources}:
            resources = found.resources.get(url, {})
            old = view.get(url)
            view[url] = old.replace(resources) if old else type_set(resources.values())
        self._view, self.error = view, None
        vitals.XDS_PROBLEMS.set(0)
        return found

    async def follow(self) -> None:
        """Load again when a file changes, until cancelled; bad content is logged and left out."""
        with INotify() as inotify:
            for directory in {p if p.is_dir() else p.parent for p in self._paths}:
                inotify.add_watch(directory, _CHANGES)
            await self._again()  # what changed before the watch began
            while True:
                await anyio.wait_readable(inotify.fileno())
                await anyio.sleep(_SETTLE_SECONDS)  # editors write more than once
                names = {event.name for event in inotify.read(timeout=0)}
                if any(self._ours(name) for name in names):
                    await self._again()

    def _ours(self, name: str) -> bool:
        return Path(name).suffix in SUFFIXES or any(path.name == name for path in self._paths)

    async def _again(self) -> None:
        before = self._view
        try:
            found = await to_thread.run_sync(self.load)
        except UsageError as error:
            self.error = error.message
            vitals.XDS_PROBLEMS.set(1)
            _log.error("the resources stay as they were: %s", error.message)
            return
        if any(self._view[url] is not before.get(url, EMPTY) for url in self._view):
            _log.info("resources have changed", extra={"resources": found.count()})
            self._changes.tell()


def read(paths: Iterable[Path]) -> Documents:
    """The resources of files, and of all YAML and JSON files of folders.

    Raises:
        UsageError: one is not there, or not good; a ``DocumentError`` says where.
    """
    found = Documents()
    for path in paths:
        files = [path]
        if path.is_dir():
            files = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES)
        for file in files:
            try:
                text = file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise UsageError(f"{file} is not UTF-8 text", cause=str(error)) from None
            except OSError as error:
                raise UsageError(f"{file} cannot be read", cause=error.strerror) from None
            parse(text, str(file), found)
    return found


def dangling(found: Documents) -> list[str]:
    """What clusters and listeners refer to over ADS and the files do not have: a client waits
    for it.
    """
    problems = []
    for above, below in ((CLUSTER, ENDPOINT), (LISTENER, ROUTE)):
        for one in found.resources.get(above, {}).values():
            for name in one.refs:
                if name not in found.resources.get(below, {}):
                    place = found.sources[(above, one.name)]
                    problems.append(
                        f"{place.file}:{place.line}: {SHORT[above]} has {one.name!r}, which"
                        f" waits for {SHORT[below]} {name!r}: there are none of that name"
                    )
    return problems
