"""Show objects as a table, or in any form.

cloudwright get pods                      in this namespace
cloudwright get ms payment -o yaml        one object whole
cloudwright get pods,svc -A -l app=web    several kinds, everywhere, by label
cloudwright get pods -w                   and every change from now on
"""

from __future__ import annotations

import argparse
from typing import Any

from cloudwright._base.errors import UsageError
from cloudwright.cli import output
from cloudwright.cli.sessions import Session, add_namespace, add_selector
from cloudwright.cli.terminal import Terminal, columns
from cloudwright.client.requests import TABLE
from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import Resource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``get``."""
    parser.add_argument("targets", nargs="+", metavar="KIND[/NAME]")
    add_namespace(parser)
    add_selector(parser)
    parser.add_argument("-o", "--output", default="", metavar="FORM", help=output.FORMS)
    parser.add_argument("-w", "--watch", action="store_true", help="go on with every change")
    parser.add_argument("--watch-only", action="store_true", help="only changes from now on")
    parser.add_argument("--no-headers", action="store_true")
    parser.add_argument("--show-labels", action="store_true")
    parser.add_argument("--sort-by", metavar="JSONPATH", help="for example .metadata.name")
    parser.add_argument("--ignore-not-found", action="store_true")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print them."""
    form = output.check(args.output)
    session = Session(args)
    targets = session.targets(args.targets)
    if args.watch or args.watch_only:
        if len({resource for resource, _ in targets}) != 1 or len(targets) != 1:
            raise UsageError("-w watches one kind, or one object")
        return _watch(session, *targets[0], args, form, terminal)
    if output.is_table(form) and not args.sort_by:
        return _tables(session, targets, args, form, terminal)
    return _objects(session, targets, args, form, terminal)


def _names(targets: list[tuple[Resource, str]]) -> dict[Resource, list[str]]:
    names: dict[Resource, list[str]] = {}
    for resource, name in targets:
        names.setdefault(resource, []).append(name)
    return names


def _tables(
    session: Session,
    targets: list[tuple[Resource, str]],
    args: argparse.Namespace,
    form: str,
    terminal: Terminal,
) -> int:
    from cloudwright.client.errors import NotFound

    several, printed = len(_names(targets)) > 1, 0
    for resource, names in _names(targets).items():
        table: Object = {}
        for name in names:
            try:
                page = _table(session, resource, name, args)
            except NotFound:
                if args.ignore_not_found:
                    continue
                raise
            if table:
                table["rows"] = (table.get("rows") or []) + (page.get("rows") or [])
            else:
                table = page
        if not table.get("rows"):
            continue
        if several and printed:
            terminal.data("")
        _print(terminal, table, resource, args, form, prefix=several)
        printed += len(table["rows"])
    if not printed and not args.ignore_not_found:
        where = f"in namespace {session.namespace}" if session.namespace else "anywhere"
        terminal.note(f"No resources found {where}.")
    return 0


def _table(session: Session, resource: Resource, name: str, args: argparse.Namespace) -> Object:
    space = session.namespace if resource.namespaced else ""
    if name:
        return session.client.get(resource, name, space or "default", accept=TABLE)
    return session.client.list(
        resource,
        space,
        label_selector=args.selector,
        field_selector=args.field_selector,
        accept=TABLE,
    )


def _print(
    terminal: Terminal,
    table: Object,
    resource: Resource,
    args: argparse.Namespace,
    form: str,
    *,
    prefix: bool = False,
) -> None:
    everywhere = args.all_namespaces and resource.namespaced
    header, rows = output.table_cells(table, wide=form == "wide", namespaces=everywhere)
    for row, cells in zip(table.get("rows") or [], rows, strict=True):
        if prefix:
            group = f".{resource.group}" if resource.group else ""
            cells[int(everywhere)] = f"{resource.singular}{group}/{cells[int(everywhere)]}"
        if args.show_labels:
            labels = row.get("object", {}).get("metadata", {}).get("labels") or {}
            cells.append(",".join(f"{k}={v}" for k, v in sorted(labels.items())) or "<none>")
    if args.show_labels:
        header.append("LABELS")
    for line in columns([] if args.no_headers else header, rows):
        terminal.data(line)


def _objects(
    session: Session,
    targets: list[tuple[Resource, str]],
    args: argparse.Namespace,
    form: str,
    terminal: Terminal,
) -> int:
    from cloudwright.client.errors import NotFound

    items: list[Object] = []
    for resource, name in targets:
        space = session.namespace if resource.namespaced else ""
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        if name:
            try:
                items.append(session.client.get(resource, name, space or "default"))
            except NotFound:
                if not args.ignore_not_found:
                    raise
            continue
        found = session.client.list(
            resource, space, label_selector=args.selector, field_selector=args.field_selector
        )
        items += [{**head, **item} for item in found.get("items") or []]
    if args.sort_by:
        path = args.sort_by.strip("{}")
        items.sort(key=lambda item: _sortable(output.find(path, item)))
    if len(targets) == 1 and targets[0][1] and items:
        whole = items[0]
    else:
        whole = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
    if output.is_table(form):
        rows = [[name_of(item), str(item["metadata"].get("creationTimestamp"))] for item in items]
        terminal.table([] if args.no_headers else ["NAME", "CREATED"], rows)
    elif items or not args.ignore_not_found:
        output.show(terminal, form, whole)
    return 0


def _sortable(values: list[Any]) -> tuple[int, float, str]:
    value = values[0] if values else ""
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, str(value))


def _watch(
    session: Session,
    resource: Resource,
    name: str,
    args: argparse.Namespace,
    form: str,
    terminal: Terminal,
) -> int:
    """One line (or document) for each change; ends with the server's watch or Ctrl-C."""
    space = session.namespace if resource.namespaced else ""
    fields = f"metadata.name={name}" if name else args.field_selector
    first = session.client.list(
        resource, space, label_selector=args.selector, field_selector=fields, accept=TABLE
    )
    tables = output.is_table(form)
    if not args.watch_only:
        if tables:
            _print(terminal, first, resource, args, form)
        else:
            return _objects_then(session, resource, space, fields, args, form, terminal)
    args.no_headers = args.no_headers or not args.watch_only
    version = str(first.get("metadata", {}).get("resourceVersion", ""))
    for event in session.client.watch(
        resource,
        space,
        resource_version=version,
        label_selector=args.selector,
        field_selector=fields,
        accept=TABLE if tables else "",
    ):
        if event["type"] == "BOOKMARK":
            continue
        if tables:
            _print(terminal, event["object"], resource, args, form)
            args.no_headers = True
        else:
            output.show(terminal, form, event["object"])
        terminal.flush()
    return 0


def _objects_then(
    session: Session,
    resource: Resource,
    space: str,
    fields: str,
    args: argparse.Namespace,
    form: str,
    terminal: Terminal,
) -> int:
    found = session.client.list(
        resource, space, label_selector=args.selector, field_selector=fields
    )
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    for item in found.get("items") or []:
        output.show(terminal, form, {**head, **item})
    terminal.flush()
    for event in session.client.watch(
        resource,
        space,
        resource_version=str(found["metadata"].get("resourceVersion", "")),
        label_selector=args.selector,
        field_selector=fields,
    ):
        if event["type"] != "BOOKMARK":
            output.show(terminal, form, event["object"])
            terminal.flush()
    return 0
