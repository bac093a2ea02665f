"""Resources from YAML or JSON text, with the place of each error.

A document is a resource with its ``@type``, or ``resources: […]`` of such (as in Envoy's own files
of dynamic resources), or ``static_resources: {listeners: …, clusters: …, secrets: …}`` (as in its
bootstrap), also both of the last two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from cloudwright._base.errors import Place, UsageError
from cloudwright.mesh.xds.cache import Resource
from cloudwright.mesh.xds.encode import EncodeError, from_json
from cloudwright.mesh.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, SHORT

_STATIC = {
    "listeners": LISTENER,
    "clusters": CLUSTER,
    "secrets": SECRET,
    "routes": ROUTE,
    "endpoints": ENDPOINT,
}
_LARGEST = 64 * 1024 * 1024


class DocumentError(UsageError):
    """A file of resources that cannot be used; ``place`` says where."""

    default_code = "CW6011"


@dataclass(slots=True)
class Documents:
    """What the files say."""

    resources: dict[str, dict[str, Resource]] = field(default_factory=dict)
    """By type URL, then by name."""
    sources: dict[tuple[str, str], Place] = field(default_factory=dict)

    def count(self) -> int:
        """How many resources there are."""
        return sum(len(found) for found in self.resources.values())


def parse(text: str, file: str, into: Documents) -> None:
    """Add the resources of ``text`` (from ``file``).

    Raises:
        DocumentError: it is not YAML, or not resources of xDS, or one is there twice.
    """
    if len(text) > _LARGEST:
        raise DocumentError(f"{file} has {len(text)} characters; at most {_LARGEST} are read")
    lines = text.splitlines()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            value = loader.construct_document(node)
            if value is not None:
                _document(value, node, file, lines, into)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = _place(file, lines, mark) if mark else None
        text = f"{file} is not YAML: {error.problem}"
        raise DocumentError(text, place=place) from None
    except yaml.YAMLError as error:
        raise DocumentError(f"{file} is not YAML: {error}") from None
    finally:
        loader.dispose()


def _document(value: Any, node: Any, file: str, lines: list[str], into: Documents) -> None:
    for url, one, path in _entries(value, file, node, lines):
        try:
            if not isinstance(one, Mapping):
                raise EncodeError(f"must be a resource, not {type(one).__name__}")
            url, made = from_json(one, url)
        except EncodeError as error:
            where = f"{path}.{error.field}".strip(".") if error.field else path
            place = _place(file, lines, _mark(node, where))
            text = f"{file}:{place.line}: {where or 'document'}: {error.reason}"
            raise DocumentError(text, place=place) from None
        place = _place(file, lines, _mark(node, path))
        earlier = into.sources.get((url, made.name))
        if earlier is not None:
            text = (
                f"{file}:{place.line}: {path or 'document'}: {SHORT[url]} has {made.name!r}"
                f" already, from {earlier.file}:{earlier.line}"
            )
            raise DocumentError(text, place=place, hint="give it another name")
        into.sources[(url, made.name)] = place
        into.resources.setdefault(url, {})[made.name] = made


def _entries(value: Any, file: str, node: Any, lines: list[str]) -> Iterator[tuple[str, Any, str]]:
    """Type URL (empty: it says itself), resource and path of each."""
    if isinstance(value, Mapping) and "@type" in value:
        yield "", value, ""
        return
    known = isinstance(value, Mapping) and value.keys() & {"resources", "static_resources"}
    if not known:
        place = _place(file, lines, node.start_mark)
        text = f"{file}:{place.line}: neither a resource (@type) nor resources: […]"
        raise DocumentError(text, place=place, hint="see docs/how-to/drive-envoy.md for an example")
    found = value.get("resources") or []
    for number, one in enumerate(found if isinstance(found, list) else [found]):
        yield "", one, f"resources[{number}]"
    static = value.get("static_resources") or {}
    for key, listed in static.items() if isinstance(static, Mapping) else ():
        path = f"static_resources.{key}"
        if key not in _STATIC:
            place = _place(file, lines, _mark(node, path))
            text = f"{file}:{place.line}: {path}: there is no such list"
            raise DocumentError(text, place=place, hint=f"known: {', '.join(_STATIC)}")
        for number, one in enumerate(listed or []):
            yield _STATIC[key], one, f"{path}[{number}]"


def _mark(node: Any, path: str) -> Any:
    """Where a field stands, or its nearest parent that is there."""
    mark = node.start_mark
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if index:
            listed = node.value if isinstance(node, yaml.SequenceNode) else []
            if int(index) >= len(listed):
                return mark
            node = listed[int(index)]
            mark = node.start_mark
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        camel = re.sub(r"_(\w)", lambda m: m[1].upper(), name)
        child = next(((k, v) for k, v in pairs if k.value in (name, camel)), None)
        if child is None:
            return mark
        mark, node = child[0].start_mark, child[1]
    return mark


def _place(file: str, lines: list[str], mark: Any) -> Place:
    line = mark.line + 1
    return Place(file, line, mark.column + 1, lines[line - 1] if line <= len(lines) else "")
