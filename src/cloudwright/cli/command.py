"""One verb's run: its words parsed, its session opened lazily, its errors turned into exit
codes.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Protocol

from cloudwright._base.errors import CloudwrightError, UsageError
from cloudwright.cli.terminal import Terminal

INTERRUPTED = 130


class Verb(Protocol):
    """What a module in ``verbs`` offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the verb's words."""

    def run(self, args: argparse.Namespace, terminal: Terminal) -> int:
        """Do it; returns the exit code. Raises CloudwrightError."""


class _Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print and exit, and keeps help texts as written."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see `{self.prog} --help`")


def run_verb(verb: str, words: Sequence[str]) -> int:
    """Run ``verb`` with its words; returns the exit code."""
    terminal = Terminal(colour=False if "--no-color" in words else None)
    verbose = "-v" in words or "--verbose" in words
    try:
        module = import_module(f"cloudwright.cli.verbs.{verb.strip('_').replace('-', '_')}")
        args = parser_of(verb, module).parse_args(list(words))
        terminal.quiet = bool(getattr(args, "quiet", False))
        return int(module.run(args, terminal))
    except CloudwrightError as error:
        terminal.flush()
        terminal.error(error)
        if verbose:
            raise
        return error.exit_code
    except KeyboardInterrupt:
        resume = " ".join(["cloudwright", verb, *words])
        terminal.note(f"\ninterrupted; nothing is lost. Go on with: {resume}")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our pipe has seen enough; nothing may be written any more, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        terminal.flush()
        terminal.error(_of_system(error, verb))
        if verbose:
            raise
        return CloudwrightError.exit_code


def _of_system(error: OSError, verb: str) -> CloudwrightError:
    """What the system refused, as the one line that a person reads."""
    where = f": {error.filename}" if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return CloudwrightError(
        f"{verb} cannot go on: {(error.strerror or repr(error)).lower()}{where}",
        hint="make room on the disk and try again" if full else "-v shows where it happened",
    )


def parser_of(verb: str, module: Verb) -> argparse.ArgumentParser:
    """The parser of one verb with the flags that every verb has."""
    parser = _Parser(
        prog=f"cloudwright {verb}",
        description=(getattr(module, "__doc__", "") or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    common = parser.add_argument_group("everywhere")
    common.add_argument("--kubeconfig", metavar="FILE", help="the cluster to talk to")
    common.add_argument("--context", metavar="NAME", help="a context of the kubeconfig")
    common.add_argument("--state-dir", metavar="DIR", help="the platform's state directory")
    common.add_argument("--no-color", action="store_true", help="no colours (also NO_COLOR=1)")
    common.add_argument("-v", "--verbose", action="store_true", help="show stack traces")
    common.add_argument("-q", "--quiet", action="store_true", help="only the answer and errors")
    return parser
