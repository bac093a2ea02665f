"""Bodies that are no JSON: what is said of them is what Go's scanner says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.apiserver import bodies, gojson, yamls
from cloudwright.apiserver.errors import ApiError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b'{"a":1} x', "invalid character 'x' after top-level value"),
        (b"{n}", "invalid character 'n' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"tru e", "invalid character ' ' in literal true (expecting 'e')"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1e+", "unexpected end of JSON input"),
        (b"1ex", "invalid character 'x' in exponent of numeric literal"),
        (b"01", "invalid character '1' after top-level value"),
        (b'"\\q"', "invalid character 'q' in string escape code"),
        (b'"\\u12G4"', "invalid character 'G' in \\u hexadecimal character escape"),
        (b'"a\nb"', "invalid character '\\n' in string literal"),
        (b"\xef\xbb\xbf{}", "invalid character '\u00ef' looking for beginning of value"),
        (b"\x9e", "invalid character '\\u009e' looking for beginning of value"),
        (b"'", "invalid character '\\'' looking for beginning of value"),
        (b"[" * 10_001, "invalid character '[' exceeded max depth"),
    ],
)
def test_the_first_wrong_byte_is_told(body: bytes, message: str) -> None:
    assert gojson.syntax_error(body) == message


@given(VALUES, st.sampled_from([None, 1]))
def test_json_has_nothing_wrong(value: object, indent: int | None) -> None:
    assert gojson.syntax_error(json.dumps(value, indent=indent).encode()) == ""


@given(st.binary(max_size=12) | st.text('{}[]:,"\\tfnu0e.-+ 1a', max_size=12).map(str.encode))
def test_what_python_refuses_is_refused(body: bytes) -> None:
    try:
        json.loads(body.decode("latin-1"), parse_constant=_no_constant)
        valid = True
    except (ValueError, RecursionError):
        valid = False
    assert (gojson.syntax_error(body) == "") is valid


def _no_constant(name: str) -> object:
    raise ValueError(name)


def test_text_that_is_no_utf8_is_replaced_byte_by_byte() -> None:
    problem, value = bodies.as_go(b'{"a":"\xe2\x82|\xff","b":"\\ud800|\\ud83d\\ude00"}')
    assert problem == ""
    assert value == {"a": "\ufffd\ufffd|\ufffd", "b": "\ufffd|\U0001f600"}


def test_objects_that_stand_twice_are_put_together() -> None:
    assert bodies.merged(b'{"d":{"a":1,"b":1},"d":{"b":2},"l":[1],"l":[2]}') == {
        "d": {"a": 1, "b": 2},
        "l": [2],
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"5", "json: cannot unmarshal number into Go value of type struct"),
        (b'{"kind":5}', "json: cannot unmarshal number into Go struct field .kind of type string"),
        (b'{"apiVersion":"a/b/c"}', "unexpected GroupVersion string: a/b/c"),
    ],
)
def test_a_body_that_does_not_say_what_it_is(body: bytes, message: str) -> None:
    with pytest.raises(bodies.UnreadableError, match=message.replace(".", r"\.")):
        bodies.parse(body, "application/json")


def test_nothing_but_null_is_an_empty_object() -> None:
    assert bodies.parse(b"null", "application/json") == {}


@pytest.mark.parametrize("kind", ["text/plain", "application/json;q", "application/x-yaml"])
def test_other_media_types_are_unknown(kind: str) -> None:
    with pytest.raises(ApiError, match="in an unknown format"):
        bodies.parse(b"{}", bodies.media_type({"content-type": kind}))


def test_only_the_first_yaml_document_counts() -> None:
    assert yamls.decode(b"a: 1\n---\na: 2\n") == {"a": 1}
    with pytest.raises(yamls.YamlError, match="contains itself"):
        yamls.decode(b"a: &a [*a]\n")
