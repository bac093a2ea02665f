"""The local image store.

cloudwright images                          list them
cloudwright images rm NAME:TAG …            forget names and remove what nobody needs
cloudwright images export NAME:TAG TARGET   write an OCI layout (a folder, or TARGET.tar)
cloudwright images import SOURCE [--name N] take an OCI layout in (skopeo and podman write them)
cloudwright images inspect NAME:TAG         manifest and configuration
cloudwright images prune                    remove blobs and layers that no name needs
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from cloudwright._base.errors import UsageError
from cloudwright._base.paths import Paths
from cloudwright.cli.terminal import Terminal

if TYPE_CHECKING:
    from cloudwright.runtime.images.store import ContentStore

ACTIONS = {"list": 0, "ls": 0, "rm": -1, "export": 2, "import": 1, "inspect": 1, "prune": 0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``images``."""
    parser.add_argument("action", nargs="?", default="list", choices=list(ACTIONS))
    parser.add_argument("words", nargs="*", metavar="NAME")
    parser.add_argument("--name", help="the name an imported image gets")
    parser.add_argument("--force", action="store_true", help="also when a pod uses it")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="json or name")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Do the action."""
    from cloudwright.runtime.images import transfer
    from cloudwright.runtime.images.images import Images
    from cloudwright.runtime.images.store import ContentStore

    wanted = ACTIONS[args.action]
    if (wanted >= 0 and len(args.words) != wanted) or (wanted < 0 and not args.words):
        raise UsageError(f"images {args.action} takes {abs(wanted)} names, not {len(args.words)}")
    store = ContentStore(Paths.find(args.state_dir).images)
    if args.action in ("list", "ls"):
        return _list(store, args.output, terminal)
    if args.action == "rm":
        return _remove(store, args, terminal)
    if args.action == "export":
        transfer.export_layout(store, args.words[0], Path(args.words[1]))
        terminal.data(args.words[1])
    elif args.action == "import":
        for name in transfer.import_layout(store, Path(args.words[0]), args.name):
            terminal.data(name)
    elif args.action == "inspect":
        manifest = store.manifest(args.words[0])
        config = store.read(manifest["config"]["digest"])
        digest = store.descriptor(args.words[0])["digest"]
        value = {"digest": digest, "manifest": manifest, "config": config}
        terminal.data(json.dumps(value, indent=2))
    else:
        blobs, layers = Images(store).prune()
        terminal.data(f"removed {len(blobs)} blobs and {len(layers)} unpacked layers")
    return 0


def _list(store: ContentStore, form: str, terminal: Terminal) -> int:
    import dataclasses

    records = store.records()
    if form == "json":
        terminal.data(json.dumps([dataclasses.asdict(r) for r in records], indent=2))
    elif form == "name":
        for record in records:
            terminal.data(record.reference)
    elif form:
        raise UsageError(f"-o {form}: there is no such form", hint="json or name")
    else:
        rows = [
            (
                r.reference.rpartition(":")[0],
                r.reference.rpartition(":")[2],
                r.digest[7:19],
                str(r.layers),
                f"{r.size / 1e6:.1f} MB",
            )
            for r in records
        ]
        terminal.table(("NAME", "TAG", "DIGEST", "LAYERS", "SIZE"), rows)
    return 0


def _remove(store: ContentStore, args: argparse.Namespace, terminal: Terminal) -> int:
    from cloudwright.cli.sessions import images_in_use
    from cloudwright.runtime.images.errors import ImageInUse
    from cloudwright.runtime.images.references import parse

    used = images_in_use(args)
    for name in args.words:
        reference = str(parse(name))
        store.descriptor(reference)
        if reference in used and not args.force:
            raise ImageInUse(
                f"image {reference} is used by pod {used[reference]}",
                hint="delete the pod first, or say --force",
            )
    for name in args.words:
        store.untag(name)
        terminal.data(f"untagged {parse(name)}")
    store.prune()
    return 0
