"""The forms of ``-o``: kubectl's dialect of JSONPath, columns, names, tables."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.errors import UsageError
from cloudwright.cli import output
from cloudwright.cli.terminal import Terminal, columns

PODS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "n": 3},
        },
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "b"}},
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.items[0].metadata.name}", "a"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[-1:].metadata.name}", "b"),
        ("{.items[0,1].kind}", "Pod Deployment"),
        ("{..name}", "a b"),
        ("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "x"),
        ("{.items[0].metadata.labels['app.kubernetes.io/name']}", "x"),
        ('{.items[0].status.conditions[?(@.type=="Ready")].status}', "True"),
        ('{.items[?(@.kind!="Pod")].metadata.name}', "b"),
        ('{range .items[*]}{.metadata.name}{"\\n"}{end}', "a\nb\n"),
        ("name={.items[0].metadata.name};", "name=a;"),
        ("{.items[7].metadata.name}", ""),
        ("{.missing.at.all}", ""),
        ("{.items[0].status.n}", "3"),
        ("{.items[0].metadata.labels}", '{"app.kubernetes.io/name":"x"}'),
    ],
)
def test_jsonpath(template: str, text: str) -> None:
    assert output.jsonpath(template, PODS) == text


@pytest.mark.parametrize("template", ["{range .items}x", "{.items[x]}", "{end}", "{.a[?(@.)]}"])
def test_a_bad_jsonpath_is_a_usage_error(template: str) -> None:
    with pytest.raises(UsageError):
        output.jsonpath(template, {"a": [1], "items": [1]})


@given(st.text(alphabet=".[]{}*?@'\"abc019:,=() ", max_size=25))
def test_any_template_is_an_answer_or_a_usage_error(template: str) -> None:
    try:
        assert isinstance(output.jsonpath(template, PODS), str)
    except UsageError:
        return


def printed(form: str, value: dict[str, Any]) -> str:
    out = io.StringIO()
    output.show(Terminal(out, io.StringIO()), form, value)
    return out.getvalue()


def test_names_carry_the_group() -> None:
    assert printed("name", PODS) == "pod/a\ndeployment.apps/b\n"


def test_json_and_yaml_come_back() -> None:
    import yaml

    assert json.loads(printed("json", PODS)) == PODS
    assert yaml.safe_load(printed("yaml", PODS)) == PODS


def test_custom_columns() -> None:
    text = printed("custom-columns=NAME:.metadata.name,READY:.status.n", PODS)
    assert [line.split() for line in text.splitlines()] == [
        ["NAME", "READY"], ["a", "3"], ["b", "<none>"],
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["yml", "jsonpath", "custom-columns"])
def test_an_unknown_form_is_refused(form: str) -> None:
    with pytest.raises(UsageError, match="no such form"):
        output.check(form)


def test_a_table_hides_wide_columns() -> None:
    table = {
        "columnDefinitions": [
            {"name": "Name", "priority": 0}, {"name": "IP", "priority": 1},
        ],
        "rows": [{"cells": ["a", "10.0.0.1"], "object": {"metadata": {"namespace": "n"}}}],
    }  # fmt: skip
    assert output.table_cells(table, wide=False, namespaces=False) == (["NAME"], [["a"]])
    header, rows = output.table_cells(table, wide=True, namespaces=True)
    assert header == ["NAMESPACE", "NAME", "IP"]
    assert rows == [["n", "a", "10.0.0.1"]]


@given(st.lists(st.lists(st.text("abc", max_size=9), min_size=3, max_size=3), max_size=6))
def test_columns_line_up(rows: list[list[str]]) -> None:
    lines = columns(["ONE", "TWO", "THREE"], rows)
    at = lines[0].index("TWO")
    for line, row in zip(lines[1:], rows, strict=True):
        assert line[at:].startswith(row[1]) or not line[at:].strip()


def test_no_colour_when_piped() -> None:
    terminal = Terminal(io.StringIO(), io.StringIO())
    assert terminal.paint("x", "red") == "x"
