"""House rules that a program can hold: sizes, forbidden calls, dead links (reads the source)."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE_LINES = 500
FUNCTION_LINES = 50


def tracked(*patterns: str) -> list[Path]:
    """Files that git knows or would take, below the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]


PYTHON = [file for file in tracked("src/*.py")]
RUST = [file for file in tracked("crates/*.rs")]
TEXT = tracked("*.py", "*.rs", "*.md", "*.toml", "*.yaml", "*.sh", "scripts/*", "Makefile")
GENERATED = re.compile(r"_pb2(_grpc)?\.py$")


def complain(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def at(file: Path, line: int, text: str) -> str:
    return f"{file.relative_to(ROOT)}:{line}: {text}"


def test_files_are_short() -> None:
    complain(
        [
            at(file, count, f"{count} lines, at most {FILE_LINES}: split it by concept")
            for file in PYTHON + RUST
            if (count := file.read_text().count("\n")) > FILE_LINES
        ]
    )


def test_functions_are_short() -> None:
    problems = []
    for file in PYTHON:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                if length > FUNCTION_LINES:
                    problems.append(at(file, node.lineno, f"{node.name} has {length} lines"))
    complain(problems)


FORBIDDEN = [
    (
        re.compile(r"\bos\.(environ|getenv)\b"),
        "use _base.environment",
        "_base/",
    ),
    (re.compile(r"^\s*(import|from) sqlite3\b"), "only a store knows SQLite", "/store"),
    (
        re.compile(r"^\s*(import|from) cloudwright\._native\b"),
        "import it in native.py",
        "native.py",
    ),
    (re.compile(r"\btime\.sleep\("), "wait for an event", "\0"),
    (re.compile(r"\bshell=True\b"), "run programs by argument list", "\0"),
    (re.compile(r"\bverify=False\b"), "TLS is always verified", "\0"),
    (re.compile(r"except( Base)?Exception:\s*pass"), "never swallow", "\0"),
    (re.compile(r"^\s*print\("), "only the faces print", "/cli/"),
    (re.compile(r"\bthreading\.Thread\("), "use anyio.to_thread", "\0"),
]


def test_forbidden_calls_are_absent() -> None:
    problems = []
    for file in PYTHON:
        where = str(file.relative_to(ROOT))
        for number, line in enumerate(file.read_text().splitlines(), 1):
            problems += [
                at(file, number, reason)
                for pattern, reason, allowed in FORBIDDEN
                if pattern.search(line)
                and allowed not in where
                and not where.endswith("__main__.py")
                and "tidy:" not in line
            ]
    complain(problems)


def test_no_unfinished_marks_and_no_trailing_space() -> None:
    problems = []
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b(?!.*#\d)")
    for file in TEXT:
        if GENERATED.search(file.name):
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if marks.search(line):
                problems.append(at(file, number, "an unfinished mark without an issue number"))
            if line != line.rstrip() and file.suffix != ".md":
                problems.append(at(file, number, "trailing space"))
    complain(problems)


def test_every_room_says_what_it_is() -> None:
    problems = []
    for file in PYTHON:
        if file.name == "__init__.py" and not ast.get_docstring(ast.parse(file.read_text())):
            problems.append(at(file, 1, "a room needs a docstring at its door"))
    for file in RUST:
        if file.name == "lib.rs" and not file.read_text().startswith("//!"):
            problems.append(at(file, 1, "a crate needs a `//!` line at its door"))
    complain(problems)


LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("file", tracked("*.md"), ids=lambda f: str(f.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(file: Path) -> None:
    complain(
        [
            at(file, number, f"no such file: {target}")
            for number, line in enumerate(file.read_text().splitlines(), 1)
            for target, _ in LINK.findall(line)
            if "://" not in target and not (file.parent / target).exists()
        ]
    )
