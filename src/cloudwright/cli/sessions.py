"""What a verb talks to: the API of the chosen kubeconfig, the namespace, the resources by name."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from cloudwright._base.errors import CloudwrightError, UsageError
from cloudwright.client import discovery, kubeconfig
from cloudwright.client.errors import ApiError
from cloudwright.client.transports.blocking import BlockingClient
from cloudwright.model.objects import Object
from cloudwright.model.resources import BUILT_IN, POD, Resource


class Session:
    """One command's access to one API."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self.access = kubeconfig.find(args.kubeconfig, args.context, args.state_dir)
        self.client = BlockingClient(self.access)

    @property
    def namespace(self) -> str:
        """The chosen namespace; empty with ``-A``."""
        if getattr(self._args, "all_namespaces", False):
            return ""
        return getattr(self._args, "namespace", None) or self.access.namespace

    @cached_property
    def discovered(self) -> list[Resource]:
        """Every resource that the API serves beyond the built-in ones (asked once, when needed)."""
        import json

        found: list[Resource] = []
        for version in discovery.group_versions(json.loads(self.client.raw("/apis"))):
            document = json.loads(self.client.raw(f"/apis/{version}"))
            found.extend(discovery.resources_of(document))
        return found

    def resource(self, word: str) -> Resource:
        """The resource that ``word`` names. Raises UnknownResource with the nearest name."""
        if known := discovery.match(word):
            return known
        if found := discovery.match(word, self.discovered):
            return found
        raise discovery.unknown(word, [*BUILT_IN, *self.discovered])

    def resource_of(self, obj: Object) -> Resource:
        """The resource of an object's ``apiVersion`` and ``kind``. Raises UnknownResource."""
        version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
        known = discovery.by_kind(version, kind) or discovery.by_kind(
            version, kind, self.discovered
        )
        if known is None:
            error = discovery.unknown(kind, [*BUILT_IN, *self.discovered])
            error.message = f"the API has no {kind} in {version}"
            raise error
        return known

    def space(self, resource: Resource, obj: Object | None = None) -> str:
        """The namespace of a request about ``resource``."""
        if not resource.namespaced:
            return ""
        own = (obj or {}).get("metadata", {}).get("namespace")
        return str(own or self.namespace or "default")

    def targets(self, words: Iterable[str]) -> list[tuple[Resource, str]]:
        """``pod a b``, ``pod/a svc/b`` or ``pods`` as pairs; a name is empty for "all of the
        kind".
        """
        items = list(words)
        if not items:
            raise UsageError("name a kind, or KIND/NAME", hint="for example: pods, ms/payment")
        if any("/" in item for item in items):
            return [self._slashed(item) for item in items]
        kinds = [kind for word in items[0].split(",") for kind in self._kinds(word)]
        names = items[1:]
        if not names:
            return [(kind, "") for kind in kinds]
        return [(kind, name) for kind in kinds for name in names]

    def _kinds(self, word: str) -> list[Resource]:
        """The kinds of a category (``all``), or the one kind that ``word`` names."""
        members = [resource for resource in BUILT_IN if word in resource.categories]
        return members or [self.resource(word)]

    def _slashed(self, item: str) -> tuple[Resource, str]:
        kind, slash, name = item.partition("/")
        if not (kind and slash and name):
            raise UsageError(f"{item!r} is not KIND/NAME", hint="all words or none have a slash")
        return self.resource(kind), name

    def one(self, word: str, default: str = "pod") -> tuple[Resource, str]:
        """``KIND/NAME``, or a bare name of the ``default`` kind."""
        if "/" in word:
            return self._slashed(word)
        return self.resource(default), word

    def events_of(self, obj: Object) -> list[Object]:
        """Events about an object, oldest first."""
        from cloudwright.model.resources import EVENT

        uid = obj.get("metadata", {}).get("uid", "")
        space = obj.get("metadata", {}).get("namespace") or "default"
        found = self.client.list(EVENT, space, field_selector=f"involvedObject.uid={uid}")
        return sorted(found.get("items") or [], key=_moment)


def _moment(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def add_namespace(parser: argparse.ArgumentParser, *, everywhere: bool = True) -> None:
    """``-n`` and ``-A``."""
    parser.add_argument("-n", "--namespace", metavar="NAME")
    if everywhere:
        parser.add_argument(
            "-A", "--all-namespaces", action="store_true", help="in every namespace"
        )


def add_selector(parser: argparse.ArgumentParser) -> None:
    """``-l`` and ``--field-selector``."""
    parser.add_argument("-l", "--selector", default="", metavar="LABELS")
    parser.add_argument("--field-selector", default="", metavar="FIELDS")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """``--dry-run``."""
    parser.add_argument(
        "--dry-run",
        nargs="?",
        const="server",
        default="none",
        choices=("none", "client", "server"),
        help="client: only print; server: everything but the write",
    )


def dry_query(args: argparse.Namespace) -> list[tuple[str, str]]:
    """The query of a server-side dry run."""
    return [("dryRun", "All")] if args.dry_run == "server" else []


def seconds(text: str) -> float:
    """``30s``, ``2m``, ``1h30m`` or a number of seconds. Raises UsageError."""
    from cloudwright.model import durations

    try:
        return float(text) if text.isdigit() else durations.parse(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a duration", hint="for example 30s, 2m") from error


def images_in_use(args: argparse.Namespace) -> dict[str, str]:
    """Canonical image names that pods use, with a pod; nothing when no platform runs."""
    from cloudwright.runtime.images.references import parse

    used: dict[str, str] = {}
    try:
        pods = Session(args).client.list(POD).get("items") or []
    except ApiError:
        raise
    except CloudwrightError:
        return used
    for pod in pods:
        for container in pod["spec"].get("containers", []):
            used[str(parse(container["image"]))] = str(pod["metadata"]["name"])
    return used


def fill(base: dict[str, Any], path: str, value: object) -> None:
    """Set ``a.b.c`` in nested mappings."""
    *parents, last = path.split(".")
    for parent in parents:
        base = base.setdefault(parent, {})
    base[last] = value
