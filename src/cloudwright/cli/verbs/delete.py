"""Delete objects by name, by label or by file.

On a terminal it shows what will go and asks; in scripts say --yes. It waits until the objects
are gone
(--no-wait does not).
"""

from __future__ import annotations

import argparse
from functools import partial

from cloudwright._base.errors import UsageError
from cloudwright.cli import manifests, sessions, waiting
from cloudwright.cli.readiness import Readiness
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.resources import Resource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``delete``."""
    parser.add_argument("targets", nargs="*", metavar="KIND[/NAME]")
    parser.add_argument("-f", "--filename", action="append", default=[], metavar="FILE")
    parser.add_argument("-R", "--recursive", action="store_true")
    parser.add_argument("--all", action="store_true", help="every object of the kind")
    sessions.add_namespace(parser)
    sessions.add_selector(parser)
    sessions.add_dry_run(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--ignore-not-found", action="store_true")
    parser.add_argument("--grace-period", type=int, metavar="SECONDS")
    parser.add_argument("--now", action="store_true", help="a grace period of one second")
    parser.add_argument("--force", action="store_true", help="do not wait for the node agent")
    parser.add_argument(
        "--cascade",
        default="background",
        choices=("background", "foreground", "orphan"),
        help="what happens to objects that belong to them",
    )
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--timeout", default="120s", metavar="TIME")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Delete them."""
    session = Session(args)
    timeout = sessions.seconds(args.timeout)
    chosen = _chosen(session, args)
    if not chosen:
        terminal.note("No resources found.")
        return 0
    if not args.yes and args.dry_run == "none":
        for resource, obj in chosen:
            where = f" in {namespace_of(obj)}" if namespace_of(obj) else ""
            terminal.note(f"will delete {resource.singular} {name_of(obj)}{where}")
        if not terminal.ask("go on?"):
            raise UsageError("nothing was deleted", hint="say --yes to delete without a question")
    for resource, obj in chosen:
        _delete(session, resource, obj, args)
        group = f".{resource.group}" if resource.group else ""
        suffix = "" if args.dry_run == "none" else " (dry run)"
        terminal.data(f'{resource.singular}{group} "{name_of(obj)}" deleted{suffix}')
        terminal.flush()
    if args.wait and args.dry_run == "none":
        for resource, obj in chosen:
            target = (resource, namespace_of(obj), name_of(obj))
            waiting.until(session, target, partial(_gone, uid=obj["metadata"]["uid"]), timeout)
    return 0


def _gone(obj: Object | None, uid: str) -> Readiness:
    if obj is None or obj["metadata"].get("uid") != uid:
        return Readiness(True, "gone")
    finalizers = ", ".join(obj["metadata"].get("finalizers") or [])
    reason = f"waits for finalizer {finalizers}" if finalizers else "is being ended"
    return Readiness(False, f"{name_of(obj)} {reason}")


def _delete(session: Session, resource: Resource, obj: Object, args: argparse.Namespace) -> None:
    from cloudwright.client.errors import NotFound

    grace = 0 if args.force else 1 if args.now else args.grace_period
    if args.dry_run == "client":
        return
    try:
        session.client.delete(
            resource,
            name_of(obj),
            namespace_of(obj),
            grace_seconds=grace,
            propagation=args.cascade.capitalize(),
            uid=obj["metadata"]["uid"],
            dry_run=args.dry_run == "server",
        )
    except NotFound:
        if not args.ignore_not_found:
            raise


def _chosen(session: Session, args: argparse.Namespace) -> list[tuple[Resource, Object]]:
    from cloudwright.client.errors import NotFound

    wanted: list[tuple[Resource, str, str]] = []
    if args.filename:
        for manifest in manifests.read(args.filename, recursive=args.recursive):
            resource = session.resource_of(manifest.body)
            space = session.space(resource, manifest.body)
            wanted.append((resource, space, name_of(manifest.body)))
    if args.targets:
        for resource, name in session.targets(args.targets):
            if not name and not (args.all or args.selector or args.field_selector):
                raise UsageError(
                    f"which {resource.plural}?", hint="name them, or use -l LABELS or --all"
                )
            wanted.append((resource, session.namespace if resource.namespaced else "", name))
    if not wanted:
        raise UsageError("what shall be deleted?", hint="KIND NAME, KIND/NAME or -f FILE")
    chosen: list[tuple[Resource, Object]] = []
    for resource, space, name in wanted:
        if name:
            try:
                chosen.append((resource, session.client.get(resource, name, space)))
            except NotFound:
                if not args.ignore_not_found:
                    raise
            continue
        found = session.client.list(
            resource, space, label_selector=args.selector, field_selector=args.field_selector
        )
        chosen += [(resource, item) for item in found.get("items") or []]
    return chosen
