"""YAML bodies, read as upstream's parser reads them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_VALUES_MAX = 400_000
"""Values that a document may have once its aliases are written out."""


class YamlError(ValueError):
    """The bytes are no YAML; the message is that of upstream's parser where it can be told."""


def repeated_keys(body: bytes) -> list[tuple[int, str]]:
    """``(line, key)`` of every key of a YAML or JSON body that its map has already."""
    import yaml

    found: list[tuple[int, str]] = []
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        waiting = [yaml.compose(body, loader)]
    except yaml.YAMLError:
        return []
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        found.append((key.start_mark.line + 1, key.value))
                    seen.add(key.value)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    return sorted(found)


def yaml_problem(body: bytes) -> str:
    """Why a body is no YAML, in the words of libyaml (which upstream's parser is made after)."""
    import yaml

    try:
        yaml.compose(body, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark is not None else 0
        if line and isinstance(error, yaml.scanner.ScannerError):
            line += 1
        if error.problem == "found undefined alias":
            return f"yaml: unknown anchor '{_undefined(body)}' referenced"
        return f"yaml: {f'line {line}: ' if line else ''}{error.problem}"
    except yaml.YAMLError as error:
        return f"yaml: {error}"
    return ""


def _undefined(body: bytes) -> str:
    """The first alias of what has no anchor before it."""
    import yaml

    seen: set[str] = set()
    for event in yaml.parse(body, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) and event.anchor not in seen:
            return str(event.anchor)
        seen.add(str(getattr(event, "anchor", "")))
    return ""


@lru_cache(maxsize=1)
def _yaml_loader() -> Any:
    """A loader that understands scalars as upstream's does: times stay text, ``y`` is true."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # six times as fast

    class Loader(base):  # type: ignore[misc]
        """Its tables are its own: those of ``SafeLoader`` are shared and never changed."""

    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in found if tag.endswith(":null")]
        for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    words = "y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE"
    for tag, pattern, first in (
        ("bool", words, "yYnNtTfFoO"),
        ("int", "[-+]?(0b[0-1_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)", "-+0123456789"),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ):
        full = re.compile(f"^(?:{pattern})$")
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", full, list(first))
    Loader.bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}
    return Loader


def decode(body: bytes) -> Any:
    """The first document of a body.

    Raises:
        YamlError: it cannot be read, or its aliases make it too large.
    """
    import yaml

    try:
        value = next(iter(yaml.load_all(body, _yaml_loader())), None)
    except (yaml.YAMLError, ValueError) as error:
        raise YamlError(yaml_problem(body) or f"yaml: {error}") from error
    if b"*" in body:
        _size(value, {})
    return value


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values there are, each alias counted again.

    Raises:
        YamlError: too many, or one contains itself.
    """
    if not isinstance(value, dict | list):
        return 1
    size = known.get(id(value))
    if size is None:
        known[id(value)] = -1
        inner = value.values() if isinstance(value, dict) else value
        size = known[id(value)] = 1 + sum(_size(one, known) for one in inner)
    if size < 0:
        raise YamlError("yaml: a value contains itself")
    if size > _VALUES_MAX:
        raise YamlError("yaml: document contains excessive aliasing")
    return size
