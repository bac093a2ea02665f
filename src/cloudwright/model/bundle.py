"""The schemas' definitions by name, each read when it is first asked for.

``schema/kubernetes.json.gz`` (by ``scripts/generate_schemas.py``) has one definition a line: name,
tab, JSON, sorted by name. One is found by bisection, so that nobody pays for kinds that he never
meets. Our own kinds' definitions are small and read whole.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

OUR_FILES = ("microservice.json", "route.json")
_FOLDER = Path(__file__).with_name("schema")


def read(name: str) -> bytes:
    """A file of the room ``model/schema``."""
    return (_FOLDER / name).read_bytes()


@lru_cache(maxsize=1)
def _text() -> bytes:
    return gzip.decompress(read("kubernetes.json.gz"))


@lru_cache(maxsize=1)
def ours() -> dict[str, dict[str, Any]]:
    """The definitions of our own kinds."""
    found: dict[str, dict[str, Any]] = {}
    for name in OUR_FILES:
        found.update(json.loads(read(name)))
    return found


def _line(name: str) -> bytes | None:
    """The JSON of Kubernetes' definition ``name``."""
    text, wanted = _text(), name.encode()
    low, high = 0, len(text)
    while low < high:
        start = text.rfind(b"\n", 0, (low + high) // 2) + 1
        tab = text.index(b"\t", start)
        end = text.index(b"\n", tab)
        found = text[start:tab]
        if found == wanted:
            return text[tab + 1 : end]
        if found < wanted:
            low = end + 1
        else:
            high = start
    return None


class _Loaded(dict[str, dict[str, Any]]):
    """What was asked for so far; a missing name is looked up (``KeyError``: there is none)."""

    def __missing__(self, name: str) -> dict[str, Any]:
        found = ours().get(name)
        if found is None:
            line = _line(name)
            if line is None:
                raise KeyError(name)
            found = json.loads(line)
        self[name] = found
        return found


LOADED = _Loaded()
"""Definition by name: ``LOADED[name]``. Never change what you get."""


class Definitions(Mapping[str, dict[str, Any]]):
    """Every definition; iterating yields names without loading what they stand for."""

    def __getitem__(self, name: str) -> dict[str, Any]:
        return LOADED[name]

    def __iter__(self) -> Iterator[str]:
        for line in _text().splitlines():
            yield line[: line.index(b"\t")].decode()
        yield from ours()

    def __len__(self) -> int:
        return _text().count(b"\n") + len(ours())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in LOADED or name in ours() or bool(_line(name)))
