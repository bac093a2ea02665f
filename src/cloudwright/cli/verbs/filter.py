"""Filters of the data plane: Python classes (or proxy-wasm modules) that change requests.

cloudwright filter new NAME         a filter, and cases for it, in the folder -d (default: here)
cloudwright filter check PATH …     whether files can be loaded, and what they declare
cloudwright filter test PATH …      run the cases beside them: NAME.cases.yaml, _test_NAME.py

PATH is a file or a folder. A gateway or sidecar takes each file of its folder of filters, and
takes it again when it changes.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudwright._base.errors import ConflictError, NotFoundError, Place, UsageError
from cloudwright.cli.terminal import Terminal

if TYPE_CHECKING:
    from cloudwright.proxy.host.source import SourceError

FILTER = '''\
"""{name}: says what it is for here."""

from cloudwright.proxy import Filter, Match, Request


class {class_}(Filter):
    """Adds a header."""

    match = Match(path="/*")
    timeout_ms = 50
    on_error = "bypass"  # or "refuse": then a request is answered 500 when this fails

    def on_request(self, request: Request) -> None:
        """Change the request, or return respond(status, body)."""
        request.headers["x-{name}"] = "yes"
'''
CASES = """\
- name: adds its header
  request: {{method: GET, path: /any, headers: {{accept: "*/*"}}}}
  expect:
    request: {{headers: {{x-{name}: "yes", accept: "*/*"}}}}
    response: {{status: 200}}
"""
FORMS = ("", "table", "json", "yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``filter``."""
    parser.add_argument("action", choices=("new", "check", "test"))
    parser.add_argument("names", nargs="+", metavar="NAME|PATH")
    parser.add_argument("-d", "--directory", default=".", metavar="DIR", help="for new")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json or yaml")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Do the action."""
    if args.output not in FORMS:
        raise UsageError(f"-o {args.output}: there is no such form", hint="table, json or yaml")
    if args.action == "new":
        for name in args.names:
            _new(name, Path(args.directory), terminal)
        return 0
    files = [file for name in args.names for file in _files(Path(name))]
    return (
        _check(files, args.output, terminal)
        if args.action == "check"
        else _test(files, args.output, terminal)
    )


def _new(name: str, directory: Path, terminal: Terminal) -> None:
    from cloudwright.proxy.sdk.declaration import FILTER_NAME

    if not FILTER_NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a filter", hint="lower case, digits and -")
    class_ = "".join(part.capitalize() for part in re.split(r"[.-]", name))
    stem = directory / re.sub(r"[.-]", "_", name)
    texts = {stem.with_suffix(".py"): FILTER, stem.with_suffix(".cases.yaml"): CASES}
    for file in texts:
        if file.exists():
            raise ConflictError(f"{file} is there already", hint="choose another name")
    directory.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        file.write_text(text.format(name=name, class_=class_))
        terminal.data(f"{file} created")
    terminal.note(f"try it: cloudwright filter test {stem.with_suffix('.py')}")


def _files(path: Path) -> list[Path]:
    from cloudwright.proxy.host.source import is_source

    if path.is_dir():
        found = sorted(file for file in path.iterdir() if is_source(file.name))
        if not found:
            raise NotFoundError(f"{path} holds no filters", hint="cloudwright filter new NAME")
        return found
    if not path.is_file():
        raise NotFoundError(f"{path} does not exist")
    if not is_source(path.name):
        raise UsageError(f"{path} is no filter", hint="a .py or .wasm file, not beginning with _")
    return [path]


def _check(files: list[Path], form: str, terminal: Terminal) -> int:
    from cloudwright.proxy.host.source import SourceError
    from cloudwright.proxy.testing import check_file

    found: list[dict[str, Any]] = []
    for file in files:
        try:
            found += [entry.describe() for entry in check_file(file.resolve())]
        except SourceError as error:
            raise _usage(error) from error
    described: list[dict[str, Any]] = [
        {name: value for name, value in one.items() if name not in ("id", "version")}
        for one in sorted(found, key=lambda one: (one["order"], one["name"]))
    ]
    if _shown(form, described, terminal):
        return 0
    header = ("NAME", "ORDER", "HOOKS", "TIMEOUT", "ON-ERROR", "FILE")
    terminal.table(
        header,
        [
            (
                str(one["name"]),
                str(one["order"]),
                ",".join(one["hooks"]),
                f"{one['timeout_ms']}ms",
                str(one["on_error"]),
                Path(one["file"]).name,
            )
            for one in described
        ],
    )
    return 0


def _test(files: list[Path], form: str, terminal: Terminal) -> int:
    from cloudwright.proxy.host.source import SourceError
    from cloudwright.proxy.testing import run_file

    lines: list[dict[str, Any]] = []
    for file in files:
        try:
            results = run_file(file.resolve())
        except SourceError as error:
            raise _usage(error) from error
        for result in results:
            lines.append(
                {
                    "filter": file.stem,
                    "case": result.case,
                    "passed": not result.reasons,
                    "milliseconds": round(result.milliseconds, 3),
                    "reasons": result.reasons,
                }
            )
    failed = sum(not line["passed"] for line in lines)
    if not _shown(form, lines, terminal):
        rows = []
        for line in lines:
            reasons = line["reasons"] or [""]
            state = "passed" if line["passed"] else "failed"
            rows.append((line["filter"], line["case"], state, reasons[0]))
            rows += [("", "", "", reason) for reason in reasons[1:]]
        terminal.table(("FILTER", "CASE", "RESULT", "REASON"), rows)
        terminal.note(f"{len(lines) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _shown(form: str, value: object, terminal: Terminal) -> bool:
    """Whether a machine's form was asked for, and printed."""
    if form == "json":
        terminal.data(json.dumps(value, indent=4, ensure_ascii=False))
    elif form == "yaml":
        from cloudwright.cli.output import to_yaml

        terminal.data(to_yaml(value).rstrip("\n"))
    return form in ("json", "yaml")


def _usage(error: SourceError) -> UsageError:
    place = Place(error.file, error.line, 1) if error.line else None
    text = error.message if place else f"{error.file}: {error.message}"
    return UsageError(text, place=place)
