"""The error every room derives from, and the one renderer that shows it.

CloudwrightError                 something failed (exit 1)
├─ UsageError                    wrong words on the command line or in a file (exit 2)
├─ NotFoundError                 the named thing does not exist (exit 3)
├─ TimedOutError                 it did not happen in time (exit 4)
├─ NotAllowedError               no credentials, or not enough rights (exit 5)
├─ UnreachableError              the other side does not answer (exit 6)
└─ ConflictError                 somebody else changed or holds it (exit 7)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a text an error lies: 1-based line and column, the line's text, and what to
    underline.
    """

    file: str
    line: int
    column: int
    text: str = ""
    width: int = 1


class CloudwrightError(Exception):
    """Something failed. ``code`` is stable (``CW0000``), ``hint`` says what to do about it."""

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "CW1000"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        cause: str | None = None,
        hint: str | None = None,
        place: Place | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.cause = cause
        self.hint = hint
        self.place = place


class UsageError(CloudwrightError):
    """Wrong words on the command line or in a file."""

    exit_code = 2
    default_code = "CW1001"


class NotFoundError(CloudwrightError):
    """The named thing does not exist."""

    exit_code = 3
    default_code = "CW1002"


class TimedOutError(CloudwrightError):
    """It did not happen in the time that was given."""

    exit_code = 4
    default_code = "CW1003"


class NotAllowedError(CloudwrightError):
    """No credentials, or not enough rights."""

    exit_code = 5
    default_code = "CW1004"


class UnreachableError(CloudwrightError):
    """The other side does not answer."""

    exit_code = 6
    default_code = "CW1005"


class ConflictError(CloudwrightError):
    """Somebody else changed or holds it."""

    exit_code = 7
    default_code = "CW1006"


def render(error: CloudwrightError) -> str:
    """The text that a person reads: what, where, why, what to do (no trailing newline, no
    colour).
    """
    lines = [f"error: {error.message}"]
    place = error.place
    if place is not None:
        gutter = " " * len(str(place.line))
        lines.append(f"{gutter}--> {place.file}:{place.line}:{place.column}")
        if place.text:
            lines.append(f"{gutter} |")
            lines.append(f"{place.line} | {place.text}")
            lines.append(f"{gutter} | {' ' * (place.column - 1)}{'^' * max(place.width, 1)}")
    if error.cause:
        lines.append(f"  = cause: {error.code} {error.cause}")
    else:
        lines.append(f"  = code: {error.code}")
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines)
