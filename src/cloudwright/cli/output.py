"""The forms of ``-o``: table, wide, json, yaml, name, jsonpath=…, custom-columns=…, go by
kubectl's habits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from cloudwright._base.errors import UsageError
from cloudwright.cli.terminal import Terminal, columns

Object = dict[str, Any]
FORMS = "table, wide, json, yaml, name, jsonpath=EXPRESSION, custom-columns=NAME:.path,…"


def check(form: str) -> str:
    """``form`` when it is one we know. Raises UsageError."""
    if form in ("", "table", "wide", "json", "yaml", "name") or form.startswith(
        ("jsonpath=", "custom-columns=")
    ):
        return form
    raise UsageError(f"-o {form}: there is no such form", hint=f"one of {FORMS}")


def is_table(form: str) -> bool:
    """Whether the server's own table is wanted."""
    return form in ("", "table", "wide")


def show(terminal: Terminal, form: str, value: Object) -> None:
    """Print an object or a ``List`` in any form but a table."""
    if form == "json":
        terminal.data(json.dumps(value, indent=4, ensure_ascii=False))
    elif form == "yaml":
        terminal.data(to_yaml(value).rstrip("\n"))
    elif form == "name":
        for item in items_of(value):
            terminal.data(typed_name(item))
    elif form.startswith("jsonpath="):
        terminal.data(jsonpath(form.removeprefix("jsonpath="), value))
    elif form.startswith("custom-columns="):
        _custom_columns(terminal, form.removeprefix("custom-columns="), items_of(value))


