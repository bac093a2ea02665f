"""Reading objects from YAML or JSON files, keeping where each field stands, for errors that
point at it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudwright._base.errors import CloudwrightError, Place, UsageError

SUFFIXES = (".yaml", ".yml", ".json")
_LARGEST = 16 * 1024 * 1024


@dataclass(slots=True)
class Manifest:
    """One object of a file. ``positions`` maps a field path to its line and column (from 1)."""

    body: dict[str, Any]
    file: str
    text: list[str] = field(repr=False, default_factory=list)
    positions: dict[str, tuple[int, int, int]] = field(repr=False, default_factory=dict)

    def place(self, path: str) -> Place | None:
        """Where ``spec.containers[0].image`` (or its nearest parent) stands."""
        while path:
            if found := self.positions.get(path):
                line, column, width = found
                text = self.text[line - 1] if line <= len(self.text) else ""
                return Place(self.file, line, column, text, width)
            path = re.sub(r"(\.[^.\[]+|\[[^\]]*\]|^[^.\[]+)$", "", path)
        if found := self.positions.get(""):
            return Place(self.file, found[0], found[1], self.text[found[0] - 1], 1)
        return None


def read(names: list[str], *, recursive: bool = False) -> list[Manifest]:
    """Every object of the files, folders or ``-`` (standard input) named.

    Raises UsageError with the place for what is not YAML, not an object, or not there.
    """
    manifests: list[Manifest] = []
    for name in names:
        for file, text in _texts(name, recursive):
            manifests.extend(parse(text, file))
    if not manifests:
        raise UsageError(f"no objects in {', '.join(names)}", hint="give files with -f")
    return manifests


def _texts(name: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield "<stdin>", sys.stdin.read(_LARGEST)
        return
    path = Path(name)
    if path.is_dir():
        files = sorted(path.rglob("*") if recursive else path.iterdir())
        for file in files:
            if file.suffix in SUFFIXES and file.is_file():
                yield str(file), _read_file(file)
        return
    yield name, _read_file(path)


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist", hint="check the name after -f") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", cause=str(error)) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=error.strerror) from None


def parse(text: str, file: str) -> list[Manifest]:
    """The objects of one file; ``List`` objects are taken apart. Raises UsageError with the
    place.
    """
    import yaml

    lines = text.splitlines()
    loader = _loader()(text)
    found: list[Manifest] = []
    try:
        while loader.check_node():
            node = loader.get_node()
            manifest = Manifest({}, file, lines)
            body = _build(loader, node, "", manifest)
            if body is not None:
                found.extend(_objects(body, manifest))
    except yaml.YAMLError as error:
        raise _syntax_error(error, file, lines) from None
    finally:
        loader.dispose()
    return found


def _objects(body: Any, manifest: Manifest) -> Iterator[Manifest]:
    if not isinstance(body, dict):
        raise UsageError(
            f"{manifest.file} holds {type(body).__name__}, not an object",
            place=manifest.place(""),
            hint="an object starts with apiVersion and kind",
        )
    if str(body.get("kind", "")).endswith("List") and isinstance(body.get("items"), list):
        for number, item in enumerate(body["items"]):
            prefix = f"items[{number}]"
            inner = {
                path.removeprefix(prefix).lstrip("."): at
                for path, at in manifest.positions.items()
                if path.startswith(prefix)
            }
            yield from _objects(item, Manifest({}, manifest.file, manifest.text, inner))
        return
    for key in ("apiVersion", "kind"):
        if not isinstance(body.get(key), str):
            raise UsageError(
                f"{manifest.file}: an object without {key}",
                place=manifest.place(key),
                hint="for example: apiVersion: platform.example.com/v1, kind: MicroService",
            )
    manifest.body = body
    yield manifest


def _loader() -> Any:
    """A YAML loader as kubectl reads: no dates, no merge surprises beyond YAML 1.1."""
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc, valid-type]
        yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own interface)
            first: [(tag, pattern) for tag, pattern in pairs if not tag.endswith(":timestamp")]
            for first, pairs in base.yaml_implicit_resolvers.items()
        }

    return Loader


def _build(loader: Any, node: Any, path: str, manifest: Manifest) -> Any:
    import yaml

    mark, stop = node.start_mark, node.end_mark
    width = stop.column - mark.column if stop.line == mark.line else 1
    manifest.positions[path] = (mark.line + 1, mark.column + 1, max(width, 1))
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if isinstance(
                key, bool
            ):  # YAML 1.1 reads on, yes, no … so, and kubectl writes them back
                key = "true" if key else "false"
            elif isinstance(key, int | float):
                key = str(key)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not a text", key_node.start_mark
                )
            if key in result:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", key_node.start_mark
                )
            result[key] = _build(loader, value_node, f"{path}.{key}" if path else key, manifest)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [
            _build(loader, item, f"{path}[{number}]", manifest)
            for number, item in enumerate(node.value)
        ]
    return loader.construct_object(node, deep=True)


def _syntax_error(error: Any, file: str, lines: list[str]) -> CloudwrightError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if mark is None:
        return UsageError(f"{file} is not valid YAML", cause=problem)
    text = lines[mark.line] if mark.line < len(lines) else ""
    return UsageError(
        f"{file} is not valid YAML: {problem}",
        code="CW1020",
        place=Place(file, mark.line + 1, mark.column + 1, text),
        hint="check the indentation and quotes at this line",
    )
