"""The interpreter layer: the Python of this machine with only what a program can reach.

Modules of the standard library go, compiled, into ``lib/python3X.zip``: one file unpacks faster
than
hundreds, and compiled code with unchecked hashes is the same on every day (PEP 552).
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cloudwright.build.archive import PROGRAM_MODE, Tree
from cloudwright.build.bytecode import compile_all
from cloudwright.build.errors import BuildFailed
from cloudwright.build.libraries import needed, stripped

_ASK = (
    "import json,sys,sysconfig;print(json.dumps({'version':'%d.%d'%sys.version_info[:2],"
    "'full':sys.version,'executable':sys.executable,'stdlib':sysconfig.get_path('stdlib'),"
    "'dynload':sysconfig.get_config_var('DESTSHARED')}))"
)
_ALWAYS_WHOLE = ("encodings",)
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An installed Python. ``version`` is ``3.11``."""

    executable: Path
    version: str
    full_version: str
    stdlib: Path
    dynload: Path


def base_executable() -> Path:
    """The interpreter that this process's environment was made from."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def inspect(executable: Path) -> Interpreter:
    """Ask an interpreter about itself. Raises BuildFailed when it does not answer."""
    answer = subprocess.run(
        [executable, "-I", "-S", "-c", _ASK], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        raise BuildFailed(f"{executable} does not run", cause=answer.stderr.strip()[-300:])
    facts = json.loads(answer.stdout)
    stdlib = Path(facts["stdlib"])
    dynload = Path(facts["dynload"] or stdlib / "lib-dynload")
    return Interpreter(
        Path(facts["executable"]).resolve(), facts["version"], facts["full"], stdlib, dynload
    )


def add(tree: Tree, python: Interpreter, modules: set[str]) -> None:
    """Put the interpreter, its reachable ``modules`` and all their shared libraries into
    ``tree``.
    """
    short = python.version
    tree.text(f"/usr/bin/python{short}", stripped(python.executable), mode=PROGRAM_MODE)
    tree.link("/usr/bin/python3", f"python{short}")
    tree.link("/usr/bin/python", f"python{short}")
    tree.text(f"/usr/lib/python{short.replace('.', '')}.zip", _library(python, modules))
    # The landmarks by which the interpreter finds its prefix (Modules/getpath.py).
    tree.file(f"/usr/lib/python{short}/os.py", python.stdlib / "os.py")
    tree.directory(f"/usr/lib/python{short}/lib-dynload")
    extensions = []
    for file in sorted(python.dynload.glob("*.so")):
        if file.name.split(".")[0] in modules:
            target = f"/usr/lib/python{short}/lib-dynload/{file.name}"
            tree.text(target, stripped(file), mode=PROGRAM_MODE)
            extensions.append(file)
    add_libraries(tree, [python.executable, *extensions])
    if "_ssl" in modules and _CERTIFICATES.is_file():
        tree.file("/etc/ssl/certs/ca-certificates.crt", _CERTIFICATES)


def add_libraries(tree: Tree, files: list[Path], *, within: Path | None = None) -> None:
    """Put the shared libraries that ``files`` need into ``tree``."""
    for path, library in needed(files, within=within).items():
        tree.text(path, stripped(library), mode=PROGRAM_MODE)


def _library(python: Interpreter, modules: set[str]) -> bytes:
    files: dict[str, Path] = {}
    for name in modules:
        base = python.stdlib.joinpath(*name.split("."))
        if (base / "__init__.py").is_file():
            files[f"{name.replace('.', '/')}/__init__.pyc"] = base / "__init__.py"
        elif base.with_suffix(".py").is_file():
            files[f"{name.replace('.', '/')}.pyc"] = base.with_suffix(".py")
    for package in _ALWAYS_WHOLE:
        for file in (python.stdlib / package).rglob("*.py"):
            files[str(file.relative_to(python.stdlib).with_suffix(".pyc"))] = file
    ordered = sorted(files.items())
    shown = [f"/usr/lib/python{python.version}/{name.removesuffix('c')}" for name, _ in ordered]
    sources = [(file, path) for (_, file), path in zip(ordered, shown, strict=True)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for (name, _), code in zip(ordered, compile_all(python.executable, sources), strict=True):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, code)
    return buffer.getvalue()
