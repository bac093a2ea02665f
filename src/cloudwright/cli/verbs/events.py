"""What happened, newest last: cloudwright events [KIND/NAME] [-A] [-w] [--types Warning]"""

from __future__ import annotations

import argparse

from cloudwright.cli import output, sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.objects import Object
from cloudwright.model.resources import EVENT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``events``."""
    parser.add_argument("target", nargs="?", metavar="KIND/NAME")
    parser.add_argument("--for", dest="about", metavar="KIND/NAME")
    parser.add_argument("--types", default="", metavar="TYPE,…", help="Normal, Warning")
    parser.add_argument("-w", "--watch", action="store_true")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help=output.FORMS)
    sessions.add_namespace(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print them."""
    form = output.check(args.output)
    session = Session(args)
    fields = ""
    if about := args.target or args.about:
        resource, name = session.one(about)
        fields = f"involvedObject.kind={resource.kind},involvedObject.name={name}"
    found = session.client.list(EVENT, session.namespace, field_selector=fields)
    types = {kind.strip().lower() for kind in args.types.split(",") if kind.strip()}
    items = [e for e in found.get("items") or [] if not types or e["type"].lower() in types]
    items.sort(key=moment)
    if not output.is_table(form):
        whole = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
        output.show(terminal, form, whole)
    else:
        header = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        if args.all_namespaces:
            header.insert(0, "NAMESPACE")
        terminal.table(header, [cells(e, args.all_namespaces) for e in items])
    if not args.watch:
        return 0
    version = str(found["metadata"].get("resourceVersion", ""))
    for event in session.client.watch(
        EVENT, session.namespace, resource_version=version, field_selector=fields
    ):
        if event["type"] in ("ADDED", "MODIFIED"):
            one = event["object"]
            if not types or one["type"].lower() in types:
                terminal.data("   ".join(cells(one, args.all_namespaces)))
                terminal.flush()
    return 0


def moment(event: Object) -> str:
    """When the event was seen last."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def cells(event: Object, namespaces: bool) -> list[str]:
    """One line of the table."""
    from datetime import UTC, datetime

    from cloudwright._base.clock import parse_rfc3339
    from cloudwright.model import durations

    seen = moment(event)
    age = durations.age((datetime.now(UTC) - parse_rfc3339(seen)).total_seconds()) if seen else ""
    about = event.get("involvedObject") or {}
    count = int(event.get("count") or 1)
    row = [
        f"{age} (x{count})" if count > 1 else age,
        str(event.get("type", "")),
        str(event.get("reason", "")),
        f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}",
        str(event.get("message", "")).replace("\n", " "),
    ]
    return [str(event["metadata"].get("namespace", "")), *row] if namespaces else row
