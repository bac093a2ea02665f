"""What is to be built: a Python project or a program, and its settings
(``[tool.cloudwright.build]``).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudwright.build.errors import BadProject
from cloudwright.build.libraries import is_elf

STARTERS = ("main.py", "app.py", "server.py", "__main__.py")
IGNORED = (
    ".git", ".hg", ".venv", "venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache",
    ".tox", "node_modules", ".env", "*.pyc", "*.egg-info", "dist", "build", "tests",
)  # fmt: skip
_SETTINGS = {"command", "exclude", "keep", "env", "requirements"}


@dataclass(frozen=True, slots=True)
class Project:
    """A folder (or one program) that can become an image."""

    root: Path
    kind: str
    """``python`` or ``program``."""
    name: str
    version: str
    command: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    """Requirement lines, or ``-r FILE`` for a file of them."""
    program: Path | None = None
    exclude: tuple[str, ...] = IGNORED
    keep: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


def read(path: Path) -> Project:
    """What ``path`` (a folder or an ELF program) is.

    Raises:
        BadProject: it does not exist, is nothing that can be built, or its settings are wrong.
    """
    if not path.exists():
        raise BadProject(f"{path} does not exist", hint="give the project's folder")
    if path.is_file():
        if not is_elf(path):
            raise BadProject(f"{path} is not a program", hint="give a folder, or an ELF file")
        return Project(path.parent, "program", path.name, "", (f"/app/{path.name}",), program=path)
    pyproject, requirements = path / "pyproject.toml", path / "requirements.txt"
    if pyproject.is_file():
        return _from_pyproject(path, pyproject)
    starter = _starter(path)
    if starter or requirements.is_file():
        lines = (f"-r {requirements}",) if requirements.is_file() else ()
        return Project(path, "python", path.name, "", _command(path, starter), lines)
    programs = [f for f in sorted(path.iterdir()) if f.is_file() and is_elf(f)]
    if len(programs) == 1:
        return read(programs[0])
    raise BadProject(
        f"{path} is nothing that can be built",
        cause="no pyproject.toml, requirements.txt, main.py or single program in it",
        hint="add one, or give the program itself",
    )


def _from_pyproject(root: Path, file: Path) -> Project:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadProject(f"{file} is not valid TOML", cause=str(error)) from error
    project: dict[str, Any] = document.get("project", {})
    settings: dict[str, Any] = document.get("tool", {}).get("cloudwright", {}).get("build", {})
    unknown = set(settings) - _SETTINGS
    if unknown:
        raise BadProject(
            f"{file}: unknown setting tool.cloudwright.build.{sorted(unknown)[0]}",
            hint=f"known ones: {', '.join(sorted(_SETTINGS))}",
        )
    command = _strings(file, settings, "command")
    requirements = _strings(file, settings, "requirements")
    requirements = requirements or _strings(file, project, "dependencies")
    return Project(
        root=root,
        kind="python",
        name=str(project.get("name", root.name)),
        version=str(project.get("version", "")),
        command=command or _command(root, _starter(root)),
        requirements=requirements,
        exclude=(*IGNORED, *_strings(file, settings, "exclude")),
        keep=_strings(file, settings, "keep"),
        env={str(k): str(v) for k, v in dict(settings.get("env", {})).items()},
    )


def _strings(file: Path, table: dict[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadProject(f"{file}: {key} is not a list of texts")
    return tuple(value)


def _starter(root: Path) -> str:
    return next((name for name in STARTERS if (root / name).is_file()), "")


def _command(root: Path, starter: str) -> tuple[str, ...]:
    if not starter:
        raise BadProject(
            f"{root} does not say what to run",
            cause=f"none of {', '.join(STARTERS)} is in it",
            hint='set `command = ["python3", "-m", "…"]` in [tool.cloudwright.build]',
        )
    return ("python3", starter)
