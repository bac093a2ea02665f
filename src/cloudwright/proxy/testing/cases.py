"""Cases of a filter, and their results.

``NAME.cases.yaml`` beside ``NAME.py`` is a list of cases; each gives a ``request`` (and what the
backend answers, ``response``), and says what to ``expect``. ``_test_NAME.py`` holds functions
``test_…(send)``; ``send`` is ``exchange.Filters``, so ``send("GET", "/api").status == 200``.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from cloudwright.proxy.host.entry import Entry
from cloudwright.proxy.host.failures import place_of
from cloudwright.proxy.host.source import SourceError, load, stop
from cloudwright.proxy.testing.exchange import Filters, Outcome

_REQUEST = {"method", "path", "host", "headers", "body"}
_RESPONSE = {"status", "headers", "body"}
_EXPECT = {"matched", "request", "response", "answered", "error"}


@dataclass(frozen=True, slots=True)
class Result:
    """One case: ``reasons`` is empty when it holds."""

    case: str
    reasons: list[str]
    milliseconds: float


def check_file(path: Path) -> list[Entry]:
    """The filters that a file declares; they are started and stopped.

    Raises:
        SourceError: it gives none.
    """
    entries = load(path, 1)
    if errors := stop(entries):
        raise errors[0]
    return entries


def run_file(path: Path) -> list[Result]:
    """Every case of a filter's file, in order. Only in the main thread.

    Raises:
        SourceError: the filter or its cases cannot be read, or there are no cases.
    """
    declared = path.with_suffix(".cases.yaml")
    functions = path.with_name(f"_test_{path.stem}.py")
    cases = list(_declared(declared)) if declared.is_file() else []
    cases += list(_functions(functions)) if functions.is_file() else []
    if not cases:
        hint = f"write {declared.name} or {functions.name} beside it"
        raise SourceError(str(path), 0, f"no cases: {hint}")
    results = []
    for name, run in cases:
        # A fresh instance for each case, so that none depends on another.
        with Filters(path) as send:
            start = perf_counter_ns()
            reasons = run(send)
            results.append(Result(name, reasons, (perf_counter_ns() - start) / 1e6))
    return results


Run = Callable[[Filters], list[str]]


def _declared(path: Path) -> Iterator[tuple[str, Run]]:
    import yaml

    try:
        value = yaml.safe_load(path.read_bytes())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise SourceError(str(path), line, error.problem or "no YAML") from error
    if not isinstance(value, list):
        raise SourceError(str(path), 1, "a list of cases, each with request and expect")
    for position, case in enumerate(value):
        name = str(case.get("name", position)) if isinstance(case, dict) else str(position)
        where = f"case {name!r}"
        _fields(path, where, case, {"name", "request", "response", "expect"})
        _fields(path, f"{where}: request", case.get("request", {}), _REQUEST)
        _fields(path, f"{where}: response", case.get("response", {}), _RESPONSE)
        expected = case.get("expect")
        if not expected:
            raise SourceError(str(path), 0, f"{where}: expects nothing")
        _fields(path, f"{where}: expect", expected, _EXPECT)
        _fields(path, f"{where}: expect.request", expected.get("request", {}), _REQUEST)
        _fields(path, f"{where}: expect.response", expected.get("response", {}), _RESPONSE)
        yield name, partial(_check, case)


def _fields(path: Path, where: str, value: object, known: set[str]) -> None:
    if not isinstance(value, dict):
        raise SourceError(str(path), 0, f"{where}: a mapping, not {value!r}")
    if unknown := set(value) - known:
        names = ", ".join(sorted(map(str, unknown)))
        raise SourceError(
            str(path), 0, f"{where}: no such field: {names}; there are {', '.join(sorted(known))}"
        )


def _check(case: dict[str, Any], send: Filters) -> list[str]:
    return _compare(case["expect"], _send(send, case))


def _send(send: Filters, case: dict[str, Any]) -> Outcome:
    request, response = case.get("request", {}), case.get("response", {})
    return send(
        str(request.get("method", "GET")),
        str(request.get("path", "/")),
        host=str(request.get("host", "localhost")),
        headers=_texts(request.get("headers")),
        body=_bytes(request.get("body", "")),
        status=int(response.get("status", 200)),
        response_headers=_texts(response.get("headers")),
        response_body=_bytes(response.get("body", "")),
    )


def _texts(headers: dict[str, Any] | None) -> dict[str, str]:
    return {str(name): _word(value) for name, value in (headers or {}).items()}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bytes(value: object) -> bytes | list[bytes]:
    return (
        [str(piece).encode() for piece in value] if isinstance(value, list) else str(value).encode()
    )


def _compare(expected: dict[str, Any], outcome: Outcome) -> list[str]:
    """What is different from what was expected."""
    reasons = []

    def same(what: str, wanted: object, found: object) -> None:
        if wanted != found:
            reasons.append(f"{what}: expected {wanted!r}, got {found!r}")

    for name in ("matched", "answered"):
        if name in expected:
            same(name, expected[name], getattr(outcome, name))
    request, response = expected.get("request", {}), expected.get("response", {})
    got = outcome.request
    for name, found in (("method", got.method), ("path", got.target), ("host", got.authority)):
        if name in request:
            same(f"request.{name}", str(request[name]), found)
    if "body" in request:
        same("request.body", str(request["body"]).encode(), outcome.request_body)
    if "status" in response:
        same("response.status", response["status"], outcome.status)
    if "body" in response:
        same("response.body", str(response["body"]).encode(), outcome.body)
    sides = (("request", request, dict(got.headers)), ("response", response, outcome.headers))
    for side, wanted, lines in sides:
        for name, value in (wanted.get("headers") or {}).items():
            text = None if value is None else _word(value)
            same(f"{side}.headers.{name}", text, lines.get(str(name).lower()))
    wanted_error = expected.get("error")
    if wanted_error is None:
        reasons += outcome.failures
    elif not any(str(wanted_error) in text for text in outcome.failures):
        reasons.append(
            f"error: expected one with {wanted_error!r}, got {outcome.failures or 'none'}"
        )
    return reasons


def _functions(path: Path) -> Iterator[tuple[str, Run]]:
    spec = spec_from_file_location(f"cloudwright_filter_tests.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SourceError(str(path), place_of(error, str(path)), repr(error)) from error
    for name, function in vars(module).items():
        if name.startswith("test_") and callable(function):
            yield name, partial(_try, function, path)


def _try(function: Callable[[Filters], object], path: Path, send: Filters) -> list[str]:
    try:
        function(send)
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__)]
        own = [frame for frame in frames if frame.filename == str(path)]
        line = f"{path.name}:{own[-1].lineno}: {own[-1].line}" if own else path.name
        return [f"{line}: {type(error).__name__}: {error}".rstrip(": ")]
    return []
