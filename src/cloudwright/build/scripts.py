"""What the shell scripts of a project need: their interpreter and the programs that they call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SYSTEM_PATH = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")
_BUILT_IN = frozenset(
    """
    . : [ alias bg break case cd command continue do done echo elif else esac eval exec exit export
    false fg fi for getopts hash if in jobs kill local printf pwd read readonly return set shift
    test then times trap true type ulimit umask unalias unset until wait while { } !
    """.split()  # noqa: SIM905
)
_LEADING = frozenset(
    ["do", "then", "else", "elif", "if", "while", "until", "exec", "command", "!", "{"]
)
_QUOTED = re.compile(r"""'[^']*'|(?<!\S)#.*$""")
_NAME = re.compile(r"[A-Za-z_][\w.+-]*")


def interpreter(script: bytes) -> list[str]:
    """The words of a ``#!`` line; empty when there is none."""
    if not script.startswith(b"#!"):
        return []
    return script.split(b"\n", 1)[0][2:].decode(errors="replace").split()


def called(script: str) -> set[str]:
    """Names at the places of a POSIX shell script where a command can stand, without the
    built-in ones.
    """
    names: set[str] = set()
    for line in script.splitlines()[1:]:
        for part in re.split(r"[;&|()`]", _QUOTED.sub("", line)):
            words = part.split()
            while words and (words[0] in _LEADING or "=" in words[0]):
                words.pop(0)
            if words and _NAME.fullmatch(words[0]):
                names.add(words[0])
    return names - _BUILT_IN


def programs(files: Iterable[Path]) -> dict[str, Path]:
    """Path in the image → program of this machine, for every script among ``files``.

    Python scripts need nothing here (the interpreter is in the image anyway).
    """
    wanted: dict[str, Path] = {}
    for file in files:
        content = file.read_bytes()
        words = interpreter(content)
        if not words:
            continue
        shell = Path(words[0])
        if shell.name == "env":
            _want(wanted, "env")
            shell = Path(words[1]) if len(words) > 1 else shell
        if shell.name.startswith("python"):
            continue
        _want(wanted, shell.name)
        if shell.name in ("sh", "dash", "bash"):
            for name in called(content.decode(errors="replace")):
                _want(wanted, name)
    return wanted


def _want(wanted: dict[str, Path], name: str) -> None:
    for folder in SYSTEM_PATH:
        program = Path(folder) / name
        if program.is_file():
            wanted[f"/usr/bin/{name}"] = program.resolve()
            return
