"""Which requests a filter is for: the predicates that the proxy evaluates, in Python.

Expressions are Python's here and the Rust crate ``regex``'s there; what both know means the same.
"""

from __future__ import annotations

import re
from typing import Any

from cloudwright.proxy.sdk.messages import Request


def matches(described: list[dict[str, Any]], request: Request) -> bool:
    """Whether one of a filter's matches holds; ``described`` is ``Match.describe``'s form."""
    return any(_holds(one, request) for one in described)


def _holds(match: dict[str, Any], request: Request) -> bool:
    if match["methods"] and request.method not in match["methods"]:
        return False
    if match["paths"] and not any(_text(path, request.path) for path in match["paths"]):
        return False
    if match["hosts"] and not any(_host(host, request.authority) for host in match["hosts"]):
        return False
    for name, wanted in match["headers"].items():
        values = request.headers.all(name)
        if isinstance(wanted, bool):
            if bool(values) is not wanted:
                return False
        elif not any(_text(wanted, value) for value in values):
            return False
    return True


def _text(pattern: str, value: str) -> bool:
    if pattern.startswith("~"):
        return re.search(pattern[1:], value) is not None
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return value == pattern


def _host(pattern: str, authority: str) -> bool:
    host = re.sub(r":\d*$", "", authority).lower()
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern
