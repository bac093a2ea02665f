"""Building: the same input gives the same bytes; only what is used gets in; errors say what to
do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloudwright.build import closure, project, scripts
from cloudwright.build.builder import build, source_digest
from cloudwright.build.errors import BadProject, BuildFailed
from cloudwright.build.interpreter import base_executable, inspect
from cloudwright.build.libraries import is_dynamic
from cloudwright.runtime.images.images import Images
from cloudwright.runtime.images.store import ContentStore

SHOP = Path(__file__).parents[3] / "examples" / "01-shop"


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> ContentStore:
    return ContentStore(tmp_path_factory.mktemp("store"))


def tree(image: Images, reference: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in image.prepare(reference).layers:
        for file in Path(folder).rglob("*"):
            found[f"/{file.relative_to(folder)}"] = file
    return found


def test_two_builds_in_two_processes_give_one_digest(tmp_path: Path) -> None:
    program = (
        "import sys;from pathlib import Path;from cloudwright.build.builder import build;"
        "from cloudwright.runtime.images.store import ContentStore;"
        "print(build(Path(sys.argv[1]),ContentStore(Path(sys.argv[2])),reference='a:1').digest)"
    )
    shutil.copytree(SHOP / "payment", tmp_path / "p", ignore=shutil.ignore_patterns("*.toml"))
    for file in (tmp_path / "p").rglob("*"):
        os.utime(file, (1, 1))
    digests = set()
    for number, source in enumerate((tmp_path / "p", tmp_path / "p")):
        answer = subprocess.run(
            [sys.executable, "-c", program, str(source), str(tmp_path / f"s{number}")],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": str(number)},
        )
        digests.add(answer.stdout)
        os.utime(tmp_path / "p" / "main.py")
    assert len(digests) == 1


def test_a_python_image_has_the_interpreter_and_only_what_is_reached(store: ContentStore) -> None:
    built = build(SHOP / "inventory", store, reference="inventory:1.0.0", env={"RELEASE": "7"})
    files = tree(Images(store), "inventory:1.0.0")
    assert {"/app/main.py", "/usr/bin/python3", "/etc/passwd", "/tmp"} <= set(files)
    assert not any("tkinter" in name or "libX11" in name for name in files)
    assert built.size < 20_000_000
    config = Images(store).prepare("inventory:1.0.0")
    assert config.user == "65532:65532"
    assert config.env["RELEASE"] == "7"
    assert (files["/tmp"].stat().st_mode & 0o7777) == 0o1777


@pytest.mark.root
def test_the_image_runs_on_its_own(store: ContentStore, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    (tmp_path / "main.py").write_text(
        "import ssl, json, hashlib, asyncio\n"
        "print(json.dumps([hashlib.sha256(b'x').hexdigest()[:4], ssl.OPENSSL_VERSION[:7]]))\n"
    )
    build(tmp_path, store, reference="a:1")
    root = tmp_path / "root"
    for folder in Images(store).prepare("a:1").layers:
        shutil.copytree(folder, root, symlinks=True, dirs_exist_ok=True)
    answer = subprocess.run(
        [shutil.which("chroot") or "chroot", str(root), "/usr/bin/python3", "/app/main.py"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert json.loads(answer.stdout) == ["2d71", "OpenSSL"]


def test_scripts_bring_their_interpreter_and_programs(store: ContentStore) -> None:
    wanted = scripts.programs([SHOP / "payment" / "scripts" / "pre-stop.sh"])
    assert {"/usr/bin/sh", "/usr/bin/touch"} <= set(wanted)
    assert "/usr/bin/echo" not in wanted


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("cat x | grep y && sleep 1", {"cat", "grep", "sleep"}),
        ("if test -f x; then rm x; fi", {"rm"}),
        ("x=$(date +%s) # sleep", {"date"}),
        ("echo 'cat dog'", set()),
        ("while true; do sleep 1; done", {"sleep"}),
    ],
)
def test_commands_are_found_where_a_command_can_stand(line: str, names: set[str]) -> None:
    assert scripts.called(f"#!/bin/sh\n{line}\n") == names


def test_the_closure_follows_imports_but_not_tools(tmp_path: Path) -> None:
    stdlib = inspect(base_executable()).stdlib
    file = tmp_path / "m.py"
    file.write_text("def later():\n    import sqlite3\n")
    found = closure.reachable([file], stdlib)
    assert {"sqlite3", "sqlite3.dbapi2", "_sqlite3", "encodings"} <= found
    assert not {"tkinter", "pydoc", "doctest"} & found
    file.write_text("import doctest\n")
    assert {"doctest", "unittest"} <= closure.reachable([file], stdlib)


def test_relative_imports_are_resolved() -> None:
    assert closure.imports_of("from . import a\nfrom ..b import c", "p.q") == {
        "p.q", "p.q.a", "p.b", "p.b.c",
    }  # fmt: skip


def test_a_program_becomes_an_image(store: ContentStore, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    (tmp_path / "h.c").write_text("int main(){return 0;}")
    for flags, dynamic in ((["-static"], False), ([], True)):
        program = tmp_path / "hello"
        subprocess.run(["gcc", *flags, "-o", program, tmp_path / "h.c"], check=True)
        assert is_dynamic(program) is dynamic
        build(program, store, reference="hello:1")
        files = tree(Images(store), "hello:1")
        assert "/app/hello" in files
        assert any("libc.so" in name for name in files) is dynamic


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "nothing that can be built"),
        ({"requirements.txt": ""}, "does not say what to run"),
        ({"pyproject.toml": "["}, "not valid TOML"),
        ({"pyproject.toml": "[tool.cloudwright.build]\ncomand = []"}, "unknown setting"),
        ({"pyproject.toml": "[tool.cloudwright.build]\ncommand = 'x'"}, "not a list"),
    ],
)
def test_what_cannot_be_built_is_said_clearly(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BadProject, match=message):
        project.read(tmp_path)


def test_an_unchanged_project_is_not_built_again(store: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print(1)")
    first = build(tmp_path, store, reference="a:1")
    again = build(tmp_path, store, reference="a:1")
    assert (first.cached, again.cached) == (False, True)
    assert again.digest == first.digest
    (tmp_path / "main.py").write_text("print(2)")
    assert not build(tmp_path, store, reference="a:1").cached
    assert not build(tmp_path, store, reference="a:1", cache=False).cached


def test_a_missing_folder_and_a_text_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadProject, match="does not exist"):
        project.read(tmp_path / "no")
    (tmp_path / "t").write_text("x")
    with pytest.raises(BadProject, match="not a program"):
        project.read(tmp_path / "t")


def test_a_failed_build_names_nothing(store: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "requirements.txt").write_text("this is not a requirement\n")
    with pytest.raises(BuildFailed, match="dependencies"):
        build(tmp_path, store, reference="a:1")
    assert store.records() == []
    assert [f for f in store.scratch().iterdir() if f.suffix in (".tar", ".gz")] == []


def test_a_link_out_of_the_project_is_refused(store: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "secret").symlink_to("/etc/passwd")
    with pytest.raises(BadProject, match="link to outside"):
        build(tmp_path, store, reference="a:1")


def test_the_source_digest_changes_with_content_and_mode(tmp_path: Path) -> None:
    file = tmp_path / "main.py"
    file.write_text("1")
    first = source_digest(project.read(tmp_path))
    os.utime(file, (5, 5))
    assert source_digest(project.read(tmp_path)) == first
    file.chmod(0o755)
    second = source_digest(project.read(tmp_path))
    file.write_text("2")
    assert len({first, second, source_digest(project.read(tmp_path))}) == 3
