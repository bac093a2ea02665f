"""What may stand at a place of the command line (called by the shell scripts of `completion`)."""

from __future__ import annotations

import argparse
from importlib import import_module

from cloudwright._base.errors import CloudwrightError
from cloudwright.cli.main import verbs
from cloudwright.cli.terminal import Terminal

_KINDS_FIRST = frozenset(
    ("get", "describe", "delete", "patch", "scale", "wait", "edit", "explain", "why", "rollout")
)
_PODS_FIRST = frozenset(("logs", "exec", "port-forward"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The position of the word and the whole line."""
    parser.add_argument("position", type=int)
    parser.add_argument("words", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the candidates, one a line."""
    words = [*args.words, ""]
    current = words[args.position] if args.position < len(words) else ""
    for candidate in sorted(candidates(words[1 : args.position], current, args)):
        if candidate.startswith(current):
            terminal.data(candidate)
    return 0


def candidates(before: list[str], current: str, args: argparse.Namespace) -> set[str]:
    """Words that fit after ``before``."""
    plain = [word for word in before if not word.startswith("-")]
    if not plain:
        return set(verbs())
    verb = plain[0]
    if verb not in verbs():
        return set()
    if current.startswith("-"):
        return _flags(verb)
    if verb in _PODS_FIRST and "/" not in current:
        return _names("pods", args, "")
    if verb in _KINDS_FIRST:
        if "/" in current:
            kind = current.partition("/")[0]
            return _names(kind, args, f"{kind}/")
        kinds_at = 2 if verb == "rollout" else 1
        if len(plain) > kinds_at and "/" not in plain[kinds_at]:
            return _names(plain[kinds_at], args, "")
        return _kinds()
    return set()


def _flags(verb: str) -> set[str]:
    from cloudwright.cli.command import parser_of

    module = import_module(f"cloudwright.cli.verbs.{verb.replace('-', '_')}")
    actions = parser_of(verb, module)._actions
    return {word for action in actions for word in action.option_strings}


def _kinds() -> set[str]:
    from cloudwright.model.resources import BUILT_IN

    return {name for r in BUILT_IN for name in (r.plural, r.singular, *r.short_names)}


def _names(kind: str, args: argparse.Namespace, prefix: str) -> set[str]:
    from cloudwright.cli.sessions import Session

    try:
        session = Session(args)
        resource = session.resource(kind)
        space = (session.namespace or "default") if resource.namespaced else ""
        found = session.client.list(resource, space).get("items") or []
    except CloudwrightError:
        return set()
    return {f"{prefix}{item['metadata']['name']}" for item in found}
