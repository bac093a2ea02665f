"""An exception of a filter as one line: what, and where in the filter's own file."""

from __future__ import annotations

import traceback
from pathlib import Path


def place_of(error: BaseException, file: str) -> int:
    """The line of ``file`` at which it was raised, or which called what raised it; 0: none."""
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    lines = [
        frame.lineno or 0
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    return lines[-1] if lines else 0


def describe(error: BaseException, file: str) -> str:
    """As ``auth.py:12: KeyError: 'user'``; without a ``file``, without the place."""
    line = place_of(error, file) if file else 0
    where = f"{Path(file).name}:{line}: " if line else ""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{where}{type(error).__name__}: {text}".rstrip(": ")
