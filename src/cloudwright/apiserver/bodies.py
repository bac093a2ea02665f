"""Request bodies: decoding, and finding what stands twice in them."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import orjson

from cloudwright.apiserver.errors import bad_request, unsupported_media_type
from cloudwright.model.objects import Object

_DEPTH_SAFE = 200
_SPACED = re.compile(rb'"\s+:')
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")


def media_type(headers: Any) -> str:
    """The content type without its parameters, lower-case; JSON when there is none."""
    text = str(headers.get("content-type") or "application/json")
    return text.partition(";")[0].strip().lower()


def decode_object(body: bytes, content_type: str) -> Object:
    """The object in a body.

    Raises:
        ApiError: 400, it cannot be parsed or is no object; 415, not JSON or YAML.
    """
    value = decode(body, content_type)
    if not isinstance(value, dict):
        raise bad_request("the body must be a JSON object")
    return value


def decode(body: bytes, content_type: str) -> Any:
    """The value in a body."""
    if content_type in _YAML:
        return _decode_yaml(body)
    if content_type not in ("application/json", ""):
        raise unsupported_media_type(
            f"the body of the request was in an unknown format ({content_type}); "
            "accepted media types include: application/json, application/yaml"
        )
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body is not valid JSON: {error}") from error
    if body.count(b"{") + body.count(b"[") > _DEPTH_SAFE:
        check_encodes(value)
    return value


def check_encodes(value: Any) -> None:
    """Refuse what could be read but not be written again.

    Raises:
        ApiError: 400, it is nested too deeply, or has a number of more than 64 bits.
    """
    try:
        orjson.dumps(value)
    except TypeError as error:
        what = "is nested too deeply" if "ecursion" in str(error) else f"has a value: {error}"
        raise bad_request(f"the body {what}") from error


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all of its members, repeated ones too."""


def duplicates(body: bytes, decoded: Any) -> list[str]:
    """Paths of the members that their JSON object has twice; none for a body that is not JSON.

    ``decoded`` is the body's value: counting the members of both tells most bodies without.
    """
    if not body.lstrip().startswith(b"{"):
        return []
    again = orjson.dumps(decoded)
    if body.count(b'":') == again.count(b'":') and _SPACED.search(body) is None:
        return []
    found: list[str] = []
    _walk(json.loads(body, object_pairs_hook=_Pairs), "", found)
    return found


def _walk(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, inner in value:
            here = f"{path}.{name}" if path else name
            if name in seen and here not in found:
                found.append(here)
            seen.add(name)
            _walk(inner, here, found)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _walk(inner, f"{path}[{index}]", found)


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
        if isinstance(error, yaml.scanner.ScannerError):
            line += 1
        return f"yaml: {f'line {line}: ' if line else ''}{error.problem}"
    except yaml.YAMLError as error:
        return f"yaml: {error}"
    return ""


@lru_cache(maxsize=1)
def _yaml_loader() -> Any:
    """A loader that understands scalars as upstream's does: times stay text, ``y`` is true."""
    import yaml

    class Loader(yaml.SafeLoader):
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


def _decode_yaml(body: bytes) -> Any:
    import yaml

    loader = _yaml_loader()
    try:
        # Aliases could name a value a million times in a few bytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(body, loader)):
            raise bad_request("aliases (*name) are not allowed in a YAML body")
        value = yaml.load(body, loader)  # noqa: S506  (derived from SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise bad_request(f"the body is not valid YAML: {error}") from error
    check_encodes(value)
    return value
