from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import selectors

KEYS = st.sampled_from(["app", "tier", "example.com/zone"])
VALUES = st.from_regex(r"\A[a-z0-9]([-a-z0-9_.]{0,5}[a-z0-9])?\Z")
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "b"}, True),
        ("a = b , c", {"a": "b", "c": ""}, True),
        ("a=b", {}, False),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (b, c)", {"a": "c"}, True),
        ("a in (b,c)", {}, False),
        ("a notin (b,c)", {}, True),
        ("a notin (b,c)", {"a": "b"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a=", {"a": ""}, True),
        ("a in ()", {"a": ""}, True),
        ("n>5", {"n": "6"}, True),
        ("n<5", {"n": "6"}, False),
        ("n>5", {"n": "many"}, False),
        ("in in (in)", {"in": "in"}, True),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], matches: bool) -> None:
    assert selectors.parse_labels(text).matches(labels) is matches


@pytest.mark.parametrize(
    "text",
    ["a b", "=b", "a in b", "a in (b", "a in (b c)", "a,,b", "a=b c", "a!", ",", "a,", "-a=b",
     "a=-b", "a=b/c", "n>x", "(", "a//b=c"],
)  # fmt: skip
def test_text_that_is_no_selector(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|Invalid value|integer"):
        selectors.parse_labels(text)


@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, st.lists(VALUES, min_size=1)), LABELS)
def test_text_means_the_same_as_the_object(
    equal: dict[str, str], among: dict[str, list[str]], labels: dict[str, str]
) -> None:
    selector = selectors.from_label_selector(
        {
            "matchLabels": equal,
            "matchExpressions": [
                {"key": key, "operator": "In", "values": values} for key, values in among.items()
            ],
        }
    )
    again = selectors.parse_labels(str(selector))
    expected = all(labels.get(k) == v for k, v in equal.items()) and all(
        labels.get(k) in v for k, v in among.items()
    )
    assert selector.matches(labels) is again.matches(labels) is expected


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not selectors.from_label_selector(None).matches({"a": "b"})
    assert selectors.from_label_selector({}).matches({})
    assert not selectors.from_labels({}).matches({"a": "b"})
    assert selectors.from_labels({"a": "b"}).matches({"a": "b", "c": "d"})


@pytest.mark.parametrize(
    "expression",
    [
        {"key": "a", "operator": "Near", "values": ["b"]},
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["b"]},
        {"key": "", "operator": "Exists"},
    ],
)
def test_expressions_that_mean_nothing_are_refused(expression: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"operator|key"):
        selectors.from_label_selector({"matchExpressions": [expression]})


def test_field_selectors() -> None:
    pod = {"metadata": {"name": "x"}, "spec": {"hostNetwork": False}, "status": {"phase": "Failed"}}
    parse = selectors.parse_fields
    assert parse("metadata.name=x,status.phase!=Running").matches(pod)
    assert not parse("status.phase==Running").matches(pod)
    assert parse("spec.nodeName=").matches(pod)
    assert parse("spec.hostNetwork=false").matches(pod)
    assert parse("").matches(pod)
    assert parse(None).empty
    assert parse("metadata.name=x").exactly("metadata.name") == "x"
    assert parse("a!=b,c=d").paths == {"a", "c"}


@pytest.mark.parametrize("text", ["x", "a=b=c", "a=b\\c"])
def test_text_that_is_no_field_selector(text: str) -> None:
    with pytest.raises(ValueError, match="selector"):
        selectors.parse_fields(text)


@given(st.dictionaries(KEYS, st.text(st.sampled_from("ab,=\\ "), max_size=6), min_size=1))
def test_field_values_survive_their_escapes(wanted: dict[str, str]) -> None:
    text = ",".join(
        str(selectors.FieldRequirement(path, "=", value)) for path, value in wanted.items()
    )
    parsed = selectors.parse_fields(text)
    assert {r.path: r.value for r in parsed.requirements} == wanted
    assert str(parsed) == text
