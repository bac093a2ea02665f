"""Which shared libraries a program or an extension module needs, by the system's own loader."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cloudwright.build.errors import BuildFailed

ELF = b"\x7fELF"
_RESOLVED = re.compile(r"^\s*(?:(\S+) => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_MISSING = re.compile(r"^\s*(\S+) => not found$", re.MULTILINE)


def is_elf(file: Path) -> bool:
    """Whether the file starts as an ELF object does."""
    with file.open("rb") as content:
        return content.read(4) == ELF


def is_dynamic(file: Path) -> bool:
    """Whether an ELF program asks for a loader (``PT_INTERP``); a static one runs alone."""
    with file.open("rb") as content:
        head = content.read(64)
        if len(head) < 64 or head[:4] != ELF or head[4] != 2:
            return False
        offset = int.from_bytes(head[32:40], "little")
        size, count = (int.from_bytes(head[i : i + 2], "little") for i in (54, 56))
        for number in range(count):
            content.seek(offset + number * size)
            if int.from_bytes(content.read(4), "little") == 3:
                return True
    return False


def stripped(file: Path) -> bytes:
    """The content of an ELF file without symbols for debuggers, when the system has ``strip``."""
    with tempfile.NamedTemporaryFile() as slim:
        command = ["strip", "--strip-unneeded", "-o", slim.name, str(file)]
        try:
            answer = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            return file.read_bytes()
        return Path(slim.name).read_bytes() if answer.returncode == 0 else file.read_bytes()


def needed(files: Iterable[Path], *, within: Path | None = None) -> dict[str, Path]:
    """Path inside the image → file, for every library the ``files`` need.

    Libraries that lie below ``within`` (a folder of packages that is copied whole) are left out.

    Raises:
        BuildFailed: a library is not found on this machine.
    """
    found: dict[str, Path] = {}
    for file in files:
        answer = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False)
        missing = _MISSING.findall(answer.stdout)
        if missing:
            raise BuildFailed(
                f"{file.name} needs {', '.join(missing)}, which this machine does not have",
                hint="install the system package that has it, or leave the module out",
            )
        for soname, path in _RESOLVED.findall(answer.stdout):
            library = Path(path)
            if within is not None and library.resolve().is_relative_to(within):
                continue
            if soname:
                found[f"/usr/lib/{Path(soname).name}"] = library.resolve()
            else:
                found[path] = library.resolve()
    return found
