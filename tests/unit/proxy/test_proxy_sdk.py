"""What a filter's author sees: headers and messages on the wire's flat form, declarations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.proxy import Budget, Filter, Headers, Match, Request, respond
from cloudwright.proxy.host.entry import entry_of
from cloudwright.proxy.sdk.declaration import DeclarationError
from cloudwright.proxy.sdk.headers import FRAMING
from cloudwright.proxy.sdk.messages import head_of, text_of

NAMES = st.sampled_from([b"a", b"ab", b"x-a", b"b"])
VALUES = st.binary(max_size=6).map(lambda data: bytes(b for b in data if b >= 32 and b != 127))
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
CHANGES = st.lists(st.tuples(st.sampled_from(["set", "add", "del"]), NAMES, VALUES), max_size=8)


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@given(PAIRS, CHANGES, st.booleans())
def test_headers_are_the_same_whether_decoded_or_searched(
    pairs: list[tuple[bytes, bytes]], changes: list[tuple[str, bytes, bytes]], look: bool
) -> None:
    """A plain list of pairs is the model; ``look`` decodes before the changes."""
    headers, model = Headers(text_of(pairs), []), list(pairs)
    for name in (b"a", b"ab", b"x-a", b"b", b"none"):
        first = next((value for known, value in model if known == name), None)
        assert headers.get(text(name)) == (None if first is None else text(first))
    if look:
        assert headers.raw() == model
    for how, name, value in changes:
        if how == "add":
            headers.add(text(name), text(value))
            model.append((name, value))
            continue
        if how == "del" and text(name) not in headers:
            with pytest.raises(KeyError):
                del headers[text(name)]
            continue
        model = [pair for pair in model if pair[0] != name]
        if how == "set":
            headers[text(name)] = text(value)
            model.append((name, value))
        else:
            del headers[text(name)]
    assert headers.raw() == model
    assert list(headers) == list(dict.fromkeys(text(name) for name, _ in model))
    assert len(headers) == len({name for name, _ in model})


@pytest.mark.parametrize("value", ["a\nb: c", "a\r", "\0", "\x7f"])
def test_a_value_that_would_end_the_header_is_refused(value: str) -> None:
    headers = Headers(b"\n", [])
    with pytest.raises(ValueError, match="control character"):
        headers["x-a"] = value


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb", "ä"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a header"):
        Headers(b"\n", []).add(name, "1")


@pytest.mark.parametrize("name", sorted(FRAMING))
def test_a_filter_cannot_change_the_framing(name: bytes) -> None:
    headers = Headers(b"\n" + name + b":1\n", [])
    for change in (lambda: headers.add(text(name), "1"), lambda: headers.pop(text(name).title())):
        with pytest.raises(ValueError, match="the proxy decides this header"):
            change()


def test_a_request_reads_and_changes_its_first_line() -> None:
    origin = ("10.0.0.9", "shop", "spiffe://cluster.local/ns/a/sa/b")
    head = head_of("PUT", "/a/b?x=1&x=2&y=", [(b"x-a", b"1")], authority="h:1", origin=origin)
    request = Request(head)
    assert (request.method, request.authority, request.target) == ("PUT", "h:1", "/a/b?x=1&x=2&y=")
    assert (request.path, request.query) == ("/a/b", {"x": "2", "y": ""})
    assert (request.client, request.route, request.identity) == origin
    assert request.headers["X-A"] == "1"
    request.method, request.target, request.authority = "GET", "/c", "other"
    assert (request.method, request.path, request.authority) == ("GET", "/c", "other")
    request.cut(0)
    assert (request.method, request.path, request.authority) == ("PUT", "/a/b", "h:1")
    for attribute, bad in (
        ("method", "A B"),
        ("target", "a"),
        ("target", "/a b"),
        ("authority", "a/"),
    ):
        with pytest.raises(ValueError, match="is not a"):
            setattr(request, attribute, bad)


def test_an_answer_has_a_type_and_a_final_status() -> None:
    assert respond(200, "hi").headers == [(b"content-type", b"text/plain; charset=utf-8")]
    assert respond(200, "{}", {"Content-Type": "application/json"}).headers == [
        (b"content-type", b"application/json")
    ]
    assert respond(204).headers == []
    for status in (101, 600):
        with pytest.raises(ValueError, match="final answer"):
            respond(status)
    with pytest.raises(ValueError, match="at most"):
        respond(200, b"x" * (1 << 20) + b"x")


class Good(Filter):
    def on_request(self, request: Request) -> None: ...


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({"name": "Not Good"}, "name: lower case"),
        ({"timeout_ms": 0}, "timeout_ms: 1-60000"),
        ({"on_error": "ignore"}, "on_error: bypass or refuse"),
        ({"order": 1.5}, "order: a whole number"),
        ({"budget": Budget(errors=-1)}, "budget: errors"),
        ({"match": "/a"}, "match: a Match or a list"),
        ({"match": Match(path="a")}, "match.path: 'a' is neither"),
        ({"match": Match(path="/a/*/b")}, "match.path"),
        ({"match": Match(path="~(")}, "match.path: ~("),
        ({"match": Match(host="*")}, "match.host"),
        ({"match": Match(headers={"a": 1})}, "match.headers"),  # type: ignore[dict-item]
        ({"on_request": lambda self: None}, "on_request: takes 1 arguments"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(
    attributes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        entry_of(type("Bad", (Good,), attributes)(), "f.py", {})
    assert complaint in str(caught.value)


def test_a_yaml_file_overrides_and_is_checked() -> None:
    overrides = {
        "match": {"host": "a.example"},
        "timeout_ms": 7,
        "on_error": "refuse",
        "budget": {"errors": 1},
        "settings": {"key": "v"},
    }
    entry = entry_of(Good(), "f.py", overrides)
    assert (entry.name, entry.timeout_ms, entry.refuse, entry.budget.errors) == ("good", 7, True, 1)
    assert entry.matches[0]["hosts"] == ["a.example"]
    assert entry.instance.settings == {"key": "v"}
    for bad in ({"matches": {}}, {"match": {"hosts": "a"}}, {"budget": {"errors": "1"}}):
        with pytest.raises(DeclarationError):
            entry_of(Good(), "f.py", bad)
