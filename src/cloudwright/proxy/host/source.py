"""One file of the folder → its filters, or an error with file, line and reason."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from cloudwright.proxy.host.entry import Entry, entry_of
from cloudwright.proxy.host.failures import describe, place_of
from cloudwright.proxy.sdk.declaration import DeclarationError
from cloudwright.proxy.sdk.filter import Filter

SUFFIXES = (".py", ".wasm")
_MODULES = "cloudwright_filters"


@dataclass(frozen=True, slots=True)
class SourceError(Exception):
    """A file that gives no filters. ``line`` is 0 when no line is to blame."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}"


def is_source(name: str) -> bool:
    """Whether a file of this name holds filters (``_x.py`` is a module that filters share)."""
    return name.endswith(SUFFIXES) and not name.startswith(("_", "."))


def load(path: Path, version: int) -> list[Entry]:
    """The filters of one file, started.

    Raises:
        SourceError: it cannot be read, run or understood.
    """
    overrides = _overrides(path.with_suffix(".yaml"))
    if path.suffix == ".wasm":
        return [_compiled(path, overrides)]
    module = _run(path, version)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Filter)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]
    if not classes:
        raise SourceError(str(path), 0, "defines no class that derives from Filter")
    if overrides and len(classes) > 1:
        raise SourceError(
            str(path.with_suffix(".yaml")), 0, f"{path.name} has more than one filter"
        )
    entries: list[Entry] = []
    try:
        for class_ in classes:
            entries.append(_started(class_, path, overrides))
    except SourceError:
        stop(entries)
        raise
    return entries


def stop(entries: list[Entry]) -> list[SourceError]:
    """Tell filters that they are over; returns what they raised."""
    errors = []
    for entry in entries:
        try:
            entry.instance.stop()
        except Exception as error:
            line = place_of(error, entry.file)
            errors.append(SourceError(entry.file, line, describe(error, "")))
    return errors


def forget_shared(folder: Path) -> None:
    """Modules that filters share are imported anew by the next ``load``."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).parent == folder:
            del sys.modules[name]


def _run(path: Path, version: int) -> ModuleType:
    name = f"{_MODULES}.{path.stem.replace('-', '_').replace('.', '_')}_{version}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    module = module_from_spec(spec)
    # Dataclasses and pickling look their module up by name.
    sys.modules[name] = module
    try:
        # Compiled from the text itself: a cached file of the same second would hide a change.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # noqa: S102
    except OSError as error:
        raise SourceError(str(path), 0, f"cannot be read: {error.strerror}") from error
    except (Exception, SystemExit) as error:
        raise SourceError(str(path), place_of(error, str(path)), describe(error, "")) from error
    finally:
        if sys.exc_info()[0] is not None:
            sys.modules.pop(name, None)
    return module


def _started(class_: type[Filter], path: Path, overrides: dict[str, Any]) -> Entry:
    try:
        entry = entry_of(class_(), str(path), overrides)
        entry.instance.start()
    except DeclarationError as error:
        if error.attribute.partition(".")[0] in overrides:
            raise SourceError(str(path.with_suffix(".yaml")), 0, str(error)) from error
        raise SourceError(str(path), _line_of(path, class_, error.attribute), str(error)) from error
    except Exception as error:
        line = place_of(error, str(path))
        raise SourceError(str(path), line, describe(error, "")) from error
    return entry


def _compiled(path: Path, overrides: dict[str, Any]) -> Entry:
    from cloudwright.proxy.wasm.plugin import PluginError, filter_of

    try:
        entry = entry_of(filter_of(path), str(path), overrides, kind="wasm")
        entry.instance.start()
    except PluginError as error:
        raise SourceError(str(path), 0, str(error)) from error
    except DeclarationError as error:
        raise SourceError(str(path.with_suffix(".yaml")), 0, str(error)) from error
    except Exception as error:
        raise SourceError(str(path), 0, describe(error, "")) from error
    return entry


def _overrides(path: Path) -> dict[str, Any]:
    """The YAML file beside a filter; empty when there is none."""
    if not path.is_file():
        return {}
    import yaml

    try:
        value = yaml.safe_load(path.read_bytes())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise SourceError(str(path), line, error.problem or "no YAML") from error
    except yaml.YAMLError as error:
        raise SourceError(str(path), 0, str(error)) from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SourceError(str(path), 1, "a mapping of match, timeout_ms, on_error, …")
    return value


def _line_of(path: Path, class_: type[Filter], attribute: str) -> int:
    """The line of the class's attribute, or of the class itself."""
    wanted = attribute.partition(".")[0]
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef) and node.name == class_.__name__:
            lines = [line.lineno for line in node.body if wanted in _names(line)]
            return lines[-1] if lines else node.lineno
    return 0


def _names(line: ast.stmt) -> set[str]:
    """What a statement of a class's body gives a value to."""
    if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef):
        return {line.name}
    targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}
