"""The short way into a Go type gives what the long one does, or nothing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import golang

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
