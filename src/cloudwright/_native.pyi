"""The Rust extension. Only a room's ``native.py`` imports it."""

from collections.abc import Mapping
from os import PathLike
from typing import Any, Literal, final

class LayerError(ValueError):
    """A layer is refused, damaged or too large."""

def version() -> str:
    """The version of the native parts."""

def compress_layer(
    tar: str | PathLike[str], target: str | PathLike[str]
) -> tuple[str, int, str, int]:
    """``(digest, size, diff_id, uncompressed_size)``; raises OSError."""

def extract_layer(
    blob: str | PathLike[str],
    target: str | PathLike[str],
    *,
    max_bytes: int | None = None,
    max_entries: int | None = None,
) -> tuple[str, int, int]:
    """``(diff_id, uncompressed_size, entries)``; raises LayerError and OSError."""

class CelError(ValueError):
    """``(kind, message, line, column)``; kind is ``compile``, ``evaluate`` or ``budget``; line 0:
    no place is known.
    """

@final
class CelDocument:
    """A JSON value in the form that expressions read."""

    def __init__(self, value: Any) -> None:
        """From Python objects, or from the bytes of JSON; raises ValueError."""

@final
class CelEnvironment:
    """Declared variables: JSON of name → ``{"schema", "optional", "resource"}``."""

    def __init__(self, variables: bytes, mutation: bool) -> None: ...
    def compile(self, source: str, result: Literal["bool", "string", "any"]) -> CelProgram: ...
    def compose(self, name: str, source: str) -> CelProgram: ...

@final
class CelActivation:
    """Values of an environment's variables."""

    def __init__(self, environment: CelEnvironment, bindings: Mapping[str, Any]) -> None: ...
    @property
    def cost(self) -> int: ...
    def question(self) -> dict[str, str] | None:
        """What the last failed evaluation wanted to know of the authorizer."""
    def answer(self, allowed: bool, reason: str, error: str) -> None:
        """The answer to ``question``."""

@final
class CelProgram:
    """A compiled expression; thread-safe."""

    @property
    def type(self) -> str: ...
    def uses(self, variable: str) -> bool: ...
    def evaluate(self, bindings: Mapping[str, Any] | CelActivation, cost_limit: int) -> Any: ...
