"""Show one object with its conditions, what belongs to it, and its events."""

from __future__ import annotations

import argparse
from typing import Any

from cloudwright._base.errors import UsageError
from cloudwright.cli import output, sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal, columns
from cloudwright.cli.verbs.events import cells
from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.resources import Resource

_HIDDEN = ("managedFields", "resourceVersion", "uid", "name", "namespace", "annotations", "labels")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``describe``."""
    parser.add_argument("targets", nargs="+", metavar="KIND[/NAME]")
    sessions.add_namespace(parser)
    sessions.add_selector(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print each."""
    session, printed = Session(args), 0
    for resource, name in session.targets(args.targets):
        if not name and not resource:
            raise UsageError("which one?")
        space = session.namespace if resource.namespaced else ""
        if name:
            objects = [session.client.get(resource, name, space or "default")]
        else:
            objects = session.client.list(resource, space, label_selector=args.selector)["items"]
        for obj in objects:
            if printed:
                terminal.data("\n")
            _describe(session, resource, obj, terminal)
            printed += 1
    if not printed:
        terminal.note("No resources found.")
    return 0


def _describe(session: Session, resource: Resource, obj: Object, terminal: Terminal) -> None:
    meta = obj["metadata"]
    lines = [("Name", name_of(obj))]
    if resource.namespaced:
        lines.append(("Namespace", namespace_of(obj)))
    lines += [("Kind", resource.kind), ("Created", str(meta.get("creationTimestamp", "")))]
    if meta.get("deletionTimestamp"):
        lines.append(("Deletion", f"since {meta['deletionTimestamp']}"))
    for title, key in (("Labels", "labels"), ("Annotations", "annotations")):
        pairs = {k: v for k, v in (meta.get(key) or {}).items() if k != _LAST_APPLIED}
        texts = [f"{k}={v}" for k, v in sorted(pairs.items())] or ["<none>"]
        lines += [(title if not i else "", text) for i, text in enumerate(texts)]
    for owner in meta.get("ownerReferences") or []:
        lines.append(("Controlled By", f"{owner['kind']}/{owner['name']}"))
    for title, text in lines:
        head = f"{title}:" if title else ""
        terminal.data(f"{head:<16}{text}")
    status = dict(obj.get("status") or {})
    conditions = status.pop("conditions", None) or []
    for title, part in (("Spec", obj.get("spec")), ("Data", _data(obj)), ("Status", status)):
        if part:
            terminal.data(f"{title}:")
            for line in output.to_yaml(_without_empty(part)).splitlines():
                terminal.data(f"  {line}")
    if conditions:
        terminal.data("Conditions:")
        rows = [
            [c.get("type", ""), c.get("status", ""), c.get("reason", ""), c.get("message", "")]
            for c in conditions
        ]
        for line in columns(["TYPE", "STATUS", "REASON", "MESSAGE"], rows):
            terminal.data(f"  {line}")
    _events(session, obj, terminal)


def _data(obj: Object) -> dict[str, Any] | None:
    data = obj.get("data")
    if not isinstance(data, dict):
        return None
    if obj.get("kind") == "Secret":
        return {key: f"{len(str(value))} characters (not shown)" for key, value in data.items()}
    return data


def _without_empty(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if v not in (None, {}, [], "")}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value


def _events(session: Session, obj: Object, terminal: Terminal) -> None:
    events = session.events_of(obj)
    if not events:
        terminal.data("Events:          <none>")
        return
    terminal.data("Events:")
    rows = [[row[0], row[1], row[2], row[4]] for row in (cells(e, False) for e in events)]
    for line in columns(["LAST SEEN", "TYPE", "REASON", "MESSAGE"], rows):
        terminal.data(f"  {line}")
