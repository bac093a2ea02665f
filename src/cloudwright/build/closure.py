"""Which standard-library modules a program can reach, read from import statements (no code is run).

Follows imports of every module it finds, also inside functions: more than a run may use, never
less, except
for names that are computed at run time; those are listed in ``keep`` of the project's settings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

ALWAYS = frozenset(
    """
    encodings encodings.idna encodings.punycode stringprep unicodedata codecs io abc os site
    importlib zipimport zipfile warnings traceback linecache types runpy pkgutil
    re json logging signal threading asyncio
    """.split()  # noqa: SIM905 (one line a thought)
)
"""What the interpreter or nearly every program needs without naming it."""

TOOLS = frozenset(
    """
    _testcapi _testinternalcapi cProfile curses distutils doctest ensurepip idlelib lib2to3 pdb
    profile pydoc pydoc_data readline rlcompleter test tkinter turtle unittest venv webbrowser
    """.split()  # noqa: SIM905
)
"""Modules for people at a keyboard: taken when the program itself imports them, not when the
library does."""


def imports_of(source: str, package: str = "") -> set[str]:
    """Absolute names of modules that ``source`` imports; ``from a import b`` gives ``a`` and
    ``a.b``.

    ``package`` resolves relative imports. A file that does not parse imports nothing.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            if base:
                found.add(base)
                found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def reachable(roots: Iterable[Path], stdlib: Path, keep: Iterable[str] = ()) -> set[str]:
    """Names of standard-library modules (``json.decoder``, ``_ssl``) reachable from the files
    ``roots``.
    """
    pending: set[str] = set(ALWAYS) | set(keep)
    for file in roots:
        pending |= imports_of(file.read_text(encoding="utf-8", errors="replace"))
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        parent = name.rpartition(".")[0]
        if parent:
            pending.add(parent)
        found = _find(stdlib, name)
        if found is not None:
            file, package = found
            source = file.read_text(encoding="utf-8", errors="replace")
            names = imports_of(source, package) - seen
            if parent_of_all(name) not in TOOLS:
                names = {n for n in names if parent_of_all(n) not in TOOLS}
            pending |= names
    return seen


def parent_of_all(name: str) -> str:
    """``a`` of ``a.b.c``."""
    return name.partition(".")[0]


def _find(stdlib: Path, name: str) -> tuple[Path, str] | None:
    """The module's file and the package that its relative imports start from."""
    base = stdlib.joinpath(*name.split("."))
    if (base / "__init__.py").is_file():
        return base / "__init__.py", name
    module = base.with_suffix(".py")
    if module.is_file():
        return module, name.rpartition(".")[0]
    return None
