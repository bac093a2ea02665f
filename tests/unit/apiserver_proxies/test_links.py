"""Redirects and links of proxied answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.apiserver.proxies import links
from cloudwright.apiserver.proxies.passing import as_mapping

PREFIX = "/api/v1/namespaces/n/services/http:web:80/proxy"
HOSTS = frozenset({"web.n:80", "api.example:6443"})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/there", f"{PREFIX}/there"),
        ("/there/", f"{PREFIX}/there/"),
        ("/", f"{PREFIX}/"),
        ("/a/../b?x=/y#z", f"{PREFIX}/b?x=/y#z"),
        ("http://web.n:80/there", f"{PREFIX}/there"),
        ("https://api.example:6443/there", f"{PREFIX}/there"),
        (f"{PREFIX}/there", f"{PREFIX}/there"),
        ("there", "there"),
        ("?x=1", "?x=1"),
        ("http://elsewhere.example/there", "http://elsewhere.example/there"),
        ("//elsewhere.example/there", "//elsewhere.example/there"),
        ("mailto:a@b.example", "mailto:a@b.example"),
        ("http://[broken/", "http://[broken/"),
    ],
)
def test_absolute_paths_stay_below_the_proxy(url: str, expected: str) -> None:
    assert links.rewritten(url, PREFIX, HOSTS) == expected


def test_only_links_of_a_page_change() -> None:
    text = (
        "<!DOCTYPE html><!-- <a href='/no'> --><html><head><link rel=stylesheet href=/s.css>"
        "<script>if (a < b && c) { x('<a href=\"/no\">') }</script></head><body>"
        '<A HREF="/x?a=1&amp;b=2" title="/no">&lt;x&#62;</A><img src="/i.png"/><p data-x="/no">'
        "<?php no ?></body></html>"
    )
    expected = (
        f"<!DOCTYPE html><!-- <a href='/no'> --><html><head>"
        f'<link rel=stylesheet href="{PREFIX}/s.css">'
        "<script>if (a < b && c) { x('<a href=\"/no\">') }</script></head><body>"
        f'<A HREF="{PREFIX}/x?a=1&amp;b=2" title="/no">&lt;x&#62;</A><img src="{PREFIX}/i.png"/>'
        '<p data-x="/no"><?php no ?></body></html>'
    )
    assert links.page(text, PREFIX, HOSTS) == expected


@given(st.text(alphabet="<>/ab \"'=&;!-hrefsrc\n", max_size=80))
def test_a_page_is_rewritten_once_and_never_fails(text: str) -> None:
    once = links.page(text, PREFIX, HOSTS)
    assert links.page(once, PREFIX, HOSTS) == once


@pytest.mark.parametrize(
    "text", ["<!--", "</", "<?", "<![", "<a b='", '<a b="', "<a ", "<script>", "&", "<"]
)
def test_a_page_of_endless_beginnings_takes_no_endless_time(text: str) -> None:
    # Were it read anew from each of them it would take hours.
    assert links.page(text * 200_000, PREFIX, HOSTS) == text * 200_000


@given(st.lists(st.tuples(st.sampled_from(["set-cookie", "x-a", "x-b"]), st.text("ab"))))
def test_every_cookie_and_value_is_kept(headers: list[tuple[str, str]]) -> None:
    found = as_mapping(headers)
    cookies = [value for name, value in found.items() if name.lower() == "set-cookie"]
    assert cookies == [value for name, value in headers if name == "set-cookie"]
    for name in ("x-a", "x-b"):
        values = [value for other, value in headers if other == name]
        assert found.get(name, "") == ", ".join(values)
