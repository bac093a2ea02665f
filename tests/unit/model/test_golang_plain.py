"""The short way into a Go type gives what the long one does, or nothing."""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import bundle, golang

CONFIG_MAP, POD = "core/v1.ConfigMap", "core/v1.Pod"
_texts = st.text(max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_names = st.sampled_from(
    ("metadata", "data", "binaryData", "immutable", "kind", "apiVersion", "spec", "other")
)
_bodies = st.dictionaries(_names, _values, max_size=5) | st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": _texts, "labels": st.dictionaries(_texts, _texts)}
        ),
        "data": st.dictionaries(_texts, _texts, max_size=3),
    }
)


def long_way(name: str, body: bytes) -> tuple[Any, list[str]] | None:
    """What the long way makes of a body; ``None``: it refuses."""
    try:
        found, unknown = golang.canonical(name, body)
    except golang.GoError:
        return None
    return orjson.loads(found), unknown


@given(_bodies)
def test_both_ways_agree(obj: dict[str, Any]) -> None:
    body = orjson.dumps(obj)
    short, long = golang.plain(CONFIG_MAP, body), long_way(CONFIG_MAP, body)
    if long is None or long[1]:
        assert short is None
    else:
        assert short is not None
        assert orjson.loads(short) == long[0]


@lru_cache
def types() -> dict[str, list[tuple[int, str, str, str, str]]]:
    """The table of Go types: ``(number, name, kind, flags, go)`` of each field."""
    text = gzip.decompress(bundle.read("types.json.gz")).decode()
    lines = (line.split("\t") for line in text.splitlines())
    return {name: orjson.loads(rows) for name, rows in lines}


_OF_KIND: dict[str, st.SearchStrategy[Any]] = {
    "string": _texts,
    "bool": st.booleans(),
    "int": st.integers(-2, 2) | st.sampled_from((0.0, 2**31, -(2**63), 2**63)),
    "double": st.sampled_from((0, 0.0, -0.0, 1.5, 2**40)),
    "bytes": st.sampled_from(("", "YQ==", "YQ")),
    "time": st.sampled_from(("2026-01-01T01:00:00+01:00", "0001-01-01T00:00:00Z", "now")),
    "microtime": st.sampled_from(("2026-01-01T01:00:00.5+01:00", "2026-01-01T00:00:00.000000Z")),
    "quantity": st.sampled_from(("0", "0.5", "1024Mi", 3, "")),
    "intstr": st.sampled_from((0, 80, "http", "", 2**40)),
}


@lru_cache
def of_kind(kind: str, depth: int) -> st.SearchStrategy[Any]:
    """Values that a field of a kind may have, and now and then others."""
    if kind.startswith("map:"):
        found = st.dictionaries(_texts, of_kind(kind[4:], depth), max_size=2)
    elif kind in _OF_KIND:
        found = _OF_KIND[kind]
    elif kind in types() and depth:
        found = of_type(kind, depth - 1)
    else:
        found = st.just({})
    return st.one_of(*(found for _ in range(30)), st.none(), _values)


@lru_cache
def of_type(name: str, depth: int) -> st.SearchStrategy[Any]:
    """Objects with some of the fields of a type."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for _, field, kind, flags, _ in types()[name]:
        if "i" not in flags:
            one = of_kind(kind, depth)
            fields[field] = st.lists(one, max_size=2) if "r" in flags else one
    return st.fixed_dictionaries({}, optional=fields)


@given(st.data())
def test_both_ways_write_the_same(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(types())))
    body = orjson.dumps(data.draw(of_type(name, 3)))
    short = golang.plain(name, body)
    try:
        long, unknown = golang.canonical(name, body)
    except golang.GoError:
        assert short is None
        return
    assert short == (None if unknown else long)


def test_every_type_has_the_same_zero() -> None:
    for name in types():
        assert golang.plain(name, b"{}") == golang.canonical(name, b"{}")[0], name


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":{"a":"1","a":"2"}}',
        b'{"data":{"a":"1"},"data":{"b":"2"}}',
        b'{"metadata":{"name":"x","nmae":"y"}}',
        b'{"data":{"a":1}}',
        b'{"data":{"a":"1"}} x',
        b'{"data":{"a":"1"}',
        b'{"data":{"a":"\\ud800"}}',
        b'{"data":{"a":"\xff"}}',
        b"[]",
        b"null",
        b"",
        b"{" * 500,
        b'{"data":' + b'{"a":' * 400 + b"1" + b"}" * 401,
    ],
)
def test_what_something_is_to_be_said_about_goes_the_long_way(body: bytes) -> None:
    assert golang.plain(CONFIG_MAP, body) is None


def test_a_pod_has_its_canonical_spelling() -> None:
    limits = {"cpu": "0.5", "memory": "1024Mi"}
    pod = {"spec": {"containers": [{"name": "a", "resources": {"limits": limits}}]}}
    body = orjson.dumps(pod)
    short = golang.plain(POD, body)
    assert short is not None
    assert (orjson.loads(short), []) == long_way(POD, body)
    found = orjson.loads(short)["spec"]["containers"][0]["resources"]["limits"]
    assert found == {"cpu": "500m", "memory": "1Gi"}