def to_yaml(value: object) -> str:
    """``value`` as YAML, keys in the order they have."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True))


def items_of(value: Object) -> list[Object]:
    """The members of a list, or the one object itself."""
    items = value.get("items")
    return list(items) if isinstance(items, list) else [value]


def typed_name(item: Object) -> str:
    """``deployment.apps/web``."""
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    kind = str(item.get("kind", "")).lower()
    return f"{kind}.{group}/{_name(item)}" if group else f"{kind}/{_name(item)}"


def _name(item: Object) -> str:
    return str(item.get("metadata", {}).get("name", ""))


def show_table(terminal: Terminal, table: Object, *, wide: bool, namespaces: bool) -> None:
    """Print a ``meta.k8s.io/v1 Table``; wide columns and the namespace on request."""
    header, rows = table_cells(table, wide=wide, namespaces=namespaces)
    for line in columns(header, rows):
        terminal.data(line)


def table_cells(
    table: Object, *, wide: bool, namespaces: bool
) -> tuple[list[str], list[list[str]]]:
    """The header and rows that a person sees of a ``Table``."""
    definitions = table.get("columnDefinitions", [])
    shown = [i for i, column in enumerate(definitions) if wide or not column.get("priority")]
    header = [str(definitions[i]["name"]).upper() for i in shown]
    rows = []
    for row in table.get("rows") or []:
        cells = [_cell(row["cells"][i]) for i in shown]
        if namespaces:
            cells.insert(0, str(row.get("object", {}).get("metadata", {}).get("namespace", "")))
        rows.append(cells)
    if namespaces:
        header.insert(0, "NAMESPACE")
    return header, rows


def _cell(value: object) -> str:
    return "<none>" if value is None or value == "" else str(value).split("\n", 1)[0]


def _custom_columns(terminal: Terminal, spec: str, items: Sequence[Object]) -> None:
    names, paths = [], []
    for part in spec.split(","):
        name, colon, path = part.partition(":")
        if not (name and colon and path):
            raise UsageError(f"custom-columns: {part!r} is not NAME:.path")
        names.append(name)
        paths.append(path)
    rows = [
        [",".join(map(_text, find(path, item))) or "<none>" for path in paths] for item in items
    ]
    terminal.table(names, rows)


_STEP = re.compile(
    r"\.\.(?P<deep>[\w-]+)|\.?\[\?\(@(?P<test>[^)]*)\)\]|\.?\[(?P<index>[^\]]*)\]"
    r"|\.(?P<key>(?:[\w*/-]|\\\.)+)|(?P<bare>^[\w-]+)"
)
_TEST = re.compile(r"""\.?(?P<path>[\w.-]+)\s*(?:(?P<op>==|!=)\s*["']?(?P<value>[^"']*)["']?)?""")


def find(path: str, value: object) -> list[Any]:
    """Values that a JSONPath names (kubectl's dialect: keys, indexes, slices, ``*``, filters,
    ``..``).
    """
    current: list[Any] = [value]
    position = 0
    path = path.strip().removeprefix("$").removeprefix("@")
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None or match.end() == position:
            if path[position:] == ".":
                break
            raise UsageError(f"jsonpath: cannot read {path[position:]!r} in {path!r}")
        position = match.end()
        current = [found for item in current for found in _step(match, item)]
    return current


def _step(match: re.Match[str], item: Any) -> list[Any]:
    if deep := match["deep"]:
        return list(_descend(deep, item))
    if (test := match["test"]) is not None:
        return [member for member in item if _holds(test, member)] if isinstance(item, list) else []
    key = match["key"] or match["bare"]
    if key is None:
        index = (match["index"] or "").strip()
        if isinstance(item, list) and index != "*":
            return _index(item, index)
        key = index.strip("'\"")
    key = key.replace("\\.", ".")
    if key == "*":
        members = item.values() if isinstance(item, dict) else item
        return list(members) if isinstance(item, dict | list) else []
    return [item[key]] if isinstance(item, dict) and key in item else []


def _index(items: list[Any], index: str) -> list[Any]:
    try:
        if ":" in index:
            start, _, stop = index.partition(":")
            return items[int(start) if start else None : int(stop) if stop else None]
        return [items[int(number)] for number in index.split(",")]
    except ValueError:
        raise UsageError(f"jsonpath: [{index}] is not an index") from None
    except IndexError:
        return []


def _descend(key: str, item: Any) -> list[Any]:
    found: list[Any] = []
    if isinstance(item, dict):
        found += [item[key]] if key in item else []
        for member in item.values():
            found += _descend(key, member)
    elif isinstance(item, list):
        for member in item:
            found += _descend(key, member)
    return found


def _holds(test: str, item: Any) -> bool:
    match = _TEST.fullmatch(test.strip())
    if match is None:
        raise UsageError(f"jsonpath: cannot read the filter {test!r}")
    found = find("." + match["path"], item)
    if match["op"] is None:
        return bool(found)
    equal = bool(found) and _text(found[0]) == match["value"]
    return equal if match["op"] == "==" else not equal


def jsonpath(template: str, value: Object) -> str:
    """A kubectl template: text with ``{path}``, ``{range path}…{end}``, ``{"text"}``."""
    parts = re.findall(r"\{[^}]*\}|[^{]+", template.strip("'"))
    text, rest = _render(parts, value)
    if rest:
        raise UsageError("jsonpath: {end} without {range}")
    return text


def _render(parts: list[str], value: Any) -> tuple[str, list[str]]:
    out = []
    while parts:
        part, parts = parts[0], parts[1:]
        if not part.startswith("{"):
            out.append(part.replace("\\n", "\n").replace("\\t", "\t"))
            continue
        inner = part[1:-1].strip()
        if inner == "end":
            return "".join(out), [part, *parts]
        if inner.startswith("range "):
            rest = parts
            for item in find(inner[6:], value) or [None]:
                text, rest = _render(parts, item)
                out.append(text if item is not None else "")
            if not rest:
                raise UsageError("jsonpath: {range} without {end}")
            parts = rest[1:]
        elif inner.startswith(('"', "'")):
            out.append(inner[1:-1].replace("\\n", "\n").replace("\\t", "\t"))
        else:
            out.append(" ".join(map(_text, find(inner, value))))
    return "".join(out), []


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"))
    return "" if value is None else str(value)
