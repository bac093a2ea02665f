"""The dependency layer: what the project requires, installed for the image's interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from shutil import which

from cloudwright.build.archive import Tree
from cloudwright.build.bytecode import compile_all
from cloudwright.build.errors import BuildFailed
from cloudwright.build.interpreter import Interpreter, add_libraries

SITE = "/app/.packages"
_LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
_LEFT_OUT_FOLDERS = {"__pycache__", "bin"}


def install(requirements: tuple[str, ...], target: Path, python: Interpreter) -> None:
    """Install into the empty folder ``target`` with uv, else pip. Raises BuildFailed."""
    arguments: list[str] = []
    for line in requirements:
        arguments += line.split(" ", 1) if line.startswith("-r ") else [line]
    uv = which("uv") or _beside("uv")
    if uv:
        command = [uv, "pip", "install", "--quiet", "--no-config"]
        command += ["--python", str(python.executable), "--target", str(target)]
    else:
        command = [str(python.executable), "-m", "pip", "install", "--quiet", "--no-compile"]
        command += ["--target", str(target)]
    answer = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        lines = [line for line in answer.stderr.strip().splitlines() if line.strip()]
        raise BuildFailed(
            "the project's dependencies cannot be installed",
            cause=" ".join(lines[-4:])[-600:],
            hint="check the names and versions in pyproject.toml or requirements.txt",
        )


def add(tree: Tree, packages: Path, python: Interpreter) -> None:
    """Put installed packages into ``tree``, compiled reproducibly, with the libraries they need."""
    extensions, sources = [], []
    for file in sorted(packages.rglob("*")):
        relative = file.relative_to(packages)
        if not file.is_file() or file.name in _LEFT_OUT:
            continue
        if _LEFT_OUT_FOLDERS & set(relative.parts[:1]) or "__pycache__" in relative.parts:
            continue
        tree.file(f"{SITE}/{relative}", file)
        if file.suffix == ".py":
            sources.append((file, f"{SITE}/{relative}"))
        elif ".so" in file.suffixes:
            extensions.append(file)
    add_compiled(tree, sources, python)
    add_libraries(tree, extensions, within=packages)


def add_compiled(tree: Tree, sources: list[tuple[Path, str]], python: Interpreter) -> None:
    """The ``__pycache__`` entries of source files; one that does not compile has none."""
    tag = f"cpython-{python.version.replace('.', '')}"
    codes = compile_all(python.executable, sources)
    for (_, path), code in zip(sources, codes, strict=True):
        parent, _, name = path.rpartition("/")
        if code:
            tree.text(f"{parent}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc", code)


def _beside(name: str) -> str | None:
    candidate = Path(sys.executable).parent / name
    return str(candidate) if candidate.is_file() else None
