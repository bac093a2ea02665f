"""What a process does to its disk, written down, and the states in which a crash may leave it.

One traced run is enough for every crash point: the state after any of its steps can be built from
the record, as the system shows it (the process was killed), or as a power cut leaves it: of what
was written since the last sync of a file, anything may be missing or torn.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("disktrace.c")
CREATE, WRITE, TRUNCATE, SYNC, UNLINK = range(1, 6)
_HEAD = struct.Struct("<IIQQ")
_SECTOR = 512


@cache
def library() -> Path:
    """The compiled library; skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    target = Path(tempfile.mkdtemp(prefix="disktrace-")) / "disktrace.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(target), str(SOURCE), "-ldl"]
    subprocess.run([*command, "-lpthread"], check=True)
    return target


def run(script: str, root: Path, log: Path | None, *words: str) -> str:
    """Run a module of ours with its changes below ``root`` written down; its standard output."""
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library()),
        "DISKTRACE_ROOT": str(root),
        "DISKTRACE_LOG": str(log or ""),
    }
    command = [sys.executable, "-m", script, str(root), *words]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@dataclass(frozen=True, slots=True)
class Step:
    """One change."""

    op: int
    name: str
    offset: int
    length: int
    data: bytes


def read(log: Path) -> list[Step]:
    """The record of a run."""
    raw, at, steps = log.read_bytes(), 0, []
    while at < len(raw):
        op, size, offset, length = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        name = raw[at : at + size].decode()
        at += size
        data = raw[at : at + length] if op == WRITE else b""
        at += len(data)
        steps.append(Step(op, name, offset, length, data))
    return steps


@dataclass
class File:
    """One file: what is certainly on the disk, and what came since."""

    synced: bytes = b""
    pending: list[Step] = field(default_factory=list)

    def content(self, steps: Sequence[Step]) -> bytes:
        found = bytearray(self.synced)
        for step in steps:
            _apply(found, step)
        return bytes(found)


class Disk:
    """The state of the directory after some steps."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}

    def do(self, step: Step) -> None:
        if step.op == CREATE:
            self.files[step.name] = File()
        elif step.op == UNLINK:
            self.files.pop(step.name, None)
        elif step.name in self.files:
            file = self.files[step.name]
            if step.op == SYNC:
                file.synced, file.pending = file.content(file.pending), []
            else:
                file.pending.append(step)

    def killed(self) -> dict[str, bytes]:
        """As the system shows it when only the process ends."""
        return {name: file.content(file.pending) for name, file in self.files.items()}

    def cut(self, rng: random.Random) -> dict[str, bytes]:
        """As a power cut may leave it: of each file, all, none or some of what was not synced,
        writes torn between sectors.
        """
        return {name: file.content(_some(file.pending, rng)) for name, file in self.files.items()}


def _some(pending: Sequence[Step], rng: random.Random) -> list[Step]:
    keep = rng.choice((0.0, 0.5, 0.9, 1.0))
    found = []
    for step in pending:
        if rng.random() >= keep:
            continue
        if step.op == WRITE and len(step.data) > _SECTOR and rng.random() < 0.3:
            end = _SECTOR * rng.randrange(1, (len(step.data) - 1) // _SECTOR + 1)
            step = Step(WRITE, step.name, step.offset, end, step.data[:end])
        found.append(step)
    return found


def _apply(content: bytearray, step: Step) -> None:
    if step.op == TRUNCATE:
        del content[step.length :]
        content.extend(bytes(step.length - len(content)))
        return
    end = step.offset + len(step.data)
    if end > len(content):
        content.extend(bytes(end - len(content)))
    content[step.offset : end] = step.data


def lay(directory: Path, files: dict[str, bytes]) -> None:
    """Make ``directory`` have just these files."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
