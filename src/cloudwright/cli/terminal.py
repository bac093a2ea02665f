"""Writing to people and to pipes: data on stdout, everything else on stderr, colour only on a
terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TextIO

from cloudwright._base.environment import variable
from cloudwright._base.errors import CloudwrightError, render

COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1, "dim": 2}
"""Fixed meanings: green success, red error, yellow warning, cyan hint, path or literal."""
PROGRESS_AFTER_SECONDS = 1.0


class Terminal:
    """The two streams of one command."""

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        *,
        colour: bool | None = None,
        quiet: bool = False,
    ) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        allowed = variable("NO_COLOR") is None and colour is not False
        self._colour_out = allowed and self.out.isatty()
        self._colour_err = allowed and self.err.isatty()
        self.quiet = quiet
        self.interactive = self.err.isatty() and not quiet

    def paint(self, text: str, colour: str, *, error: bool = False) -> str:
        """``text`` in a colour, where the stream shows colours."""
        if not (self._colour_err if error else self._colour_out):
            return text
        return f"\033[{COLOURS[colour]}m{text}\033[0m"

    def data(self, text: str) -> None:
        """A line (or lines) of the answer."""
        self.out.write(text + "\n")

    def flush(self) -> None:
        """Let a reader of the pipe see it now."""
        self.out.flush()

    def note(self, text: str) -> None:
        """Something about the work, not part of the answer; silent with ``-q``."""
        if not self.quiet:
            self.err.write(text + "\n")
            self.err.flush()

    def warn(self, text: str) -> None:
        """A warning; shown also with ``-q``."""
        self.err.write(f"{self.paint('warning:', 'yellow', error=True)} {text}\n")

    def error(self, error: CloudwrightError) -> None:
        """An error with its place, cause and hint."""
        lines = render(error).splitlines()
        lines[0] = lines[0].replace("error:", self.paint("error:", "red", error=True), 1)
        shown = [
            line.replace("hint:", self.paint("hint:", "cyan", error=True), 1)
            if line.startswith("hint:")
            else line
            for line in lines
        ]
        self.err.write("\n".join(shown) + "\n")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Aligned columns, two or more spaces apart, as kubectl prints them."""
        for line in columns(header, rows):
            self.data(line)

    def ask(self, question: str) -> bool:
        """A yes or no from a person; no when there is none."""
        if not (sys.stdin.isatty() and self.err.isatty()):
            return False
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; the last column is not padded."""
    whole = [list(map(str, header)), *(list(map(str, row)) for row in rows)]
    if not header:
        whole = whole[1:]
    if not whole:
        return []
    widths = [max(len(row[i]) for row in whole) for i in range(len(whole[0]))]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in whole
    ]


class Progress:
    """A block of lines that is redrawn in place on a terminal; piped, each change is one line.

    On a terminal nothing is shown before ``PROGRESS_AFTER_SECONDS``, so quick work stays silent.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._drawn = 0
        self._seen: set[str] = set()
        self._start = monotonic()

    def show(self, lines: Sequence[str]) -> None:
        """The state now."""
        terminal = self._terminal
        if terminal.quiet:
            return
        if not terminal.interactive:
            for line in lines:
                if line not in self._seen:
                    self._seen.add(line)
                    terminal.note(line)
            return
        if monotonic() - self._start < PROGRESS_AFTER_SECONDS:
            return
        self.clear()
        terminal.err.write("".join(f"{line}\033[K\n" for line in lines))
        terminal.err.flush()
        self._drawn = len(lines)

    def clear(self) -> None:
        """Take the block away (the final state is printed as ordinary lines)."""
        if self._drawn:
            self._terminal.err.write(f"\033[{self._drawn}A\033[J")
            self._drawn = 0
