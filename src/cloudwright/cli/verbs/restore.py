"""Put a backup back. The platform must not run.

Nothing is touched unless the whole file is good. What was there before is kept beside the state
(before-restore-…). Clients see resource versions far ahead of those of before, so that their
watches begin anew instead of missing what the backup does not know.

  cloudwright down --daemon-only && cloudwright restore /backups/monday.cwb && cloudwright up
  cloudwright restore --verify /backups/monday.cwb
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Progress, Terminal
from cloudwright.cli.verbs.backup import bar, check_form, facts, summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Words and flags of ``restore``."""
    parser.add_argument("file", metavar="FILE", help="a file that `cloudwright backup` wrote")
    parser.add_argument("--verify", action="store_true", help="only check FILE")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Check it and put it back."""
    from cloudwright.platform import backups

    check_form(args.output)
    file, good = Path(args.file).absolute(), terminal.paint("✓", "green")
    progress = Progress(terminal)
    if args.verify:
        manifest = backups.verify(file, bar(terminal, progress))
        progress.clear()
        if args.output == "json":
            terminal.data(json.dumps({"file": str(file), **facts(manifest)}, indent=2))
        else:
            terminal.data(f"{good} {file} is good: {summary(manifest)}")
        return 0
    paths = Paths.find(args.state_dir)
    if paths.database.exists() and not args.yes:
        terminal.note(f"this replaces the objects, keys and settings in {paths.state}")
        if not terminal.ask("go on?"):
            raise UsageError("nothing was done", hint="say --yes to replace the state")
    done = backups.restore(paths, file, bar(terminal, progress))
    progress.clear()
    if args.output == "json":
        kept = str(done.kept) if done.kept else None
        more = {"revisionNow": done.revision, "kept": kept}
        terminal.data(json.dumps({"file": str(file), **facts(done.manifest), **more}, indent=2))
        return 0
    terminal.data(f"{good} restored: {summary(done.manifest)}; revision now {done.revision}")
    if done.kept:
        terminal.data(f"  the state before is kept in {done.kept}")
    return 0
