from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import fields, names

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("name", ["a", "my-name", "123-abc", "a" * 63])
def test_good_labels(name: str) -> None:
    assert names.dns_label_problems(name) == []


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a.b", "a_b", "a\n", "a" * 64, "ä"])
def test_bad_labels(name: str) -> None:
    assert names.dns_label_problems(name)


def test_messages_are_upstreams() -> None:
    assert names.dns_label_problems("My") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
        "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
        "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]
    assert names.dns_label_problems("a" * 64) == ["must be no more than 63 characters"]


def test_kinds_of_names() -> None:
    assert names.dns_subdomain_problems("a.b-c.example.com") == []
    assert names.dns_subdomain_problems("a..b")
    assert names.dns_1035_label_problems("1a")
    assert names.label_value_problems("") == []
    assert names.label_value_problems("1.2_3-x") == []
    assert names.label_value_problems("a/b")
    assert names.qualified_name_problems("example.com/My.Name") == []
    for bad in ("a/b/c", "/a", "A/b", "a/", "", "x" * 64):
        assert names.qualified_name_problems(bad), bad
    assert names.env_name_problems("MY_ENV.x-1") == []
    assert names.env_name_problems("1A")
    assert names.port_name_problems("http-2") == []
    for bad in ("8080", "a--b", "-a", "a-", "Http", "a" * 16):
        assert names.port_name_problems(bad), bad
    assert names.config_key_problems("app.toml") == []
    for bad in ("", "a/b", "..", ".", "..a"):
        assert names.config_key_problems(bad), bad
    for bad in (0, 65536, -1, "80", True, 1.5, None):
        assert names.port_problems(bad), bad
    assert names.port_problems(65535) == []


@given(st.from_regex(r"\A[a-z]([-a-z0-9]{0,80})\Z"), st.binary(min_size=5, max_size=9))
def test_generated_names_fit_a_label(prefix: str, random: bytes) -> None:
    name = names.generate_name(prefix, random)
    assert names.dns_label_problems(name) == []
    assert name[:-5] == prefix[:58]


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="random bytes"):
        names.generate_name("a-", b"1234")


@given(JSON)
def test_hashes_are_short_safe_and_repeatable(value: object) -> None:
    text = names.short_hash(value)
    assert text == names.short_hash(value)
    assert 1 <= len(text) <= 10
    assert names.label_value_problems(text) == []


def test_hashes() -> None:
    assert names.fnv1a_32(b"") == 0x811C9DC5
    assert names.fnv1a_32(b"foobar") == 0xBF9CF968
    assert names.short_hash({"a": 1, "b": 2}) == names.short_hash({"b": 2, "a": 1})
    assert names.short_hash({"a": 1}) != names.short_hash({"a": 2})
    assert names.child_name("a" * 80, "x", 63) == "a" * 61 + "-x"


def test_field_errors_speak_as_upstream() -> None:
    assert str(fields.required("spec.x", "say")) == "spec.x: Required value: say"
    assert str(fields.invalid("a", "b", "no")) == 'a: Invalid value: "b": no'
    assert str(fields.not_supported("a", "x", ["b", "a"])) == (
        'a: Unsupported value: "x": supported values: "b", "a"'
    )
    assert str(fields.too_long("a", 5)) == "a: Too long: may not be more than 5 bytes"
    assert fields.duplicate("a", 80).as_cause() == {
        "reason": "FieldValueDuplicate",
        "message": "Duplicate value: 80",
        "field": "a",
    }
    both = [fields.required("a"), fields.required("b"), fields.required("a")]
    assert fields.summary("Pod", "", "x", both[:1]) == 'Pod "x" is invalid: a: Required value'
    assert fields.summary("Route", "g", "x", both) == (
        'Route.g "x" is invalid: [a: Required value, b: Required value]'
    )
