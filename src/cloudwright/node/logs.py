"""Reading CRI log files: rotated parts, tail, since, and following them while they grow.

A line is ``2026-11-24T08:00:00.123456789Z stdout F text``; tag ``P`` is a part of a longer line.
``N.log`` is current, ``N.log.1`` the newest old part, ``N.log.2`` older. Following waits for
inotify, it does not poll. Blocking functions are called in worker threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio import to_thread

from cloudwright._base.clock import parse_rfc3339
from cloudwright._base.errors import NotFoundError

CHUNK = 64 * 1024
_SETTLE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Options:
    """What of a log is wanted (``v1 PodLogOptions``)."""

    since: datetime | None = None
    tail: int | None = None
    timestamps: bool = False
    limit: int | None = None
    """Bytes."""


@dataclass(slots=True)
class Format:
    """Turns CRI lines into what a person reads; remembers whether a line is unfinished."""

    options: Options
    middle: bool = False
    left: int | None = None

    def __post_init__(self) -> None:
        self.left = self.options.limit

    @property
    def full(self) -> bool:
        """Whether the byte limit is reached."""
        return self.left is not None and self.left <= 0

    def render(self, line: bytes) -> bytes:
        """The output for one CRI line (with or without its newline); empty when it is not
        wanted.
        """
        parts = line.rstrip(b"\n").split(b" ", 3)
        if len(parts) < 3:
            return b""
        stamp, tag = parts[0], parts[2]
        text = parts[3] if len(parts) > 3 else b""
        if self.options.since is not None and _before(stamp, self.options.since):
            return b""
        prefix = stamp + b" " if self.options.timestamps and not self.middle else b""
        self.middle = tag.startswith(b"P")
        out = prefix + text + (b"" if self.middle else b"\n")
        if self.left is not None:
            out = out[: self.left]
            self.left -= len(out)
        return out


def files(path: Path) -> list[Path]:
    """The parts of a log that exist, oldest first; the current one is last."""
    old = []
    for part in path.parent.glob(f"{path.name}.*"):
        suffix = part.name.removeprefix(f"{path.name}.")
        if suffix.isdigit():
            old.append((int(suffix), part))
    found = [part for _, part in sorted(old, reverse=True)]
    return [*found, path] if path.exists() else found


def lines(path: Path, tail: int | None) -> Iterator[bytes]:
    """CRI lines of every part, oldest first; with ``tail`` only the last full lines.

    An unfinished last line (being written) is left out.
    """
    parts = files(path)
    if tail is None:
        for part in parts:
            yield from _whole(part)
        return
    wanted: deque[bytes] = deque()
    have = 0
    for part in reversed(parts if tail > 0 else []):
        if have > tail:
            break
        for line in reversed(list(_whole(part))):
            full = not _partial(line)
            if full and have >= tail:
                have += 1
                break
            wanted.appendleft(line)
            have += full
    yield from wanted


def last_words(path: Path, size: int) -> str:
    """The end of a log as text, at most ``size`` characters: a termination message."""
    form = Format(Options())
    text = b"".join(form.render(line) for line in lines(path, 80))
    return text.decode("utf-8", "replace")[-size:].strip()


def read(path: Path, options: Options) -> Iterator[bytes]:
    """Chunks of whole lines of what is in the log now."""
    form = Format(options)
    pending = bytearray()
    for line in lines(path, options.tail):
        pending += form.render(line)
        if len(pending) >= CHUNK or form.full:
            yield bytes(pending)
            pending.clear()
        if form.full:
            return
    if pending:
        yield bytes(pending)


async def stream(path: Path, options: Options) -> AsyncGenerator[bytes]:
    """``read`` without blocking the event loop."""
    source = read(path, options)
    while True:
        chunk = await to_thread.run_sync(next, source, None)
        if chunk is None:
            return
        yield chunk


async def follow(path: Path, options: Options, ended: anyio.Event) -> AsyncGenerator[bytes]:
    """What is in the log and what comes, until ``ended`` is set and the rest was read.

    Raises:
        NotFoundError: the log's directory does not exist.
    """
    import inotify_simple as inotify  # type: ignore[import-untyped]

    if not path.parent.exists():
        raise NotFoundError(f"there is no log {path}")
    mask = inotify.flags.MODIFY | inotify.flags.CREATE | inotify.flags.MOVED_TO
    with inotify.INotify(nonblocking=True) as watch:
        watch.add_watch(str(path.parent), mask)
        form = Format(options)
        tailer = _Tailer(path)
        try:
            data = await to_thread.run_sync(tailer.first, form)
            while True:
                if data:
                    yield data
                if form.full:
                    return
                last = ended.is_set()
                data = await to_thread.run_sync(tailer.more, form)
                if data:
                    continue
                if last:
                    return
                await _changed(watch.fileno(), ended)
                if ended.is_set():
                    with anyio.move_on_after(_SETTLE_SECONDS):
                        await anyio.wait_readable(watch.fileno())
                watch.read(timeout=0)
        finally:
            tailer.close()


async def _changed(descriptor: int, ended: anyio.Event) -> None:
    """Return when the directory changed or the container ended."""

    async def until_end(scope: anyio.CancelScope) -> None:
        await ended.wait()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(until_end, tasks.cancel_scope)
        await anyio.wait_readable(descriptor)
        tasks.cancel_scope.cancel()


class _Tailer:
    """Reads on from where it stopped, through rotations. Blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def first(self, form: Format) -> bytes:
        """What ``options`` ask for of the present content; stands at its end afterwards."""
        out = bytearray()
        tail = form.options.tail
        if tail is None:
            parts = files(self._path)
            for part in parts[:-1]:
                for line in _whole(part):
                    out += form.render(line)
            if parts:
                self._file = parts[-1].open("rb")
            return bytes(out)
        wanted = list(lines(self._path, tail))
        if self._path.exists():
            # Opened first and read to its end here: a line that is written meanwhile is either
            # in ``wanted`` or comes after this position.
            self._file = self._path.open("rb")
            content = self._file.read()
            at = content.rfind(b"\n") + 1
            self._rest = content[at:]
            wanted = _with_newer(wanted, content[:at], tail)
        for line in wanted:
            out += form.render(line)
        return bytes(out)

    def more(self, form: Format) -> bytes:
        """New whole lines, at most a few chunks at once."""
        out = bytearray()
        while len(out) < 4 * CHUNK and not form.full:
            if self._file is None:
                if not self._path.exists():
                    break
                self._file = (files(self._path) or [self._path])[0].open("rb")
            block = self._file.read(CHUNK)
            if not block:
                if not self._next_part():
                    break
                continue
            *whole, self._rest = (self._rest + block).split(b"\n")
            for line in whole:
                out += form.render(line)
        return bytes(out)

    def _next_part(self) -> bool:
        """Move on to the part after the one that is read to its end, if it was rotated away."""
        assert self._file is not None
        parts = files(self._path)
        here = os.fstat(self._file.fileno())
        inodes = [part.stat().st_ino for part in parts]
        index = inodes.index(here.st_ino) + 1 if here.st_ino in inodes else 0
        if index >= len(parts):
            return False
        if self._file.read(1):
            self._file.seek(-1, os.SEEK_CUR)
            return True
        self._file.close()
        self._file, self._rest = parts[index].open("rb"), b""
        return True

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _with_newer(wanted: list[bytes], content: bytes, tail: int) -> list[bytes]:
    """The last ``tail`` lines, taking ``content`` (the current part, read later) as the truth."""
    current = content.splitlines(keepends=True)
    full = sum(not _partial(line) for line in current)
    if full >= tail:
        chosen: deque[bytes] = deque()
        have = 0
        for line in reversed(current):
            if not _partial(line):
                if have == tail:
                    break
                have += 1
            chosen.appendleft(line)
        return list(chosen)
    known = set(current)
    return [line for line in wanted if line not in known] + current


def _whole(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
    except FileNotFoundError:
        return


def _partial(line: bytes) -> bool:
    parts = line.split(b" ", 3)
    return len(parts) > 2 and parts[2].strip().startswith(b"P")


def _before(stamp: bytes, since: datetime) -> bool:
    text = stamp.decode("ascii", "replace")
    whole, dot, fraction = text.rstrip("Z").partition(".")
    try:
        moment = parse_rfc3339(f"{whole}{dot}{fraction[:6]}Z" if text.endswith("Z") else text)
    except ValueError:
        return False
    return moment < since
