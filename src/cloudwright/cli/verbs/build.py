"""Make an OCI image from a folder: a Python project (pyproject.toml or requirements.txt) or a
program.

No Docker and no base image: the image holds this machine's interpreter with what the project
reaches.
The same sources give the same digest.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Progress, Terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``build``."""
    parser.add_argument("path", metavar="DIR", help="the project's folder, or a program")
    parser.add_argument("-t", "--tag", default="", metavar="NAME:TAG", help="the image's name")
    parser.add_argument("--env", action="append", default=[], metavar="KEY=VALUE", help="for it")
    parser.add_argument("--python", metavar="FILE", help="the interpreter to take")
    parser.add_argument("--no-cache", action="store_true", help="build also when nothing changed")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Build it and print its name and digest."""
    from cloudwright.build.builder import build
    from cloudwright.runtime.images.references import parse
    from cloudwright.runtime.images.store import ContentStore

    if args.output not in ("", "json"):
        raise UsageError(f"-o {args.output}: there is no such form", hint="json")
    env = dict(_pair(text) for text in args.env)
    if args.tag:
        parse(args.tag)
    store = ContentStore(Paths.find(args.state_dir).images)
    progress = Progress(terminal)
    built = build(
        Path(args.path),
        store,
        reference=args.tag,
        env=env,
        python=Path(args.python) if args.python else None,
        cache=not args.no_cache,
        progress=lambda line: progress.show([f"… {line}"]),
    )
    progress.clear()
    if args.output == "json":
        layers = [{"title": x.title, "digest": x.digest, "size": x.size} for x in built.layers]
        facts = {"reference": built.reference, "digest": built.digest, "size": built.size}
        terminal.data(json.dumps({**facts, "cached": built.cached, "layers": layers}, indent=2))
        return 0
    word = "unchanged" if built.cached else "built"
    size = f"{built.size / 1e6:.1f} MB in {len(built.layers)} layers"
    terminal.data(f"{built.reference}  {built.digest[:19]}  {size}  ({word})")
    return 0


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--env {text}: not KEY=VALUE")
    return key, value
