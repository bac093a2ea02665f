"""Wait until something holds.

cloudwright wait ms/payment --for condition=Ready --timeout 60s
cloudwright wait pod/x --for delete
cloudwright wait ms/payment --for 'jsonpath={.status.version}=1.12.0'
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from cloudwright._base.errors import UsageError
from cloudwright.cli import output, sessions, waiting
from cloudwright.cli.readiness import Readiness, condition
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.objects import Object, generation, name_of, namespace_of

Test = Callable[[Object | None], Readiness]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``wait``."""
    parser.add_argument("targets", nargs="+", metavar="KIND/NAME")
    parser.add_argument(
        "--for",
        dest="what",
        default="ready",
        metavar="WHAT",
        help="ready, delete, condition=NAME[=VALUE], jsonpath={PATH}[=VALUE]",
    )
    parser.add_argument("--timeout", default="30s", metavar="TIME")
    parser.add_argument("--all", action="store_true", help="every object of the kind")
    sessions.add_namespace(parser)
    sessions.add_selector(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Wait for all of them."""
    test, timeout = parse(args.what), sessions.seconds(args.timeout)
    session = Session(args)
    targets: list[waiting.Target] = []
    for resource, name in session.targets(args.targets):
        space = session.namespace if resource.namespaced else ""
        if name:
            targets.append((resource, space or ("default" if resource.namespaced else ""), name))
            continue
        if not (args.all or args.selector or args.field_selector):
            raise UsageError(f"which {resource.plural}?", hint="name them, or use -l or --all")
        found = session.client.list(
            resource, space, label_selector=args.selector, field_selector=args.field_selector
        )
        targets += [(resource, namespace_of(i), name_of(i)) for i in found.get("items") or []]
    for target in targets:
        if args.what != "delete":
            session.client.get(target[0], target[2], target[1])
        waiting.until(session, target, test, timeout)
        group = f".{target[0].group}" if target[0].group else ""
        terminal.data(f"{target[0].singular}{group}/{target[2]} condition met")
    return 0


def parse(what: str) -> Test:
    """The test that ``--for`` names. Raises UsageError."""
    if what == "ready":
        return waiting.ready
    if what == "delete":
        return lambda obj: Readiness(obj is None, "it is still there")
    if what.startswith("condition="):
        name, _, value = what.removeprefix("condition=").partition("=")
        return lambda obj: _condition(obj, name, value or "true")
    if what.startswith("jsonpath="):
        path, equals, value = what.removeprefix("jsonpath=").strip("'").rpartition("=")
        if not equals or not path.endswith("}"):
            path, value = f"{path}{equals}{value}", ""
        return lambda obj: _path(obj, path, value)
    raise UsageError(
        f"--for {what}: cannot be waited for",
        hint="ready, delete, condition=NAME[=VALUE] or jsonpath={PATH}[=VALUE]",
    )


def _condition(obj: Object | None, name: str, value: str) -> Readiness:
    found = condition(obj or {}, name)
    seen = found.get("observedGeneration")
    current = seen is None or obj is None or int(seen) >= generation(obj)
    text = f"{name} is {found.get('status', 'unknown')}"
    if found.get("message"):
        text += f": {found['message']}"
    return Readiness(current and str(found.get("status", "")).lower() == value.lower(), text)


def _path(obj: Object | None, path: str, value: str) -> Readiness:
    if obj is None:
        return Readiness(False, "it does not exist yet")
    seen = output.jsonpath(path if path.startswith("{") else f"{{{path}}}", obj)
    done = seen == value if value else bool(seen)
    return Readiness(done, f"{path} is {seen!r}")
