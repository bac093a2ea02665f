"""Make objects as files say: what is new is created, what differs is changed, the rest is left
alone.

  cloudwright apply -f service.yaml
  cloudwright apply -f examples/01-shop/shop.yaml --wait
  cat service.yaml | cloudwright apply -f - --dry-run=server
  cloudwright apply -f service.yaml --server-side --field-manager=ci
"""

from __future__ import annotations

import argparse

from cloudwright._base.errors import CloudwrightError, UsageError
from cloudwright.cli import manifests, output, sessions
from cloudwright.cli.manifests import Manifest
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import Resource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``apply``."""
    parser.add_argument("-f", "--filename", action="append", required=True, metavar="FILE")
    parser.add_argument("-R", "--recursive", action="store_true", help="folders below folders")
    sessions.add_namespace(parser, everywhere=False)
    sessions.add_dry_run(parser)
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="name, json, yaml")
    parser.add_argument("--wait", action="store_true", help="until everything is ready")
    parser.add_argument("--timeout", default="120s", metavar="TIME", help="for --wait")
    parser.add_argument("--server-side", action="store_true", help="let the server merge and own")
    parser.add_argument(
        "--force-conflicts", action="store_true", help="take what others own (--server-side)"
    )
    parser.add_argument("--field-manager", default="", metavar="NAME", help="who owns the fields")
    parser.add_argument("--validate", default="strict", choices=("strict", "warn", "ignore"))


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Apply every object; the first that is refused ends it (what was applied before stays)."""
    _check(args)
    form = output.check(args.output)
    found = manifests.read(args.filename, recursive=args.recursive)
    timeout = sessions.seconds(args.timeout)
    session = Session(args)
    done: list[tuple[Resource, str, str]] = []
    results: list[Object] = []
    for manifest in found:
        resource = _resource(session, manifest)
        space = session.space(resource, manifest.body)
        with_place = _Pointing(manifest)
        apply = _apply_server_side if args.server_side else _apply
        with with_place:
            obj, word, warnings = apply(session, resource, space, manifest.body, args)
        for warning in warnings:
            terminal.warn(warning)
        results.append({"apiVersion": resource.api_version, "kind": resource.kind, **obj})
        done.append((resource, space, name_of(manifest.body)))
        if output.is_table(form):
            suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(args.dry_run, "")
            name = output.typed_name(results[-1])
            terminal.data(f"{name} {word}{suffix}")
            terminal.flush()
    if not output.is_table(form):
        several = {"apiVersion": "v1", "kind": "List", "items": results}
        output.show(terminal, form, results[0] if len(results) == 1 else several)
    if args.wait and args.dry_run == "none":
        from cloudwright.cli import waiting

        waiting.until_ready(session, done, timeout, terminal)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.force_conflicts and not args.server_side:
        raise UsageError("--force-conflicts only works with --server-side")
    if args.server_side and args.dry_run == "client":
        raise UsageError(
            "--dry-run=client does not work with --server-side",
            hint="did you mean --dry-run=server?",
        )


class _Pointing:
    """Lets the API's refusal point at the line of the file."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from cloudwright.client.errors import ApiError

        if isinstance(error, ApiError) and error.place is None:
            causes = error.causes or _unknown(error.message, self._manifest)
            fields = [str(cause.get("field", "")).removeprefix(".") for cause in causes]
            if causes and causes[0].get("reason") == "FieldManagerConflict":
                error.hint = "--force-conflicts takes these fields; or leave them out of the file"
            error.place = self._manifest.place(fields[0] if fields else "kind")
            if len(causes) == 1 and causes[0].get("message"):
                error.cause = f"{fields[0]}: {causes[0]['message']}"
            elif causes:
                error.cause = "; ".join(f"{c.get('field')}: {c.get('message')}" for c in causes)
        elif isinstance(error, CloudwrightError) and error.place is None:
            error.place = self._manifest.place("kind")


def _unknown(message: str, manifest: Manifest) -> list[dict[str, str]]:
    """Causes of a refusal that only tells its fields in a sentence, as Kubernetes does."""
    import re

    from cloudwright.model import schemas
    from cloudwright.model.resources import BUILT_IN

    named = re.findall(r'(unknown|duplicate) field "([^"]+)"', message)
    if not named:
        return []
    body, near = manifest.body, dict[str, str]()
    for resource in BUILT_IN:
        known = (resource.api_version, resource.kind)
        if known == (body.get("apiVersion"), body.get("kind")):
            schema = schemas.schema_for(resource)
            found = schemas.unknown_fields(schema, body) if schema is not None else []
            near = {one.path: one.message for one in found}
    return [
        {"field": path, "message": f"{what} field {near.get(path, '')}".strip()}
        for what, path in named
    ]


def _resource(session: Session, manifest: Manifest) -> Resource:
    with _Pointing(manifest):
        return session.resource_of(manifest.body)
    raise AssertionError("unreachable")


def _apply_server_side(
    session: Session, resource: Resource, space: str, body: Object, args: argparse.Namespace
) -> tuple[Object, str, list[str]]:
    from cloudwright.client.requests import PATCH_TYPES

    query = [
        *sessions.dry_query(args),
        ("fieldManager", args.field_manager or "cloudwright"),
        ("fieldValidation", args.validate.capitalize()),
    ]
    if args.force_conflicts:
        query.append(("force", "true"))
    changed, warnings = session.client.write(
        "PATCH",
        resource,
        space,
        name_of(body),
        body,
        content_type=PATCH_TYPES["apply"],
        query=query,
    )
    return changed, "serverside-applied", warnings


def _apply(
    session: Session, resource: Resource, space: str, body: Object, args: argparse.Namespace
) -> tuple[Object, str, list[str]]:
    from cloudwright.client import applies
    from cloudwright.client.errors import AlreadyExists, NotFound
    from cloudwright.client.requests import PATCH_TYPES

    query = [
        *sessions.dry_query(args),
        ("fieldManager", args.field_manager or "cloudwright-client-side-apply"),
        ("fieldValidation", args.validate.capitalize()),
    ]
    wanted = applies.annotated(body)
    name = name_of(body)
    try:
        current = session.client.get(resource, name, space) if name else None
    except NotFound:
        current = None
    if current is None:
        if args.dry_run == "client":
            return body, "created", []
        try:
            made, warnings = session.client.write("POST", resource, space, body=wanted, query=query)
            return made, "created", warnings
        except AlreadyExists:
            current = session.client.get(resource, name, space)
    patch = applies.three_way_patch(applies.last_applied(current), wanted, current)
    if not patch:
        return current, "unchanged", []
    if args.dry_run == "client":
        return body, "configured", []
    changed, warnings = session.client.write(
        "PATCH",
        resource,
        space,
        name,
        patch,
        content_type=PATCH_TYPES["merge"],
        query=query,
    )
    same = changed["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
    return changed, "unchanged" if same else "configured", warnings
