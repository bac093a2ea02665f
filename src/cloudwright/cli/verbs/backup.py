"""Save the platform's state to one file, also while it runs.

The file has every object, the certificate authorities, keys and tokens, and the settings; not
images, logs or volumes. Keep it like a password: it is readable by its owner only (0600).

  cloudwright backup /backups/monday.cwb
  cloudwright backup --verify /backups/monday.cwb
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Progress, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudwright.platform.archive import Manifest

WIDTH = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Words and flags of ``backup``."""
    parser.add_argument("file", metavar="FILE", help="the file to write")
    parser.add_argument("--verify", action="store_true", help="only check FILE, an earlier backup")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Write or check it."""
    from cloudwright.platform import backups

    check_form(args.output)
    file = Path(args.file).absolute()
    progress = Progress(terminal)
    if args.verify:
        manifest = backups.verify(file, bar(terminal, progress))
        said = "is good"
    else:
        paths = Paths.find(args.state_dir)
        manifest = backups.create(
            paths, file, overwrite=args.overwrite, progress=bar(terminal, progress)
        )
        said = "is written"
    progress.clear()
    if args.output == "json":
        terminal.data(json.dumps({"file": str(file), **facts(manifest)}, indent=2))
    else:
        terminal.data(f"{terminal.paint('✓', 'green')} {file} {said}: {summary(manifest)}")
    return 0


def check_form(form: str) -> None:
    """Raise UsageError unless ``-o`` is absent or json."""
    if form not in ("", "json"):
        raise UsageError(f"-o {form}: there is no such form", hint="json")


def facts(manifest: Manifest) -> dict[str, object]:
    """The manifest as JSON."""
    return asdict(manifest)


def summary(manifest: Manifest) -> str:
    """One line about a backup."""
    return (
        f"{manifest.keys} objects at revision {manifest.revision}, "
        f"{len(manifest.files)} files, {manifest.bytes / 1e6:.1f} MB, of {manifest.created}"
    )


def bar(terminal: Terminal, progress: Progress) -> Callable[[str, float], None]:
    """Shows ``text`` with a bar; piped, each step once."""

    def show(text: str, part: float) -> None:
        if not terminal.interactive:
            progress.show([f"… {text}"])
            return
        full = round(part * WIDTH)
        progress.show([f"{text:<26} {'█' * full}{'░' * (WIDTH - full)} {part:4.0%}"])

    return show
