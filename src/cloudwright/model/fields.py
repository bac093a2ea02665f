"""One thing that is wrong with one field, in the words of Kubernetes' ``field.Error``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Reason = Literal[
    "Required",
    "Invalid",
    "TypeInvalid",
    "Unknown",
    "Duplicate",
    "Forbidden",
    "NotSupported",
    "TooLong",
    "TooMany",
    "NotFound",
]

_TITLES: dict[str, str] = {
    "Required": "Required value",
    "Invalid": "Invalid value",
    "TypeInvalid": "Invalid value",
    "Unknown": "Unknown field",
    "Duplicate": "Duplicate value",
    "Forbidden": "Forbidden",
    "NotSupported": "Unsupported value",
    "TooLong": "Too long",
    "TooMany": "Too many",
    "NotFound": "Not found",
}
_WITHOUT_VALUE = ("Required", "Forbidden", "TooLong", "Unknown")
OMITTED: object = object()
"""The value of an ``invalid`` field that is too large, or too secret, to be shown."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """``path`` (``spec.containers[0].image``) is wrong for ``reason``; ``message`` says how.

    ``value`` is what was found there; it is shown only where upstream shows it.
    """

    path: str
    reason: Reason
    message: str = ""
    value: object = None

    @property
    def cause(self) -> str:
        """The ``reason`` of a ``metav1.StatusCause``, for example ``FieldValueRequired``."""
        return f"FieldValue{self.reason}"

    @property
    def body(self) -> str:
        """The text after the path: ``Invalid value: "x": must be …``."""
        text = _TITLES[self.reason]
        if self.reason not in _WITHOUT_VALUE and self.value is not OMITTED:
            text += f": {_shown(self.value)}"
        return f"{text}: {self.message}" if self.message else text

    def __str__(self) -> str:
        return f"{self.path}: {self.body}" if self.path else self.body

    def as_cause(self) -> dict[str, str]:
        """The ``metav1.StatusCause`` of this error."""
        return {"reason": self.cause, "message": self.body, "field": self.path}


class Verdict(list[FieldError]):
    """What is wrong with an object, and what is wrong but tolerated (``warnings``)."""

    def __init__(self, errors: Iterable[FieldError] = (), warnings: Iterable[str] = ()) -> None:
        super().__init__(errors)
        self.warnings = list(warnings)


def required(path: str, message: str = "") -> FieldError:
    """The field must be given."""
    return FieldError(path, "Required", message)


def invalid(path: str, value: object, message: str) -> FieldError:
    """The field has a value that it may not have."""
    return FieldError(path, "Invalid", message, value)


def duplicate(path: str, value: object) -> FieldError:
    """The value stands twice where it may stand once."""
    return FieldError(path, "Duplicate", "", value)


def forbidden(path: str, message: str) -> FieldError:
    """The field may not be set (like this)."""
    return FieldError(path, "Forbidden", message)


def unknown(path: str, message: str = "") -> FieldError:
    """There is no such field."""
    return FieldError(path, "Unknown", message)


def not_supported(path: str, value: object, allowed: Iterable[str]) -> FieldError:
    """The value is none of ``allowed``, which are told in their order."""
    names = ", ".join(f'"{name}"' for name in allowed)
    return FieldError(path, "NotSupported", f"supported values: {names}", value)


def too_long(path: str, limit: int, unit: str = "bytes") -> FieldError:
    """The text is longer than ``limit``."""
    return FieldError(path, "TooLong", f"may not be more than {limit} {unit}")


def not_found(path: str, value: object) -> FieldError:
    """The value names something that is not there."""
    return FieldError(path, "NotFound", "", value)


def too_many(path: str, count: int, limit: int) -> FieldError:
    """The list has more entries than ``limit``."""
    return FieldError(path, "TooMany", f"must have at most {limit} items", count)


def summary(kind: str, group: str, name: str, errors: Iterable[FieldError]) -> str:
    """The ``message`` of a 422 answer: ``Pod "x" is invalid: path: body`` or a list of them."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    title = f"{kind}.{group}" if group else kind
    what = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return f'{title} "{name}" is invalid: {what}'


def key(path: str, name: str) -> str:
    """The path of a map's entry: ``metadata.labels[app]``."""
    return f"{path}[{name}]"


_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    '"': '\\"', "\\": "\\\\",
}  # fmt: skip


def quoted(text: str) -> str:
    """A text as Go's ``%q`` writes it."""
    return f'"{"".join(map(_letter, text))}"'


def _letter(letter: str) -> str:
    if letter in _ESCAPES or letter.isprintable():
        return _ESCAPES.get(letter, letter)
    code = ord(letter)
    return (
        f"\\x{code:02x}"
        if code < 0x80
        else f"\\u{code:04x}"
        if code < 1 << 16
        else f"\\U{code:08x}"
    )


def _shown(value: Any) -> str:
    if isinstance(value, str) and not value.isprintable():
        return quoted(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
